//! The lab's hosts in the panel's inventory.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::lab::Lab;
use coxswain_wire::{
    ConfirmHostKeys, ConnectionTest, Credential, Host, HostId, HostKey, NewCredential, NewHost,
};

use super::api::Api;
use super::{BALANCER, SERVERS};

/// Inventory numbers by host name.
pub(crate) type Hosts = BTreeMap<String, HostId>;

/// Enrols servers and load balancer with the lab's own key and tests the connection to each.
pub(crate) async fn hosts(api: &Api, lab: &Lab) -> Result<Hosts> {
    let credential: Credential = api
        .post(
            "/credentials",
            &NewCredential {
                name: "lab".to_owned(),
                private_key: Some(std::fs::read_to_string(&lab.private_key)?),
            },
        )
        .await?;
    let mut hosts = Hosts::new();
    for name in SERVERS.into_iter().chain([BALANCER]) {
        let at = lab.host(name)?;
        let host = NewHost {
            name: name.to_owned(),
            ssh_address: at.address.clone(),
            ssh_port: at.ssh_port,
            ssh_user: lab.user.clone(),
            node_address: None,
            credential: credential.id,
            power: None,
        };
        let id = enrol(api, &host).await.with_context(|| name.to_owned())?;
        hosts.insert(name.to_owned(), id);
    }
    Ok(hosts)
}

async fn enrol(api: &Api, host: &NewHost) -> Result<HostId> {
    let Host { id, .. } = api.post("/hosts", host).await?;
    let shown: Vec<HostKey> = api.post(&format!("/hosts/{id}/scan"), &()).await?;
    let confirmed = ConfirmHostKeys {
        fingerprints: shown.into_iter().map(|key| key.fingerprint).collect(),
    };
    let _: Host = api
        .post(&format!("/hosts/{id}/confirm"), &confirmed)
        .await?;
    let test: ConnectionTest = api.post(&format!("/hosts/{id}/test"), &()).await?;
    ensure!(test.passed(), "the connection test failed: {test:?}");
    Ok(id)
}
