//! What to do when etcd members are missing: names the situation and leads to the fitting procedure.

use coxswain_wire::{Cluster, ClusterId, ClusterPhase, Host, Permission, RunId, Snapshot};
use leptos::prelude::*;

use super::Seen;
use crate::components::button::{LinkButton, Look};
use crate::components::icon::{Glyph, Icon};
use crate::health::{Recovery, recovery};
use crate::load::load;
use crate::paths;
use crate::state::app;
use crate::words::Tone;

/// The guide; nothing while all members are healthy. A run that holds the cluster may have stopped a server on purpose,
/// but a lost quorum is told all the same: the run may have failed because of it.
#[component]
pub(super) fn Guide(id: ClusterId, seen: Seen, hosts: Signal<Vec<Host>>) -> impl IntoView {
    let situation = Memo::new(move |_| seen.with(|c| c.as_ref().and_then(of_cluster)));
    let app = app();
    let known = load(move || {
        let api = app.api();
        async move {
            let workflows = api.workflows().await?;
            Ok(Known {
                // Newest first.
                newest: api.snapshots(id).await?.into_iter().next(),
                replaces: workflows.iter().any(|w| w.name == "replace_node"),
            })
        }
    });
    move || {
        let situation = situation.get()?;
        let known = known.value().unwrap_or_default();
        Some(hosts.with(|hosts| draw(id, &situation, &known, hosts)))
    }
}

/// What the links need to know.
#[derive(Clone, Default)]
struct Known {
    newest: Option<Snapshot>,
    /// There is a procedure that replaces a node in one go.
    replaces: bool,
}

/// What has happened, and the run that holds the cluster meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Situation {
    what: Recovery,
    held_by: Option<RunId>,
}

fn of_cluster(cluster: &Cluster) -> Option<Situation> {
    if cluster.phase != ClusterPhase::Running {
        return None;
    }
    let held_by = cluster.locked_by;
    let what = recovery(cluster.live.as_ref()?)?;
    match what {
        Recovery::MemberLost { .. } if held_by.is_some() => None,
        Recovery::MemberLost { .. } | Recovery::QuorumLost { .. } => {
            Some(Situation { what, held_by })
        }
    }
}

fn draw(id: ClusterId, situation: &Situation, known: &Known, hosts: &[Host]) -> AnyView {
    let (tone, title, text, links) = match &situation.what {
        Recovery::MemberLost {
            missing,
            healthy,
            all,
            tolerates,
        } => (
            Tone::Warn,
            match missing.len() {
                1 => format!("1 of {all} servers is not healthy"),
                several => format!("{several} of {all} servers are not healthy"),
            },
            format!(
                "{} not take part in etcd. {healthy} of {all} members are healthy, which is enough: the cluster works, no data is lost, and {}. {} This is no reason to restore a snapshot.",
                match missing.as_slice() {
                    [one] => format!("{one} does"),
                    several => format!("{} do", several.join(", ")),
                },
                match tolerates {
                    0 => "one more loss is an outage".to_owned(),
                    1 => "one more loss is tolerated".to_owned(),
                    n => format!("{n} more losses are tolerated"),
                },
                match missing.len() {
                    1 => "Bring the machine back, or, if it is gone for good, replace it.",
                    _ =>
                        "Bring the machines back, or, if one is gone for good, replace it. If more are gone for good, name all of them in that form.",
                }
            ),
            missing
                .iter()
                .map(|name| replace(id, name, known, hosts))
                .collect(),
        ),
        Recovery::QuorumLost {
            healthy,
            all,
            needed,
        } => (
            Tone::Bad,
            "The quorum is lost: nothing can be written".to_owned(),
            format!(
                "{} {needed} are needed. First try to bring the machines back: when enough of them run again, the cluster goes on by itself and nothing is lost. Only if they are gone for good, restore a snapshot: what was written since then is lost.",
                match (healthy, all) {
                    (_, 0) => "No server tells of its etcd members.".to_owned(),
                    (healthy, all) => format!("{healthy} of {all} etcd members are healthy."),
                }
            ),
            vec![(
                "Restore a snapshot".to_owned(),
                restore(id, "quorum_lost", known.newest.as_ref()),
            )],
        ),
    };
    let may = untrack(|| app().may(Permission::Operate));
    // Its form would be refused as long as the run holds the cluster.
    let (held, links) = match situation.held_by {
        Some(run) => (
            Some(format!(
                "Run #{run} holds this cluster. If it works, this may be what it does, as a restore does: wait for it. If it does not go on, retry it, unwind it or abandon it first."
            )),
            vec![(format!("Open run #{run}"), paths::run(run))],
        ),
        None if may => (None, links),
        None => (None, Vec::new()),
    };
    let links = links
        .into_iter()
        .map(|(label, href)| {
            view! { <LinkButton look=Look::Primary href=href testid="recovery-action">{label}</LinkButton> }
                .into_any()
        })
        .collect_view();
    view! {
        <div class=format!("callout recovery tone-{}", tone.class()) role="alert" data-testid="recovery-guide">
            <Glyph icon=Icon::Warn/>
            <div>
                <p><strong>{title}</strong></p>
                <p>{text}</p>
                {held.map(|words| view! { <p>{words}</p> }.into_any())}
                <div class="form-actions">{links}</div>
            </div>
        </div>
    }
    .into_any()
}

/// Label and form of what takes a lost node's place.
fn replace(id: ClusterId, name: &str, known: &Known, hosts: &[Host]) -> (String, String) {
    let (label, workflow) = if known.replaces {
        (format!("Replace {name}"), "replace_node")
    } else {
        (format!("Remove {name}, then join another"), "remove_node")
    };
    let form = paths::new_run(workflow, Some(id));
    let href = match hosts.iter().find(|h| h.name == name) {
        Some(host) => format!("{form}&host={}&state=lost", host.id),
        None => form,
    };
    (label, href)
}

/// The form of a restore, filled in as far as it is known.
pub(super) fn restore(id: ClusterId, situation: &str, snapshot: Option<&Snapshot>) -> String {
    let form = paths::new_run("snapshot_restore", Some(id));
    match snapshot {
        Some(snapshot) => format!(
            "{form}&situation={situation}&source=panel&snapshot={}",
            snapshot.name()
        ),
        None => format!("{form}&situation={situation}&source=file"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use coxswain_wire::{ClusterLive, EtcdLive, EtcdMember, Timestamp};

    use super::*;

    fn cluster(healthy: usize, held_by: Option<RunId>) -> Cluster {
        let members = (0..3).map(|n| EtcdMember {
            name: format!("node{n}"),
            healthy: n < healthy,
            learner: false,
            leader: false,
        });
        Cluster {
            id: ClusterId(1),
            name: "prod".into(),
            endpoint: "10.0.0.1".into(),
            members: Vec::new(),
            phase: ClusterPhase::Running,
            locked_by: held_by,
            live: Some(ClusterLive {
                observed_at: Timestamp(0),
                endpoints: Vec::new(),
                nodes: None,
                etcd: Some(EtcdLive {
                    members: members.collect(),
                    quorum: 2,
                    tolerates: 0,
                }),
                workloads: None,
                names: BTreeMap::new(),
            }),
        }
    }

    #[test]
    fn a_run_hides_a_stopped_server_but_no_lost_quorum() {
        let run = Some(RunId(7));
        assert_eq!(of_cluster(&cluster(3, None)), None);
        assert!(of_cluster(&cluster(2, None)).is_some());
        assert_eq!(of_cluster(&cluster(2, run)), None);
        let lost = of_cluster(&cluster(1, run)).unwrap();
        assert_eq!(lost.held_by, run);
    }
}
