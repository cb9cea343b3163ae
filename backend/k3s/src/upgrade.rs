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
