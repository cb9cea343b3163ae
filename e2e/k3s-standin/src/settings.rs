//! Settings only the stand-in has, all from `K3S_STANDIN_*` variables. Their defaults are k3s's behaviour.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::paths::Paths;

/// Where and how fast this instance runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Every absolute path of k3s, under an optional root (`K3S_STANDIN_ROOT`).
    pub(crate) paths: Paths,
    /// Factor for every timer (`K3S_STANDIN_TIME_SCALE`); 1.0 is the real thing.
    pub(crate) time_scale: f64,
    /// What stands for 127.0.0.1 (`K3S_STANDIN_LOOPBACK`), so that several servers fit on one machine.
    pub(crate) loopback: IpAddr,
    /// Address :6443 is bound to: all of them, or the loopback override.
    pub(crate) bind: IpAddr,
    /// The etcd program (`K3S_STANDIN_ETCD`).
    pub(crate) etcd: PathBuf,
    /// etcd's own client (`K3S_STANDIN_ETCDCTL`), which makes a database out of a snapshot.
    pub(crate) etcdctl: PathBuf,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// When a variable does not parse.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let time_scale = match var("K3S_STANDIN_TIME_SCALE") {
            None => 1.0,
            Some(text) => text
                .parse::<f64>()
                .context("K3S_STANDIN_TIME_SCALE is not a number")?,
        };
        if !(0.001..=100.0).contains(&time_scale) {
            bail!("K3S_STANDIN_TIME_SCALE must lie between 0.001 and 100");
        }
        let override_loopback = match var("K3S_STANDIN_LOOPBACK") {
            None => None,
            Some(text) => Some(
                text.parse::<IpAddr>()
                    .context("K3S_STANDIN_LOOPBACK is not an address")?,
            ),
        };
        Ok(Self {
            paths: Paths::under(var("K3S_STANDIN_ROOT").map(PathBuf::from)),
            time_scale,
            loopback: override_loopback.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            bind: override_loopback.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            etcd: var("K3S_STANDIN_ETCD").map_or_else(|| PathBuf::from("etcd"), PathBuf::from),
            etcdctl: var("K3S_STANDIN_ETCDCTL")
                .map_or_else(|| PathBuf::from("etcdctl"), PathBuf::from),
        })
    }

    /// A duration of the real k3s, scaled.
    pub(crate) fn scaled(&self, real: Duration) -> Duration {
        real.mul_f64(self.time_scale)
    }

    /// As [`Settings::scaled`], but no shorter than `least`: what a healthy server must answer within has to outlast the
    /// stalls of a busy machine, which no setting scales.
    pub(crate) fn scaled_at_least(&self, real: Duration, least: Duration) -> Duration {
        self.scaled(real).max(least.min(real))
    }
}
