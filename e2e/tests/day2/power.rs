//! A server without power, and with it again: what the panel shows, and that the stand-in's timers run as they are
//! set, once in real time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coxswain_e2e::cluster;
use coxswain_e2e::wait::until;

use crate::day::{BALANCER, CLUSTER, Day, SERVERS, in_real_time, on_the_lab};

/// Time a real k3s takes to find that a node is gone: between the two.
const GRACE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(50)];
/// Time that everything else may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// The panel says what is lost and what is left; gives the time until the API said so.
async fn lose_and_find(day: &mut Day) -> Result<Duration> {
    let lost = SERVERS[2];
    day.lab.power_off(lost).await?;
    let since = Instant::now();
    until("the lost server is NotReady", GRACE[1] + SOON, async || {
        let nodes = cluster::nodes(&day.lab, SERVERS[0]).await?;
        Ok((nodes.get(lost) == Some(&false)).then_some(()))
    })
    .await?;
    let taken = since.elapsed();
    until("the panel knows", SOON, async || {
        let live = day.operator.cluster(CLUSTER).await?.live;
        let live = live.context("nothing observed")?;
        let etcd = live.etcd.context("no member answered")?;
        let healthy = etcd.members.iter().filter(|member| member.healthy).count();
        ensure!(
            (etcd.members.len(), healthy, etcd.quorum, etcd.tolerates) == (3, 2, 2, 0),
            "{etcd:?}"
        );
        let nodes = live.nodes.context("no node seen")?;
        let node = nodes.iter().find(|node| node.name == lost);
        ensure!(node.is_some_and(|node| !node.ready), "{nodes:?}");
        Ok(Some(()))
    })
    .await?;
    day.lab.power_on(lost).await?;
    cluster::whole(&day.lab, &SERVERS, BALANCER, SOON + SOON).await?;
    Ok(taken)
}

#[test]
fn a_server_without_power_is_seen() {
    on_the_lab(async |day| {
        let taken = lose_and_find(day).await?;
        ensure!(taken < GRACE[0], "quick timers took {taken:?}");
        Ok(())
    });
}

#[test]
#[ignore = "takes minutes: cargo xtask test --full"]
fn a_server_without_power_is_seen_in_real_time() {
    in_real_time(async |day| {
        let taken = lose_and_find(day).await?;
        ensure!(
            (GRACE[0]..GRACE[1]).contains(&taken),
            "NotReady after {taken:?}"
        );
        Ok(())
    });
}
