//! Kubeconfigs leave the panel here and nowhere else: by a permission of its own, each time noted.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use coxswain_k3s::certs::Certificate;
use coxswain_k3s::kubeconfig::{Kubeconfig, merge};
use coxswain_k3s::names::{Address, ClusterName, ServerUrl};
use coxswain_wire::{Cluster, KubeconfigRequest};
use zeroize::Zeroizing;

use super::errors::{Answer, Failure};
use super::guard::Caller;
use super::input::Input;
use crate::app::App;
use crate::audit::Draft;
use crate::time::now;

/// Clusters in one file.
const MAX_CLUSTERS: usize = 100;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) async fn download(
    State(app): State<Arc<App>>,
    caller: Caller,
    Input(request): Input<KubeconfigRequest>,
) -> Answer<Response> {
    let KubeconfigRequest { clusters, into } = request;
    let into = into.map(Zeroizing::new);
    if into.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(Failure::field(
            "into",
            "Paste a kubeconfig, or leave it out.",
        ));
    }
    if clusters.is_empty() {
        return Err(Failure::field("clusters", "Choose at least one cluster."));
    }
    if clusters.len() > MAX_CLUSTERS {
        let message = format!("At most {MAX_CLUSTERS} clusters go into one file.");
        return Err(Failure::field("clusters", message));
    }
    let known = app.db.clusters().await?;
    let (mut chosen, mut configs, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (at, id) in clusters.iter().enumerate() {
        let refused = |message| Failure::field(format!("clusters[{at}]"), message);
        if !seen.insert(id.0) {
            return Err(refused(format!("Cluster {id} is named twice.")));
        }
        let cluster = known.iter().find(|c| c.id == *id);
        let cluster = cluster.ok_or_else(|| refused(format!("There is no cluster {id}.")))?;
        let config = stored(&app, cluster).await?;
        configs.push(config.ok_or_else(|| {
            refused(format!(
                "The vault has no kubeconfig of {}. Bootstrap or import the cluster first.",
                cluster.name
            ))
        })?);
        chosen.push(cluster);
    }
    let merged = merge(&configs, into.as_ref().map(|text| text.as_str()))
        .map_err(|e| Failure::field("into", sentence(&e.to_string())))?;
    let names: Vec<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
    let mut text = String::new();
    let ends = configs.iter().map(|config| validity(config, now().0));
    for note in merged.notes.into_iter().chain(ends) {
        text.push_str(&format!("# {note}\n"));
    }
    text.push_str(&merged.text);

    // Noted before anything leaves.
    let subject = match names[..] {
        [one] => format!("cluster {one}"),
        _ => format!("clusters {}", names.join(", ")),
    };
    let detail = if into.is_some() {
        "merged into a pasted one"
    } else {
        ""
    };
    let draft = Draft::new(&caller.who(), "kubeconfig.downloaded", subject, detail);
    app.db.audit(now(), draft).await?;
    let file = match names[..] {
        [one] if into.is_none() => format!("{one}.yaml"),
        _ => "kubeconfig.yaml".to_owned(),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/yaml".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            // Names of clusters hold nothing that needs quoting.
            format!("attachment; filename=\"{file}\""),
        ),
    ];
    Ok((StatusCode::OK, headers, text).into_response())
}

/// The cluster's kubeconfig, pointed at where the inventory says today that its API is.
async fn stored(app: &App, cluster: &Cluster) -> Answer<Option<Kubeconfig>> {
    let Some(id) = app.db.cluster_secrets(cluster.id).await?.kubeconfig else {
        return Ok(None);
    };
    let secret = app.vault.get(id).await?;
    let config =
        Kubeconfig::parse(&String::from_utf8_lossy(secret.expose())).map_err(Failure::internal)?;
    let name: ClusterName = cluster.name.parse().map_err(Failure::internal)?;
    let endpoint: Address = cluster.endpoint.parse().map_err(Failure::internal)?;
    let server = ServerUrl::new(endpoint, ServerUrl::DEFAULT_PORT);
    Ok(Some(config.for_cluster(&name, &server)))
}

/// Until when it can be used.
fn validity(config: &Kubeconfig, now_ms: i64) -> String {
    let name = config.name();
    match Certificate::from_pem(config.client_cert_pem()) {
        Err(_) => format!("{name}: the client certificate cannot be read."),
        Ok(certificate) => {
            let days = (certificate.not_after() * 1000 - now_ms).div_euclid(DAY_MS);
            if days < 0 {
                format!(
                    "{name}: the client certificate has ended. Run the certificate rotation, then download again."
                )
            } else {
                format!("{name}: full admin rights. The client certificate ends in {days} days.")
            }
        }
    }
}

/// As an error is shown to people.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => String::new(),
    }
}
