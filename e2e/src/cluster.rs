//! A cluster as its hosts see it: nodes and their leases, etcd members, HAProxy. The panel is not asked.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;

use crate::lab::Lab;
use crate::wait::until;

/// Names of the nodes that the API of a server lists, and whether each one is Ready. This is the API's opinion: it
/// is old for some time when a node has died.
///
/// # Errors
/// The API does not answer.
pub async fn nodes(lab: &Lab, via: &str) -> Result<BTreeMap<String, bool>> {
    let list = kubectl(lab, via, "get nodes -o json").await?;
    let items = list["items"].as_array().context("items")?;
    items
        .iter()
        .map(|node| {
            let name = node["metadata"]["name"].as_str().context("a name")?;
            let conditions = node["status"]["conditions"].as_array();
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            Ok((name.to_owned(), ready))
        })
        .collect()
}

/// Asks the API of a server by the kubectl there.
///
/// # Errors
/// It does not answer with JSON.
pub async fn kubectl(lab: &Lab, via: &str, words: &str) -> Result<Value> {
    let said = lab
        .ssh(via, &format!("timeout 10 /usr/local/bin/kubectl {words}"))
        .await?;
    serde_json::from_str(&said).with_context(|| format!("kubectl {words}: {said}"))
}

/// etcd's JSON gateway on a server, with the client certificate there.
///
/// # Errors
/// It does not answer with JSON.
pub async fn etcd(lab: &Lab, server: &str, request: &str) -> Result<Value> {
    let tls = "/var/lib/rancher/k3s/server/tls/etcd";
    let script = format!(
        "curl -sSf --max-time 10 --cacert {tls}/server-ca.crt --cert {tls}/client.crt --key {tls}/client.key \
         https://127.0.0.1:2379/{request}"
    );
    let said = lab.ssh(server, &script).await?;
    serde_json::from_str(&said).with_context(|| format!("etcd on {server}: {said}"))
}

/// Each of these servers knows exactly that many etcd members, all voting, and its own is healthy.
///
/// # Errors
/// One does not.
pub async fn members(lab: &Lab, servers: &[&str]) -> Result<()> {
    let each = servers
        .iter()
        .map(|server| member(lab, server, servers.len()));
    try_join_all(each).await.map(drop)
}

async fn member(lab: &Lab, server: &str, servers: usize) -> Result<()> {
    let said = etcd(lab, server, "v3/cluster/member/list -X POST -d '{}'").await?;
    let list = said["members"].as_array().context("members")?;
    ensure!(
        list.len() == servers,
        "{server} knows {} members: {said}",
        list.len()
    );
    ensure!(
        list.iter().all(|member| member["isLearner"] != true),
        "{server} knows a learner: {said}"
    );
    let health = etcd(lab, server, "health").await?;
    ensure!(health["health"] == "true", "etcd of {server} says {health}");
    Ok(())
}

/// HAProxy's own statistics have each of these servers UP.
///
/// # Errors
/// One is not.
pub async fn backends(lab: &Lab, balancer: &str, servers: &[&str]) -> Result<()> {
    let said = lab
        .ssh(
            balancer,
            "echo 'show stat' | socat - /run/haproxy/admin.sock",
        )
        .await?;
    for server in servers {
        let line = said
            .lines()
            .find(|line| line.split(',').nth(1) == Some(server));
        let state = line.and_then(|line| line.split(',').nth(17));
        ensure!(
            state.is_some_and(|state| state.starts_with("UP")),
            "{server} is {state:?} in HAProxy"
        );
    }
    Ok(())
}

/// Waits until a cluster of servers alone is whole: every API server ready at its own address, all members healthy,
/// all nodes Ready with a lease that is renewed while we look, HAProxy content.
///
/// # Errors
/// It is not so in time.
pub async fn whole(lab: &Lab, servers: &[&str], balancer: &str, patience: Duration) -> Result<()> {
    let first = servers.first().context("no server")?;
    let mut before: Option<BTreeMap<String, String>> = None;
    until("the cluster is whole", patience, async || {
        let ready = try_join_all(servers.iter().map(|server| ready(lab, server)));
        let (_, (), (), nodes, now) = tokio::try_join!(
            ready,
            members(lab, servers),
            backends(lab, balancer, servers),
            nodes(lab, first),
            leases(lab, first),
        )?;
        ensure!(
            nodes.len() == servers.len() && nodes.values().all(|ready| *ready),
            "nodes: {nodes:?}"
        );
        let earlier = before.get_or_insert_with(|| now.clone());
        for server in servers {
            ensure!(
                now.get(*server) > earlier.get(*server),
                "the lease of {server} is not renewed"
            );
        }
        Ok(Some(()))
    })
    .await
}

async fn ready(lab: &Lab, server: &str) -> Result<()> {
    let look = "timeout 10 /usr/local/bin/kubectl get --raw /readyz";
    lab.ssh(server, look).await.map(drop)
}

/// When each node's lease was renewed last, by its own clock.
///
/// # Errors
/// The API does not answer.
pub async fn leases(lab: &Lab, via: &str) -> Result<BTreeMap<String, String>> {
    let list = kubectl(lab, via, "get leases -n kube-node-lease -o json").await?;
    let items = list["items"].as_array().context("items")?;
    items
        .iter()
        .map(|lease| {
            let name = lease["metadata"]["name"].as_str().context("a name")?;
            let renewed = lease["spec"]["renewTime"].as_str().context("a time")?;
            Ok((name.to_owned(), renewed.to_owned()))
        })
        .collect()
}
