//! What to do when etcd members are missing: names the situation and leads to the fitting procedure.

use coxswain_wire::{Cluster, ClusterId, ClusterPhase, Host, Permission, Snapshot};
use leptos::prelude::*;

use super::Seen;
use crate::components::button::{LinkButton, Look};
use crate::components::icon::{Glyph, Icon};
use crate::health::{Recovery, recovery};
use crate::load::load;
use crate::paths;
use crate::state::app;
use crate::words::Tone;

/// The guide; nothing while all members are healthy, or while a run works on the cluster.
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

fn of_cluster(cluster: &Cluster) -> Option<Recovery> {
    let quiet = cluster.locked_by.is_some() || cluster.phase != ClusterPhase::Running;
    if quiet {
        return None;
    }
    recovery(cluster.live.as_ref()?)
}

fn draw(id: ClusterId, situation: &Recovery, known: &Known, hosts: &[Host]) -> AnyView {
    let (tone, title, text, links) = match situation {
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
    let links = links
        .into_iter()
        .filter(|_| may)
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
