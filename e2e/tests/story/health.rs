//! What the hosts say at the end: nodes, etcd members, the way through HAProxy, certificates. The panel is
//! not asked.

use std::time::Duration;

use anyhow::{Result, ensure};
use coxswain_e2e::cluster;
use coxswain_e2e::wait::until;

use super::{BALANCER, SAN, SERVERS, Story};

/// HAProxy's checks need their time.
const CHECKED: Duration = Duration::from_secs(60);

pub(crate) async fn assert(story: &Story) -> Result<()> {
    until("all nodes Ready, all members there", CHECKED, async || {
        nodes(story).await?;
        cluster::members(&story.lab, &SERVERS).await.map(Some)
    })
    .await?;
    until("all servers UP in HAProxy", CHECKED, async || {
        cluster::backends(&story.lab, BALANCER, &SERVERS)
            .await
            .map(Some)
    })
    .await?;
    through_the_balancer(story).await?;
    until("one certificate with every name", CHECKED, async || {
        certificates(story).await.map(Some)
    })
    .await
}

async fn nodes(story: &Story) -> Result<()> {
    let nodes = cluster::nodes(&story.lab, SERVERS[0]).await?;
    let ready: Vec<&String> = nodes
        .iter()
        .filter(|(_, ready)| **ready)
        .map(|(n, _)| n)
        .collect();
    ensure!(ready == SERVERS, "Ready are {ready:?} of {nodes:?}");
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
