//! The dashboard: every cluster with control plane and applications side by side, and what leads a new
//! user to the first one.

use coxswain_wire::{Cluster, ClusterId, ClusterPhase, Host, MemberRole, Permission};
use leptos::prelude::*;

use crate::components::badge::{Badge, Meter};
use crate::components::button::{LinkButton, Look};
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::PageHead;
use crate::components::time::Ago;
use crate::health::{self, Health};
use crate::load::{Loaded, Skeleton, load};
use crate::state::app;
use crate::words::{self, Tone};
use crate::{format, paths};

/// The clusters page.
#[component]
pub(crate) fn Clusters() -> impl IntoView {
    let app = app();
    app.at(vec![("Clusters".into(), None)]);
    let hosts = load(move || {
        let api = app.api();
        async move { api.hosts().await }
    });
    let ids = Memo::new(move |_| {
        app.overview.with(|o| {
            o.as_ref()
                .map(|o| o.clusters.iter().map(|c| c.id).collect::<Vec<_>>())
        })
    });
    let body = move || match ids.get() {
        None => view! { <Skeleton/> }.into_any(),
        Some(ids) if ids.is_empty() => view! { <FirstSteps hosts/> }.into_any(),
        Some(ids) => {
            let next = ids
                .iter()
                .all(|id| is_planned(*id))
                .then(|| view! { <FirstSteps hosts/> }.into_any());
            view! {
                {next}
                <div class="cluster-grid">{ids.into_iter().map(|id| view! { <Card id/> }.into_any()).collect_view()}</div>
            }
            .into_any()
        }
    };
    view! {
        <PageHead title="Clusters">
            {move || app.may(Permission::Operate).then(|| view! {
                <LinkButton look=Look::Primary icon=Icon::Plus href=paths::NEW_CLUSTER testid="cluster-new">"New cluster"</LinkButton>
            }.into_any())}
        </PageHead>
        {body}
    }.into_any()
}

fn is_planned(id: ClusterId) -> bool {
    app().overview.with(|o| {
        o.as_ref().is_some_and(|o| {
            o.clusters
                .iter()
                .any(|c| c.id == id && c.phase == ClusterPhase::Planned)
        })
    })
}

/// What leads to the first running cluster.
#[component]
fn FirstSteps(hosts: Loaded<Vec<Host>>) -> impl IntoView {
    let app = app();
    let pinned = move || {
        hosts
            .value()
            .unwrap_or_default()
            .iter()
            .filter(|h| h.last_test.as_ref().is_some_and(|t| t.passed()))
            .count()
    };
    let cluster = move || app.clusters().first().map(|c| c.id);
    view! {
        <section class="first-steps" aria-labelledby="first-steps-title">
            <div class="first-steps-head">
                <h2 id="first-steps-title">"Three steps to a highly available cluster"</h2>
                <p>"Three servers keep etcd's quorum when one is lost. A load balancer in front keeps the API at one address."</p>
            </div>
            <ol class="first-steps-list">
                {move || {
                    let (hosts, cluster) = (pinned(), cluster());
                    let at = match (hosts, cluster) {
                        (_, Some(_)) => 2,
                        (0..3, None) => 0,
                        (_, None) => 1,
                    };
                    let hosts_text = match hosts {
                        0 => "Machines that SSH reaches, as root or with sudo.".to_owned(),
                        n => format!("{} connected so far; three servers make a quorum.", format::count(n, "host")),
                    };
                    let bootstrap = paths::new_run("bootstrap", cluster);
                    [
                        ("Add hosts", hosts_text, "Add a host", paths::ADD_HOST.to_owned()),
                        ("Create a cluster", "Say which host is a server, an agent, the load balancer.".into(), "New cluster", paths::NEW_CLUSTER.to_owned()),
                        ("Bootstrap it", "Read the plan, approve it, watch it happen.".into(), "Bootstrap", bootstrap),
                    ]
                    .into_iter()
                    .enumerate()
                    .map(|(n, (title, text, action, href))| view! {
                        <li class="first-step" class:first-step-now=n == at class:first-step-done=(n < at)>
                            <span class="first-step-mark" aria-hidden="true">
                                {if n < at { view! { <Glyph icon=Icon::Check/> }.into_any() } else { (n + 1).into_any() }}
                            </span>
                            <h3>{title}</h3>
                            <p>{text}</p>
                            <LinkButton look=if n == at { Look::Primary } else { Look::Plain } href=href>{action}</LinkButton>
                        </li>
                    }.into_any())
                    .collect_view()
                }}
            </ol>
        </section>
    }.into_any()
}

/// One availability: words, numbers, share.
#[component]
pub(crate) fn Availability(
    #[prop(into)] name: String,
    #[prop(into)] health: Signal<Health>,
    #[prop(optional, into)] testid: String,
) -> impl IntoView {
    let label = name.clone();
    view! {
        <div class=move || format!("availability tone-{}", health.get().tone.class()) data-testid=testid>
            <span class="availability-name">{name}</span>
            <span class="availability-headline">{move || health.get().headline}</span>
            <Meter parts=Signal::derive(move || health.get().parts) tone=Signal::derive(move || health.get().tone) label=label/>
            <span class="availability-detail">{move || health.get().detail}</span>
        </div>
    }.into_any()
}

#[component]
fn Card(id: ClusterId) -> impl IntoView {
    let app = app();
    let cluster = Memo::new(move |_| {
        app.overview.with(|o| {
            o.as_ref()
                .and_then(|o| o.clusters.iter().find(|c| c.id == id).cloned())
        })
    });
    move || cluster.get().map(card)
}

fn card(c: Cluster) -> AnyView {
    let app = app();
    let live = c.live.as_ref();
    let count = |role| c.members.iter().filter(|m| m.role == role).count();
    let mut members = vec![format::count(count(MemberRole::Server), "server")];
    if count(MemberRole::Agent) > 0 {
        members.push(format::count(count(MemberRole::Agent), "agent"));
    }
    if count(MemberRole::LoadBalancer) > 0 {
        members.push("load balancer".into());
    }
    let (name, testid) = (c.name.clone(), format!("cluster-card-{}", c.name));
    let observed = live.map(|l| l.observed_at);
    let control = health::control_plane(live);
    let applications = health::applications(live);
    let quorum = health::quorum_of(live);
    let (certificate_tone, certificate) = health::certificate(live, app.now.get_untracked());
    let fact = |name: &'static str, tone: Tone, text: String| {
        view! { <div class="card-fact"><dt>{name}</dt><dd class=format!("tone-{}", tone.class())>{text}</dd></div> }.into_any()
    };
    let (href, locked_by) = (paths::cluster(c.id), c.locked_by);
    view! {
        <article class="card" data-testid=testid>
            <header class="card-head">
                <h2><a href=href class="card-link" data-row="">{name}</a></h2>
                <Badge look=Signal::stored(words::phase(c.phase))/>
                {locked_by.map(|run| view! {
                    <a href=paths::run(run) class="tag tag-link"><Glyph icon=Icon::Lock/>{format!("run #{run}")}</a>
                }.into_any())}
                <span class="card-endpoint mono">{c.endpoint.clone()}</span>
            </header>
            <div class="card-availability">
                <Availability name="Control plane" health=Signal::stored(control)/>
                <Availability name="Applications" health=Signal::stored(applications)/>
            </div>
            <dl class="card-facts">
                {fact("Members", Tone::Quiet, members.join(", "))}
                {fact("etcd quorum", quorum.tone, quorum.detail)}
                {fact("Certificate", certificate_tone, certificate)}
                <div class="card-fact">
                    <dt>"Observed"</dt>
                    <dd>{observed.map_or_else(|| "not yet".into_any(), |at| view! { <Ago at=Signal::stored(at)/> }.into_any())}</dd>
                </div>
            </dl>
        </article>
    }
    .into_any()
}
