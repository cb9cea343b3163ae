//! What the hosts say at the end: nodes, etcd members, the way through HAProxy, certificates. The panel is
//! not asked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::wait::until;
use serde_json::Value;

use super::{BALANCER, SAN, SERVERS, Story};

/// HAProxy's checks need their time.
const CHECKED: Duration = Duration::from_secs(60);

pub(crate) async fn assert(story: &Story) -> Result<()> {
    nodes(story).await?;
    members(story).await?;
    until("all servers UP in HAProxy", CHECKED, async || {
        backends(story).await.map(Some)
    })
    .await?;
    through_the_balancer(story).await?;
    until("one certificate with every name", CHECKED, async || {
        certificates(story).await.map(Some)
    })
    .await
}

async fn nodes(story: &Story) -> Result<()> {
    let said = story
        .lab
        .ssh(SERVERS[0], "/usr/local/bin/kubectl get nodes -o json")
        .await?;
    let list: Value = serde_json::from_str(&said).context("kubectl's answer")?;
    let mut ready: Vec<&str> = list["items"]
        .as_array()
        .context("items")?
        .iter()
        .filter(|node| {
            let conditions = node["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
        .filter_map(|node| node["metadata"]["name"].as_str())
        .collect();
    ready.sort_unstable();
    ensure!(ready == SERVERS, "Ready are {ready:?} in {said}");
    Ok(())
}

/// etcd's JSON gateway with the client certificate of the server.
fn etcd(path: &str) -> String {
    let tls = "/var/lib/rancher/k3s/server/tls/etcd";
    format!(
        "curl -sSf --max-time 10 --cacert {tls}/server-ca.crt --cert {tls}/client.crt --key {tls}/client.key \
         https://127.0.0.1:2379/{path}"
    )
}

async fn members(story: &Story) -> Result<()> {
    for server in SERVERS {
        let said = story
            .lab
            .ssh(server, &etcd("v3/cluster/member/list -X POST -d '{}'"))
            .await?;
        let list: Value = serde_json::from_str(&said).context("member list")?;
        let list = list["members"].as_array().context("members")?;
        ensure!(
            list.len() == SERVERS.len(),
            "{server} knows {} members: {said}",
            list.len()
        );
        ensure!(
            list.iter().all(|member| member["isLearner"] != true),
            "{server} knows a learner: {said}"
        );
        let health: Value = serde_json::from_str(&story.lab.ssh(server, &etcd("health")).await?)?;
        ensure!(health["health"] == "true", "etcd of {server} says {health}");
    }
    Ok(())
}

/// HAProxy's own statistics.
async fn backends(story: &Story) -> Result<()> {
    let said = story
        .lab
        .ssh(
            BALANCER,
            "echo 'show stat' | socat - /run/haproxy/admin.sock",
        )
        .await?;
    for server in SERVERS {
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

/// A machine outside the cluster asks through the load balancer, trusting the cluster's CA alone.
async fn through_the_balancer(story: &Story) -> Result<()> {
    let field = |key: &str| format!("sed -n 's/^ *{key}: //p' /etc/rancher/k3s/k3s.yaml");
    let mut files = Vec::new();
    for key in [
        "certificate-authority-data",
        "client-certificate-data",
        "client-key-data",
    ] {
        let data = story
            .lab
            .ssh(SERVERS[0], &field(key))
            .await?
            .trim()
            .to_owned();
        ensure!(
            !data.is_empty(),
            "no {key} in the kubeconfig of {}",
            SERVERS[0]
        );
        files.push(data);
    }
    let balancer = &story.lab.host(BALANCER)?.address;
    let script = format!(
        "work=$(mktemp -d); trap 'rm -rf $work' EXIT; cd $work; umask 077\n\
         base64 -d >ca <<<'{}'; base64 -d >cert <<<'{}'; base64 -d >key <<<'{}'\n\
         ask() {{ curl -sS --max-time 10 --cacert ca -o body -w '%{{http_code}} ' \"$@\"; }}\n\
         ask https://{balancer}:6443/readyz\n\
         ask --resolve {SAN}:6443:{balancer} https://{SAN}:6443/readyz\n\
         ask --cert cert --key key https://{balancer}:6443/readyz; cat body",
        files[0], files[1], files[2]
    );
    let said = story.lab.ssh("node4", &script).await?;
    // Without credentials a living API server refuses; with the administrator's it is ready.
    ensure!(
        said.trim() == "401 401 200 ok",
        "through the load balancer: {said}"
    );
    Ok(())
}

/// Every way in serves the same certificate, with every name that was asked for.
async fn certificates(story: &Story) -> Result<()> {
    let mut wanted = vec![format!("DNS:{SAN}")];
    for name in SERVERS.into_iter().chain([BALANCER]) {
        wanted.push(format!("IP Address:{}", story.lab.host(name)?.address));
    }
    let mut serials = Vec::new();
    for name in SERVERS.into_iter().chain([BALANCER]) {
        let address = &story.lab.host(name)?.address;
        for sni in ["", &format!("-servername {SAN}")] {
            let look = format!(
                "openssl s_client -connect {address}:6443 {sni} </dev/null 2>/dev/null | \
                 openssl x509 -noout -serial -ext subjectAltName"
            );
            let said = story.lab.ssh("node4", &look).await?;
            let names: Vec<&str> = said.split([',', '\n']).map(str::trim).collect();
            for san in &wanted {
                ensure!(
                    names.contains(&san.as_str()),
                    "{name} ({sni}) serves a certificate without {san}: {said}"
                );
            }
            serials.push(names[0].to_owned());
        }
    }
    serials.dedup();
    ensure!(
        serials.len() == 1,
        "different certificates are served: {serials:?}"
    );
    Ok(())
}
