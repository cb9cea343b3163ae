//! What a cluster's live state means: control plane, applications, quorum and certificates, each as
//! one line for a person. Pure.

use coxswain_wire::{
    ClusterLive, EndpointLive, EtcdLive, MemberRole, ServedCertificate, Timestamp,
};

use crate::format;
use crate::words::Tone;

/// A judgement with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) tone: Tone,
    /// One or two words.
    pub(crate) headline: &'static str,
    /// The numbers behind it.
    pub(crate) detail: String,
    /// Parts that are well, and all parts; for the meter.
    pub(crate) parts: (u32, u32),
}

/// Days before the end of a certificate from which people should act, and must act.
const CERTIFICATE_WARN_DAYS: i64 = 30;
const CERTIFICATE_BAD_DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;

fn len(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Whether people and machines can talk to the Kubernetes API.
pub(crate) fn control_plane(live: Option<&ClusterLive>) -> Health {
    let Some(live) = live else {
        return unknown("Not observed yet");
    };
    let of = |role: MemberRole| live.endpoints.iter().filter(move |e| e.role == role);
    let ready = |e: &&EndpointLive| e.ready;
    let servers = (
        len(of(MemberRole::Server).filter(ready).count()),
        len(of(MemberRole::Server).count()),
    );
    let front = of(MemberRole::LoadBalancer).next().is_some();
    let front_ready = of(MemberRole::LoadBalancer).any(|e| e.ready);
    let all = len(live.endpoints.len());
    let well = len(live.endpoints.iter().filter(ready).count());
    let servers_text = format!("{} of {} servers ready", servers.0, servers.1);
    let (tone, headline, detail) = match (front, front_ready, servers) {
        (_, _, (0, _)) => (Tone::Bad, "Unavailable", "No server's API answers".into()),
        (true, false, _) => (
            Tone::Bad,
            "Unavailable",
            format!("Load balancer does not answer; {servers_text}"),
        ),
        (_, _, (well, all)) if well < all => (Tone::Warn, "Degraded", servers_text),
        (true, true, _) => (
            Tone::Good,
            "Available",
            format!("{servers_text}, load balancer answers"),
        ),
        (false, _, _) => (Tone::Good, "Available", servers_text),
    };
    Health {
        tone,
        headline,
        detail,
        parts: (well, all),
    }
}

/// Whether what runs on the cluster has its replicas.
pub(crate) fn applications(live: Option<&ClusterLive>) -> Health {
    let Some(live) = live else {
        return unknown("Not observed yet");
    };
    let Some(workloads) = &live.workloads else {
        return unknown("No API answers, so nothing is known");
    };
    let (ready, wanted) = (workloads.ready, workloads.wanted);
    let detail = format!("{ready} of {wanted} replicas ready");
    let (tone, headline) = match (ready, wanted) {
        (_, 0) => (Tone::Quiet, "Nothing deployed"),
        (0, _) => (Tone::Bad, "Unavailable"),
        (ready, wanted) if ready < wanted => (Tone::Warn, "Degraded"),
        _ => (Tone::Good, "Available"),
    };
    Health {
        tone,
        headline,
        detail,
        parts: (ready, wanted),
    }
}

fn unknown(detail: &str) -> Health {
    Health {
        tone: Tone::Quiet,
        headline: "Unknown",
        detail: detail.into(),
        parts: (0, 0),
    }
}

/// True if its servers say that they are no etcd members: a single one with SQLite.
pub(crate) fn without_etcd(live: &ClusterLive) -> bool {
    let has = |role: &str| {
        live.nodes
            .iter()
            .flatten()
            .any(|node| node.roles.iter().any(|r| r == role))
    };
    live.etcd.is_none() && has("control-plane") && !has("etcd")
}

/// The same of a whole cluster, which may have no etcd at all.
pub(crate) fn quorum_of(live: Option<&ClusterLive>) -> Health {
    if live.is_some_and(without_etcd) {
        return Health {
            tone: Tone::Warn,
            headline: "Not highly available",
            detail: "One server with SQLite, no etcd: its loss is an outage".into(),
            parts: (1, 1),
        };
    }
    quorum(live.and_then(|l| l.etcd.as_ref()))
}

/// How far etcd is from losing its quorum.
pub(crate) fn quorum(etcd: Option<&EtcdLive>) -> Health {
    let Some(etcd) = etcd else {
        return unknown("No server could be asked");
    };
    let voters = etcd.members.iter().filter(|m| !m.learner);
    let (healthy, all) = voters.fold((0u32, 0u32), |(healthy, all), m| {
        (healthy + u32::from(m.healthy), all + 1)
    });
    let detail = match etcd.tolerates {
        n if n > 0 => format!("{healthy} of {all} members, tolerates {n}"),
        _ if healthy < etcd.quorum => format!("{healthy} of {all} members, {} needed", etcd.quorum),
        _ => format!("{healthy} of {all} members, tolerates no loss"),
    };
    let (tone, headline) = if healthy < etcd.quorum {
        (Tone::Bad, "Lost")
    } else if etcd.tolerates == 0 || healthy < all {
        (Tone::Warn, "At the edge")
    } else {
        (Tone::Good, "Held")
    };
    let headline = if tone == Tone::Warn && etcd.tolerates > 0 {
        "Reduced"
    } else {
        headline
    };
    Health {
        tone,
        headline,
        detail,
        parts: (healthy, all),
    }
}

/// What a cluster with missing etcd members needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// The others hold the quorum.
    MemberLost {
        /// Node names.
        missing: Vec<String>,
        healthy: u32,
        all: u32,
        /// Further losses.
        tolerates: u32,
    },
    /// Nothing can be written.
    QuorumLost {
        healthy: u32,
        /// 0: no server gives a member list.
        all: u32,
        /// Healthy members needed.
        needed: u32,
    },
}

/// Which of the situations it is; none if all members are healthy.
pub(crate) fn recovery(live: &ClusterLive) -> Option<Recovery> {
    let Some(etcd) = &live.etcd else {
        let servers = live
            .endpoints
            .iter()
            .filter(|e| e.role == MemberRole::Server);
        let all = len(servers.clone().count());
        // An API that answers is a quorum, though the servers could not be asked over SSH.
        let works = live.endpoints.iter().any(|e| e.ready) || live.nodes.is_some();
        return (!works && all > 0).then_some(Recovery::QuorumLost {
            healthy: 0,
            all: 0,
            needed: all / 2 + 1,
        });
    };
    let voters = || etcd.members.iter().filter(|m| !m.learner);
    let all = len(voters().count());
    let healthy = len(voters().filter(|m| m.healthy).count());
    if healthy < etcd.quorum {
        return Some(Recovery::QuorumLost {
            healthy,
            all,
            needed: etcd.quorum,
        });
    }
    (healthy < all).then(|| Recovery::MemberLost {
        missing: voters()
            .filter(|m| !m.healthy)
            .map(|m| node_of_member(&m.name).to_owned())
            .collect(),
        healthy,
        all,
        tolerates: etcd.tolerates,
    })
}

/// A member is named after its node, with a dash and eight more characters.
fn node_of_member(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((node, suffix)) if suffix.len() == 8 => node,
        Some(_) | None => name,
    }
}

/// The served certificate that ends first.
pub(crate) fn first_to_end(live: &ClusterLive) -> Option<&ServedCertificate> {
    live.endpoints
        .iter()
        .filter_map(|e| e.certificate.as_ref())
        .min_by_key(|c| c.not_after)
}

/// How urgent the end of a certificate is.
pub(crate) fn certificate_tone(not_after: Timestamp, now: i64) -> Tone {
    match (not_after.0 - now).div_euclid(DAY_MS) {
        ..CERTIFICATE_BAD_DAYS => Tone::Bad,
        CERTIFICATE_BAD_DAYS..CERTIFICATE_WARN_DAYS => Tone::Warn,
        CERTIFICATE_WARN_DAYS.. => Tone::Good,
    }
}

/// Tone and words for the certificate that ends first.
pub(crate) fn certificate(live: Option<&ClusterLive>, now: i64) -> (Tone, String) {
    match live.and_then(first_to_end) {
        Some(c) if c.not_after.0 <= now => (
            Tone::Bad,
            format!("Expired {}", format::ago(c.not_after, now)),
        ),
        Some(c) => {
            let left = (c.not_after.0 - now) / DAY_MS;
            let days = usize::try_from(left).unwrap_or_default();
            (
                certificate_tone(c.not_after, now),
                format!("{} left", format::count(days, "day")),
            )
        }
        None => (Tone::Quiet, "Not seen".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coxswain_wire::{EtcdMember, WorkloadsLive};

    fn endpoint(role: MemberRole, ready: bool) -> EndpointLive {
        EndpointLive {
            name: "n".into(),
            address: "10.0.0.1:6443".into(),
            role,
            ready,
            detail: String::new(),
            latency_ms: None,
            certificate: None,
        }
    }

    fn live(endpoints: Vec<EndpointLive>) -> ClusterLive {
        ClusterLive {
            observed_at: Timestamp(0),
            endpoints,
            nodes: None,
            etcd: None,
            workloads: None,
            names: std::collections::BTreeMap::new(),
        }
    }

    fn etcd(healthy: u32, all: u32) -> EtcdLive {
        let quorum = all / 2 + 1;
        EtcdLive {
            members: (0..all)
                .map(|i| EtcdMember {
                    name: format!("n{i}"),
                    healthy: i < healthy,
                    learner: false,
                    leader: i == 0,
                })
                .collect(),
            quorum,
            tolerates: healthy.saturating_sub(quorum),
        }
    }

    #[test]
    fn a_dead_load_balancer_is_an_outage_although_all_servers_answer() {
        let seen = live(vec![
            endpoint(MemberRole::LoadBalancer, false),
            endpoint(MemberRole::Server, true),
        ]);
        assert_eq!(control_plane(Some(&seen)).tone, Tone::Bad);
    }

    #[test]
    fn one_server_down_is_degraded() {
        let seen = live(vec![
            endpoint(MemberRole::Server, true),
            endpoint(MemberRole::Server, false),
        ]);
        let health = control_plane(Some(&seen));
        assert_eq!(
            (health.tone, health.detail.as_str()),
            (Tone::Warn, "1 of 2 servers ready")
        );
    }

    #[test]
    fn quorum_says_what_may_still_be_lost() {
        assert_eq!(
            quorum(Some(&etcd(3, 3))).detail,
            "3 of 3 members, tolerates 1"
        );
        assert_eq!(
            quorum(Some(&etcd(2, 3))).detail,
            "2 of 3 members, tolerates no loss"
        );
        assert_eq!(quorum(Some(&etcd(2, 3))).tone, Tone::Warn);
        assert_eq!(quorum(Some(&etcd(1, 3))).tone, Tone::Bad);
        assert_eq!(quorum(Some(&etcd(4, 5))).headline, "Reduced");
    }

    #[test]
    fn the_guide_tells_a_lost_member_from_a_lost_quorum() {
        let with = |etcd_live: Option<EtcdLive>, ready: bool| {
            let mut seen = live(vec![endpoint(MemberRole::Server, ready)]);
            seen.etcd = etcd_live;
            recovery(&seen)
        };
        assert_eq!(with(Some(etcd(3, 3)), true), None);
        assert_eq!(
            with(Some(etcd(2, 3)), true),
            Some(Recovery::MemberLost {
                missing: vec!["n2".into()],
                healthy: 2,
                all: 3,
                tolerates: 0,
            })
        );
        assert_eq!(
            with(Some(etcd(1, 3)), false),
            Some(Recovery::QuorumLost {
                healthy: 1,
                all: 3,
                needed: 2,
            })
        );
        assert_eq!(with(None, true), None, "the API answers");
        assert!(matches!(
            with(None, false),
            Some(Recovery::QuorumLost { all: 0, .. })
        ));
        assert_eq!(node_of_member("a-b-0123abcd"), "a-b");
    }

    #[test]
    fn no_deployments_is_no_fault() {
        let mut seen = live(vec![]);
        seen.workloads = Some(WorkloadsLive {
            wanted: 0,
            ready: 0,
        });
        assert_eq!(applications(Some(&seen)).tone, Tone::Quiet);
    }

    #[test]
    fn certificates_warn_in_time() {
        assert_eq!(certificate_tone(Timestamp(DAY_MS * 90), 0), Tone::Good);
        assert_eq!(certificate_tone(Timestamp(DAY_MS * 29), 0), Tone::Warn);
        assert_eq!(certificate_tone(Timestamp(DAY_MS * 6), 0), Tone::Bad);
    }
}
