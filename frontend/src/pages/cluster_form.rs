//! A new cluster, or changes to one: name, endpoint, and what each host is in it.

use coxswain_wire::{Cluster, ClusterId, Host, HostId, Member, MemberRole, NewCluster};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use crate::components::badge::Tag;
use crate::components::button::{Button, LinkButton, Look};
use crate::components::empty::Empty;
use crate::components::field::TextField;
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::PageHead;
use crate::load::load;
use crate::pages::hosts::test_look;
use crate::state::app;
use crate::{paths, words};

/// Roles by host; a host without one is not a member.
type Roles = RwSignal<Vec<(HostId, MemberRole)>>;

fn role_in(roles: &[(HostId, MemberRole)], id: HostId) -> Option<MemberRole> {
    roles
        .iter()
        .find(|(host, _)| *host == id)
        .map(|(_, role)| *role)
}

fn role_key(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Server => "server",
        MemberRole::Agent => "agent",
        MemberRole::LoadBalancer => "load_balancer",
    }
}

fn role_of(key: &str) -> Option<MemberRole> {
    [
        MemberRole::Server,
        MemberRole::Agent,
        MemberRole::LoadBalancer,
    ]
    .into_iter()
    .find(|r| role_key(*r) == key)
}

/// What a number of servers means for etcd.
fn quorum_note(servers: usize) -> (bool, String) {
    match servers {
        0 => (false, "Choose at least one server.".into()),
        1 => (
            true,
            "One server: no high availability. Losing it is an outage.".into(),
        ),
        n if n % 2 == 0 => (
            false,
            format!(
                "{n} servers tolerate no more losses than {}. Choose an odd number.",
                n - 1
            ),
        ),
        n => (
            true,
            format!(
                "{n} servers: etcd keeps its quorum when {} of them {} lost.",
                n / 2,
                if n / 2 == 1 { "is" } else { "are" }
            ),
        ),
    }
}

/// The form's page; with an id it changes that cluster.
#[component]
pub(crate) fn ClusterForm(id: Option<ClusterId>) -> impl IntoView {
    let app = app();
    let title = if id.is_some() {
        "Edit cluster"
    } else {
        "New cluster"
    };
    app.at(vec![
        ("Clusters".into(), Some(paths::CLUSTERS.into())),
        (title.into(), None),
    ]);
    let data = load(move || {
        let api = app.api();
        async move {
            let hosts = api.hosts().await?;
            let clusters = if id.is_some() {
                api.clusters().await?
            } else {
                Vec::new()
            };
            Ok((hosts, clusters))
        }
    });
    view! {
        <PageHead title=title intro="Which hosts belong together, and what each of them is. Nothing is installed yet."/>
        {data.view(move |(hosts, clusters)| {
            let cluster = clusters.into_iter().find(|c| Some(c.id) == id);
            form_view(cluster, hosts)
        })}
    }.into_any()
}

fn form_view(cluster: Option<Cluster>, hosts: Vec<Host>) -> AnyView {
    let app = app();
    let id = cluster.as_ref().map(|c| c.id);
    let free: Vec<_> = hosts
        .into_iter()
        .filter(|h| h.cluster.is_none() || h.cluster == id)
        .collect();
    if free.is_empty() {
        return view! {
            <Empty icon=Icon::Host title="No host is free">
                <p>"A cluster is made of enrolled hosts: three servers, and a load balancer in front if you have one."</p>
                <LinkButton look=Look::Primary icon=Icon::Plus href=paths::ADD_HOST>"Add a host"</LinkButton>
            </Empty>
        }
        .into_any();
    }
    let form = Form::new();
    let name = RwSignal::new(cluster.as_ref().map(|c| c.name.clone()).unwrap_or_default());
    let endpoint = RwSignal::new(
        cluster
            .as_ref()
            .map(|c| c.endpoint.clone())
            .unwrap_or_default(),
    );
    let roles: Roles = RwSignal::new(
        cluster
            .iter()
            .flat_map(|c| c.members.iter().map(|m| (m.host, m.role)))
            .collect(),
    );
    let order: Vec<HostId> = free.iter().map(|h| h.id).collect();
    let navigate = use_navigate();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let wish = endpoint.get_untracked().trim().to_owned();
        let members = roles.with_untracked(|roles| {
            order
                .iter()
                .filter_map(|id| role_in(roles, *id).map(|role| Member { host: *id, role }))
                .collect()
        });
        let body = NewCluster {
            name: name.get_untracked().trim().to_owned(),
            endpoint: (!wish.is_empty()).then_some(wish),
            members,
        };
        let api = app.api();
        let navigate = navigate.clone();
        let call = async move {
            match id {
                Some(id) => api.change_cluster(id, &body).await,
                None => api.add_cluster(&body).await,
            }
        };
        form.submit(call, move |cluster: Cluster| {
            app.overview.update(|o| {
                if let Some(o) = o {
                    o.clusters.retain(|c| c.id != cluster.id);
                    o.clusters.push(cluster.clone());
                }
            });
            navigate(&paths::cluster(cluster.id), NavigateOptions::default());
        });
    };
    let members_error = form.field("members");
    let servers = Memo::new(move |_| {
        roles.with(|r| r.iter().filter(|(_, r)| *r == MemberRole::Server).count())
    });
    let rows = free
        .into_iter()
        .map(|host| member_row(host, roles))
        .collect_view();
    view! {
        <form class="form form-page" novalidate on:submit=submit>
            <section class="panel">
                <div class="panel-body form-grid">
                    <TextField form name="name" label="Name" value=name autofocus=true mono=true placeholder="prod"
                        help="Unique; becomes the context in the kubeconfig."/>
                    <TextField form name="endpoint" label="API endpoint" value=endpoint optional=true mono=true placeholder="k3s.example.com"
                        help="Name or address clients use for :6443. Left empty: the load balancer's, else the first server's."/>
                </div>
            </section>
            <section class="panel panel-flush" aria-labelledby="members-title">
                <header class="panel-head">
                    <h2 id="members-title">"Members"</h2>
                    <span class="panel-hint">"hosts that belong to no other cluster"</span>
                </header>
                <div class="panel-body">
                    <ul class="member-list">{rows}</ul>
                    <p class="member-note" role="status">
                        {move || {
                            let (good, text) = quorum_note(servers.get());
                            view! { <span class=if good { "tone-good" } else { "tone-warn" }><Glyph icon=if good { Icon::Info } else { Icon::Warn }/></span><span>{text}</span> }.into_any()
                        }}
                    </p>
                    {move || members_error.get().map(|error| view! {
                        <p class="field-error member-error" role="alert"><Glyph icon=Icon::Warn/><span>{error}</span></p>
                    }.into_any())}
                </div>
            </section>
            <FormFailure form/>
            <div class="form-actions">
                <Button look=Look::Primary submit=true busy=form.busy testid="cluster-create">
                    {if id.is_some() { "Save" } else { "Create cluster" }}
                </Button>
                <LinkButton href=id.map_or_else(|| paths::CLUSTERS.to_owned(), paths::cluster)>"Cancel"</LinkButton>
            </div>
        </form>
    }
    .into_any()
}

fn member_row(host: Host, roles: Roles) -> AnyView {
    let id = host.id;
    let chosen = move || roles.with(|r| role_in(r, id));
    let (text, tone, _) = test_look(&host);
    view! {
        <li class="member-row" class:member-in=move || chosen().is_some()>
            <span class="stack">
                <span class="strong">{host.name.clone()}</span>
                <span class="quiet mono">{host.node_address.clone()}</span>
            </span>
            <Tag text=text tone=tone/>
            <span class="select select-small">
                <select
                    class="input"
                    aria-label=format!("Role of {}", host.name)
                    data-testid=format!("member-role-{}", host.name)
                    on:change:target=move |event| {
                        let role = role_of(&event.target().value());
                        roles.update(|roles| {
                            roles.retain(|(known, _)| *known != id);
                            if let Some(role) = role {
                                roles.push((id, role));
                            }
                        });
                    }
                >
                    <option value="" selected=move || chosen().is_none()>"Not a member"</option>
                    {[MemberRole::Server, MemberRole::Agent, MemberRole::LoadBalancer].map(|role| view! {
                        <option value=role_key(role) selected=move || chosen() == Some(role)>{words::member_role(role)}</option>
                    }.into_any())}
                </select>
                <Glyph icon=Icon::ChevronDown/>
            </span>
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::quorum_note;

    #[test]
    fn even_numbers_are_named() {
        assert!(!quorum_note(0).0);
        assert!(!quorum_note(4).0);
        assert_eq!(
            quorum_note(3).1,
            "3 servers: etcd keeps its quorum when 1 of them is lost."
        );
        assert_eq!(
            quorum_note(5).1,
            "5 servers: etcd keeps its quorum when 2 of them are lost."
        );
    }
}
