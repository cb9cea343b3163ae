//! Nodes, etcd members and served certificates as tables.

use std::collections::BTreeMap;

use coxswain_wire::{EndpointLive, EtcdMember, NameOrigin, NodeLive};
use leptos::prelude::*;

use super::{Seen, live};
use crate::components::badge::{StatusIcon, Tag};
use crate::components::icon::Icon;
use crate::components::panel::Panel;
use crate::format;
use crate::health;
use crate::state::app;
use crate::words::{Look, Tone, member_role};

fn nothing(text: &'static str) -> AnyView {
    view! { <p class="panel-empty">{text}</p> }.into_any()
}

fn ready(is: bool, yes: &'static str, no: &'static str) -> Look {
    if is {
        (yes, Tone::Good, Icon::Check)
    } else {
        (no, Tone::Bad, Icon::Cross)
    }
}

#[component]
pub(super) fn Nodes(seen: Seen) -> impl IntoView {
    let body = move || match live(seen)() {
        None => nothing("Nothing was observed yet. Nodes appear after the bootstrap."),
        Some(l) => match l.nodes {
            None => nothing("No API endpoint answered, so the nodes are not known."),
            Some(nodes) => table(
                &["Node", "Roles", "Version", "Address"],
                nodes.into_iter().map(node_row).collect(),
            ),
        },
    };
    view! { <Panel title="Nodes" flush=true testid="cluster-nodes" hint="as the Kubernetes API lists them; stale for up to 40 s">{body}</Panel> }.into_any()
}

fn node_row(node: NodeLive) -> AnyView {
    view! {
        <tr data-node=node.name.clone() data-ready=node.ready.to_string()>
            <td>
                <span class="with-icon">
                    <StatusIcon look=Signal::stored(ready(node.ready, "Ready", "Not ready"))/>
                    <span class="strong">{node.name.clone()}</span>
                    {node.cordoned.then(|| view! { <Tag text="cordoned" tone=Tone::Warn/> }.into_any())}
                </span>
            </td>
            <td>{node.roles.into_iter().map(|r| view! { <Tag text=r/> }.into_any()).collect_view()}</td>
            <td class="mono">{node.version}</td>
            <td class="mono">{node.address}</td>
        </tr>
    }
    .into_any()
}

#[component]
pub(super) fn Etcd(seen: Seen) -> impl IntoView {
    let body = move || match live(seen)().and_then(|l| l.etcd) {
        None if live(seen)().as_ref().is_some_and(health::without_etcd) => {
            nothing("This cluster has no etcd: one server with SQLite, not highly available.")
        }
        None => nothing("No server could be asked for its etcd members."),
        Some(etcd) => table(
            &["Member", "Health", "Part"],
            etcd.members.into_iter().map(etcd_row).collect(),
        ),
    };
    let hint = Signal::derive(move || {
        live(seen)()
            .and_then(|l| l.etcd)
            .map_or_else(String::new, |e| {
                format!(
                    "{} of {} needed for writes",
                    e.quorum,
                    e.members.iter().filter(|m| !m.learner).count()
                )
            })
    });
    view! { <Panel title="etcd members" flush=true testid="cluster-etcd" hint=hint>{body}</Panel> }
        .into_any()
}

fn etcd_row(member: EtcdMember) -> AnyView {
    let part = match (member.leader, member.learner) {
        (true, _) => ("Leader", Tone::Active),
        (false, true) => ("Learner, does not vote yet", Tone::Warn),
        (false, false) => ("Follower", Tone::Quiet),
    };
    view! {
        <tr data-member=member.name.clone() data-healthy=member.healthy.to_string()>
            <td class="mono">{member.name.clone()}</td>
            <td>
                <span class="with-icon">
                    <StatusIcon look=Signal::stored(ready(member.healthy, "Healthy", "Not healthy"))/>
                    {if member.healthy { "healthy" } else { "not healthy" }}
                </span>
            </td>
            <td><Tag text=part.0 tone=part.1/></td>
        </tr>
    }
    .into_any()
}

#[component]
pub(super) fn Certificates(seen: Seen) -> impl IntoView {
    let observed = live(seen);
    let body = move || {
        let (all, origins) = observed()
            .map(|l| (l.endpoints, l.names))
            .unwrap_or_default();
        if all.is_empty() {
            return nothing("No endpoint was observed yet.");
        }
        let rows = all.iter().map(certificate_row).collect();
        let sans = sans(&all, &origins);
        view! {
            {table(&["Served by", "Serial", "Ends"], rows)}
            {sans}
        }
        .into_any()
    };
    view! { <Panel title="API certificates" flush=true testid="cluster-certificates" hint="as a TLS handshake with each endpoint showed them">{body}</Panel> }.into_any()
}

fn certificate_row(endpoint: &EndpointLive) -> AnyView {
    let now = app().now.get_untracked();
    let shown = match &endpoint.certificate {
        Some(c) => {
            let tone = health::certificate_tone(c.not_after, now).class();
            view! {
                <td class="mono ellipsis" title=c.serial.clone()>{c.serial.clone()}</td>
                <td title=format::utc(c.not_after)><span class=format!("tone-{tone} toned")>{format::until(c.not_after, now)}</span></td>
            }
            .into_any()
        }
        None => view! { <td colspan="2" class="quiet">"not seen"</td> }.into_any(),
    };
    view! {
        <tr>
            <td>
                <span class="stack">
                    <span class="strong">{endpoint.name.clone()}</span>
                    <span class="quiet">{member_role(endpoint.role)}<span class="dot-before mono">{endpoint.address.clone()}</span></span>
                </span>
            </td>
            {shown}
        </tr>
    }
    .into_any()
}

/// Every name of any certificate, where it comes from, and who serves one without it.
fn sans(endpoints: &[EndpointLive], origins: &BTreeMap<String, NameOrigin>) -> AnyView {
    let served: Vec<_> = endpoints
        .iter()
        .filter_map(|e| e.certificate.as_ref().map(|c| (e.name.as_str(), &c.sans)))
        .collect();
    let mut names: Vec<&String> = served.iter().flat_map(|(_, sans)| sans.iter()).collect();
    names.sort_unstable();
    names.dedup();
    let rows = names
        .into_iter()
        .map(|name| {
            let without: Vec<_> = served
                .iter()
                .filter(|(_, sans)| !sans.contains(name))
                .map(|(by, _)| *by)
                .collect();
            let (origin, tone) = origin(origins.get(name));
            view! {
                <tr data-testid=format!("san-{name}")>
                    <td class="mono">{name.clone()}</td>
                    <td><span class=format!("tone-{} toned", tone.class())>{origin}</span></td>
                    <td>{(!without.is_empty()).then(|| view! {
                        <Tag text=format!("missing on {}", without.join(", ")) tone=Tone::Warn/>
                    }.into_any())}</td>
                </tr>
            }
            .into_any()
        })
        .collect();
    view! {
        <div class="sans">
            <h3>"Subject alternative names"</h3>
            {table(&["Name", "Comes from", ""], rows)}
        </div>
    }
    .into_any()
}

/// Why a name is there, in words.
fn origin(of: Option<&NameOrigin>) -> (String, Tone) {
    match of {
        None => ("not seen".to_owned(), Tone::Quiet),
        Some(NameOrigin::Flag { servers }) => {
            (format!("flag, on {}", servers.join(", ")), Tone::Quiet)
        }
        Some(NameOrigin::NodeAddress { node }) => (format!("address of {node}"), Tone::Quiet),
        Some(NameOrigin::HostName { node }) => (format!("name of {node}"), Tone::Quiet),
        Some(NameOrigin::Standard) => ("k3s's own".to_owned(), Tone::Quiet),
        Some(NameOrigin::History) => ("history: nothing asks for it".to_owned(), Tone::Warn),
    }
}

/// A table with a heading row; scrolls sideways where it is too wide.
pub(crate) fn table(heads: &[&'static str], rows: Vec<AnyView>) -> AnyView {
    view! {
        <div class="table-wrap" tabindex="0" role="group" aria-label="Table">
            <table class="table">
                <thead><tr>{heads.iter().map(|head| view! { <th scope="col">{*head}</th> }.into_any()).collect_view()}</tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_good() {
        assert_eq!(ready(true, "Ready", "Not ready").1, Tone::Good);
        assert_eq!(ready(false, "Ready", "Not ready").0, "Not ready");
    }
}
