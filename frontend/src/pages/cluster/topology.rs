//! The way of a request: clients, load balancer, servers with etcd, agents. Lanes of real text, so that it is a list for
//! those who cannot see the lines.

use coxswain_wire::{Cluster, EndpointLive, Host, MemberRole};
use leptos::prelude::*;

use super::{Seen, host_name};
use crate::components::badge::StatusIcon;
use crate::components::icon::Icon;
use crate::components::panel::Panel;
use crate::words::{Look, Tone};

/// One machine in a lane.
#[derive(Clone, Debug, PartialEq)]
struct Spot {
    name: String,
    address: String,
    look: Look,
    /// What is known of it, in words.
    note: String,
    /// Latency on the way to it.
    latency: Option<u32>,
    leader: bool,
}

fn endpoint_look(endpoint: Option<&EndpointLive>) -> Look {
    match endpoint {
        Some(e) if e.ready => ("Ready", Tone::Good, Icon::Check),
        Some(_) => ("Not ready", Tone::Bad, Icon::Cross),
        None => ("Not observed", Tone::Quiet, Icon::Circle),
    }
}

fn spots(cluster: &Cluster, hosts: &[Host], role: MemberRole) -> Vec<Spot> {
    let live = cluster.live.as_ref();
    cluster
        .members
        .iter()
        .filter(|m| m.role == role)
        .map(|member| {
            let name = host_name(hosts, member.host);
            let address = hosts
                .iter()
                .find(|h| h.id == member.host)
                .map(|h| h.node_address.clone())
                .unwrap_or_default();
            let endpoint = live.and_then(|l| {
                l.endpoints
                    .iter()
                    .find(|e| e.name == name && e.role == role)
            });
            let node = live.and_then(|l| l.nodes.as_ref()?.iter().find(|n| n.name == name));
            let etcd = live
                .and_then(|l| l.etcd.as_ref())
                .and_then(|e| e.members.iter().find(|m| is_member_of(&m.name, &name)));
            let look = match role {
                MemberRole::Server | MemberRole::LoadBalancer => endpoint_look(endpoint),
                MemberRole::Agent => match node {
                    Some(n) if n.ready => ("Ready", Tone::Good, Icon::Check),
                    Some(_) => ("Not ready", Tone::Bad, Icon::Cross),
                    None => ("Not observed", Tone::Quiet, Icon::Circle),
                },
            };
            let note = match (endpoint, node) {
                (Some(e), _) if !e.ready && !e.detail.is_empty() => e.detail.clone(),
                (_, Some(n)) if n.cordoned => format!("{}, cordoned", n.version),
                (_, Some(n)) => n.version.clone(),
                (Some(_), None) | (None, None) => String::new(),
            };
            let latency = endpoint.and_then(|e| e.latency_ms);
            Spot {
                name,
                address,
                look,
                note,
                latency,
                leader: etcd.is_some_and(|m| m.leader),
            }
        })
        .collect()
}

/// k3s names an etcd member `<node>-<8 hex>`.
pub(super) fn is_member_of(member: &str, node: &str) -> bool {
    member
        .strip_prefix(node)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|id| !id.contains('-'))
}

#[component]
pub(super) fn Topology(seen: Seen, hosts: Signal<Vec<Host>>) -> impl IntoView {
    let lanes = move || {
        seen.with(|c| {
            let c = c.as_ref()?;
            hosts.with(|hosts| {
                let lanes: Vec<_> = [
                    ("Load balancer", MemberRole::LoadBalancer),
                    ("Servers", MemberRole::Server),
                    ("Agents", MemberRole::Agent),
                ]
                .into_iter()
                .map(|(title, role)| (title, spots(c, hosts, role)))
                .filter(|(_, spots)| !spots.is_empty())
                .map(|(title, spots)| lane(title, spots))
                .collect();
                let endpoint = c.endpoint.clone();
                Some(view! {
                    <div class="lane lane-entry">
                        <h3>"Clients"</h3>
                        <ul><li class="spot spot-entry"><span class="spot-name mono">{endpoint}</span><span class="spot-note">":6443"</span></li></ul>
                    </div>
                    {lanes}
                }.into_any())
            })
        })
    };
    view! {
        <Panel title="Topology" hint="how the API is reached">
            <div class="topology">{lanes}</div>
        </Panel>
    }
    .into_any()
}

fn lane(title: &'static str, spots: Vec<Spot>) -> AnyView {
    view! {
        <div class="lane">
            <h3>{title}</h3>
            <ul>
                {spots.into_iter().map(|s| view! {
                    <li class=format!("spot tone-{}", s.look.1.class())>
                        <StatusIcon look=Signal::stored(s.look)/>
                        <span class="spot-text">
                            <span class="spot-name">
                                {s.name}
                                {s.leader.then(|| view! { <span class="tag tone-active">"etcd leader"</span> }.into_any())}
                            </span>
                            <span class="spot-note">
                                <span class="mono">{s.address}</span>
                                {(!s.note.is_empty()).then(|| view! { <span class="dot-before">{s.note}</span> }.into_any())}
                            </span>
                        </span>
                        {s.latency.map(|ms| view! { <span class="spot-latency num" title="Time to answer">{format!("{ms} ms")}</span> }.into_any())}
                    </li>
                }.into_any()).collect_view()}
            </ul>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::is_member_of;

    #[test]
    fn members_are_found_by_node() {
        assert!(is_member_of("node1-1a2b3c4d", "node1"));
        assert!(!is_member_of("node1-b-1a2b3c4d", "node1"));
        assert!(!is_member_of("node10-1a2b3c4d", "node1"));
    }
}
