//! What the panel holds in memory while it watches a cluster and a page watches it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::panel::Panel;
use coxswain_e2e::wait::until;
use coxswain_wire::Cluster;

use super::api::Api;

/// The observer looks every five seconds: this many looks pass before and between the readings.
const SETTLING: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_secs(5);
const READINGS: usize = 7;
const SEEN: Duration = Duration::from_secs(60);

/// Median of several readings, in millions of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) rss: f64,
    pub(crate) pss: f64,
}

/// Of two processes on the same data.
pub(crate) struct Memory {
    /// The one that has just bootstrapped the cluster
    pub(crate) worked: Reading,
    /// A fresh one that has only watched
    pub(crate) fresh: Reading,
}

/// Reads both.
pub(crate) async fn measure(panel: &mut Panel, api: &Api) -> Result<Memory> {
    let worked = watching(panel, api).await?;
    panel.kill().await?;
    panel.launch().await?;
    let fresh = watching(panel, api).await?;
    Ok(Memory { worked, fresh })
}

async fn watching(panel: &Panel, api: &Api) -> Result<Reading> {
    let page = api.follow().await?;
    until("the cluster is seen in full", SEEN, async || {
        let clusters: Vec<Cluster> = api.get("/clusters").await?;
        let live = clusters.first().and_then(|cluster| cluster.live.as_ref());
        let whole = live.is_some_and(|live| {
            live.nodes.as_ref().is_some_and(|nodes| nodes.len() == 3)
                && live
                    .etcd
                    .as_ref()
                    .is_some_and(|etcd| etcd.members.len() == 3)
        });
        Ok(whole.then_some(()))
    })
    .await?;
    tokio::time::sleep(SETTLING).await;
    let pid = panel.pid().context("the panel has ended")?;
    let (mut rss, mut pss) = (Vec::new(), Vec::new());
    for _ in 0..READINGS {
        tokio::time::sleep(BETWEEN).await;
        let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        rss.push(megabytes(&smaps, "Rss:")?);
        pss.push(megabytes(&smaps, "Pss:")?);
    }
    ensure!(!page.is_finished(), "the page's stream broke off");
    page.abort();
    Ok(Reading {
        rss: super::rounds::median(&rss),
        pss: super::rounds::median(&pss),
    })
}

fn megabytes(smaps: &str, field: &str) -> Result<f64> {
    let kibibytes: f64 = smaps
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .with_context(|| format!("smaps_rollup has no {field}"))?
        .parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}
