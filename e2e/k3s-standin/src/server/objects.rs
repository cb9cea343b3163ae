//! Objects every cluster has from its first start.

use std::time::Duration;

use serde_json::{Value, json};

use super::options::ServerOptions;
use crate::api::resources::{self, Resource};
use crate::api::store::{Store, StoreError};

/// CRDs k3s registers at every start.
pub(crate) const CRDS: [&str; 3] = [
    "addons.k3s.cattle.io",
    "helmcharts.helm.cattle.io",
    "helmchartconfigs.helm.cattle.io",
];
/// Longest wait for one object.
const CREATE: Duration = Duration::from_secs(10);

/// Creates what is missing.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn create_defaults(
    store: &Store,
    options: &ServerOptions,
    ca_pem: &str,
) -> Result<(), StoreError> {
    let store = store.with_timeout(CREATE);
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(
            &store,
            resources::namespaces(),
            json!({"metadata": {"name": name}}),
        )
        .await?;
        let root = json!({
            "metadata": {"name": "kube-root-ca.crt", "namespace": name},
            "data": {"ca.crt": ca_pem},
        });
        ensure(&store, resources::configmaps(), root).await?;
    }
    let service = json!({
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": options.service_ip.to_string(), "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            "sessionAffinity": "None",
        },
        "status": {"loadBalancer": {}},
    });
    ensure(&store, resources::services(), service).await?;
    for name in CRDS {
        ensure(&store, resources::crds(), crd(name)).await?;
    }
    Ok(())
}

fn crd(name: &str) -> Value {
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    let resource = resources::RESOURCES
        .iter()
        .find(|resource| resource.plural == plural && resource.group == group);
    let kind = resource.map_or("", |resource| resource.kind);
    json!({
        "metadata": {"name": name},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true}],
        },
    })
}

async fn ensure(
    store: &Store,
    resource: &'static Resource,
    object: Value,
) -> Result<(), StoreError> {
    match store.create(resource, object).await {
        Ok(_) | Err(StoreError::AlreadyExists) => Ok(()),
        Err(error) => Err(error),
    }
}
