//! Upgrades: where a node may go from where it is (Kubernetes' skew policy, facts B.8), and which version a
//! release channel means.

use crate::names::K3sVersion;

/// From the version that a node runs to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It runs that one already.
    There,
    /// Up, within its minor version or to the next one.
    Up,
    /// Up, over the heads of one or more minor versions.
    Skips,
    /// Down. k3s does not go back: its data may be in a newer form by then.
    Down,
}

/// The way between two versions.
#[must_use]
pub fn way(from: &K3sVersion, to: &K3sVersion) -> Way {
    let minors = |v: &K3sVersion| (v.major(), v.minor());
    if from == to {
        Way::There
    } else if to < from {
        Way::Down
    } else if to.major() != from.major() || minors(to).1 > minors(from).1.saturating_add(1) {
        Way::Skips
    } else {
        Way::Up
    }
}

/// By how many minor versions a kubelet of this version may be older than the servers.
#[must_use]
pub fn tolerated_lag(kubelet: &K3sVersion) -> u32 {
    if kubelet.minor() < 25 { 2 } else { 3 }
}

/// Whether an agent of this version works with servers of that one: never newer, and not too old.
#[must_use]
pub fn agent_fits(agent: &K3sVersion, servers: &K3sVersion) -> bool {
    agent <= servers
        && agent.major() == servers.major()
        && servers.minor() - agent.minor() <= tolerated_lag(agent)
}

/// The first release with etcd 3.6; every v1.34 has it.
const WITH_ETCD_3_6: &str = "v1.33.13-rc1+k3s1";
/// The first etcd 3.5 that brings the list of its members into a form that 3.6 may start with: after an older one,
/// members that were removed long ago come back (etcd, "zombie members").
const READY_FOR_ETCD_3_6: (u32, u32, u32) = (3, 5, 26);
/// Where to go first: releases with such an etcd.
pub const FIRST_READY_FOR_ETCD_3_6: &str = "v1.33.7+k3s3 or a later v1.33, up to v1.33.12";

/// Whether this version of k3s brings etcd 3.6.
#[must_use]
pub fn brings_etcd_3_6(version: &K3sVersion) -> bool {
    WITH_ETCD_3_6
        .parse::<K3sVersion>()
        .is_ok_and(|first| *version >= first)
}

/// Whether etcd 3.6 may follow on this version of etcd, as the member tells it; no if it is none.
#[must_use]
pub fn ready_for_etcd_3_6(etcd: &str) -> bool {
    let digits = |part: &str| {
        let end = part.find(|c: char| !c.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse::<u32>().ok()
    };
    let mut parts = etcd.trim_start_matches('v').splitn(3, '.').map(digits);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(major)), Some(Some(minor)), Some(Some(patch))) => {
            (major, minor, patch) >= READY_FOR_ETCD_3_6
        }
        _ => false,
    }
}

/// The version that a channel server named: at the end of the address it led to, as the official one does,
/// or in the text it answered.
#[must_use]
pub fn named_release(address: &str, text: &str) -> Option<K3sVersion> {
    let end = address.trim().rsplit('/').next().unwrap_or_default();
    let end = end.replace("%2B", "+").replace("%2b", "+");
    end.parse()
        .or_else(|_| text.lines().next().unwrap_or_default().trim().parse())
        .ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn etcd_3_6_follows_on_a_late_3_5_only() {
        let brings = |v: &str| super::brings_etcd_3_6(&v.parse().unwrap());
        assert!(brings("v1.34.1+k3s1") && brings("v1.35.0+k3s1") && brings("v1.33.13+k3s1"));
        assert!(!brings("v1.33.12+k3s1") && !brings("v1.32.13+k3s1"));
        for ready in ["3.5.26", "3.5.32", "3.6.4", "v3.5.26-k3s1"] {
            assert!(super::ready_for_etcd_3_6(ready), "{ready}");
        }
        for early in ["3.5.21", "3.4.13", "3.5", "", "new"] {
            assert!(!super::ready_for_etcd_3_6(early), "{early}");
        }
    }

    use super::*;

    fn v(text: &str) -> K3sVersion {
        text.parse().unwrap()
    }

    #[test]
    fn one_minor_at_a_time_and_never_back() {
        let cases = [
            ("v1.30.4+k3s1", "v1.30.4+k3s1", Way::There),
            ("v1.30.4+k3s1", "v1.30.4+k3s2", Way::Up),
            ("v1.30.4+k3s1", "v1.31.0+k3s1", Way::Up),
            ("v1.30.4+k3s1", "v1.32.0+k3s1", Way::Skips),
            ("v1.30.4+k3s2", "v1.30.4+k3s1", Way::Down),
            ("v1.30.4+k3s1", "v1.30.4-rc1+k3s1", Way::Down),
            ("v1.34.1+k3s1", "v2.0.0+k3s1", Way::Skips),
        ];
        for (from, to, expected) in cases {
            assert_eq!(way(&v(from), &v(to)), expected, "{from} to {to}");
        }
    }

    #[test]
    fn agents_may_lag_behind_but_not_be_ahead() {
        let fits = |agent, servers| agent_fits(&v(agent), &v(servers));
        assert!(fits("v1.28.1+k3s1", "v1.31.1+k3s1"));
        assert!(!fits("v1.27.1+k3s1", "v1.31.1+k3s1"));
        assert!(fits("v1.24.1+k3s1", "v1.26.1+k3s1"));
        assert!(!fits("v1.24.1+k3s1", "v1.27.1+k3s1"));
        assert!(!fits("v1.31.2+k3s1", "v1.31.1+k3s1"));
    }

    #[test]
    fn a_channel_is_named_by_address_or_text() {
        let release = Some(v("v1.33.5+k3s1"));
        let tag = "https://github.com/k3s-io/k3s/releases/tag/v1.33.5+k3s1";
        assert_eq!(named_release(tag, "<html>"), release);
        assert_eq!(named_release(&tag.replace('+', "%2B"), ""), release);
        let own = "http://files/channels/v1.33";
        assert_eq!(named_release(own, "v1.33.5+k3s1\n"), release);
        assert_eq!(named_release(own, "<html>not found"), None);
        assert_eq!(named_release("", ""), None);
    }
}
