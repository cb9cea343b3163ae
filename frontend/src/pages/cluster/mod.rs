//! One cluster: availability, topology, nodes, etcd, certificates, runs, and what can be done with it.

mod actions;
mod follow;
mod kubeconfig;
mod looks;
mod recovery;
mod snapshots;
mod tables;
mod topology;

use coxswain_wire::{Cluster, ClusterId, ClusterLive, Host, Permission};
use leptos::prelude::*;

use super::NotFound;
use super::clusters::Availability;
use super::runs::RunTable;
use crate::components::badge::Badge;
use crate::components::button::{Button, LinkButton, Look};
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::Panel;
use crate::components::time::Ago;
use crate::components::when::when;
use crate::health;
use crate::load::{Skeleton, load};
use crate::state::{App, app};
use crate::{paths, words};

/// The cluster, as the stream last said.
type Seen = Memo<Option<Cluster>>;

/// Its live part.
fn live(seen: Seen) -> impl Fn() -> Option<ClusterLive> + Copy + Send + Sync + 'static {
    move || seen.with(|c| c.as_ref().and_then(|c| c.live.clone()))
}

/// The cluster's page.
#[component]
pub(crate) fn ClusterPage(id: ClusterId) -> impl IntoView {
    let app = app();
    let seen: Seen = Memo::new(move |_| {
        app.overview.with(|o| {
            o.as_ref()
                .and_then(|o| o.clusters.iter().find(|c| c.id == id).cloned())
        })
    });
    let known = Memo::new(move |_| {
        (
            app.overview.with(Option::is_some),
            seen.with(Option::is_some),
        )
    });
    let name = Memo::new(move |_| seen.with(|c| c.as_ref().map(|c| c.name.clone())));
    Effect::new(move |_| {
        if let Some(name) = name.get() {
            app.at(vec![
                ("Clusters".into(), Some(paths::CLUSTERS.into())),
                (name, None),
            ]);
        }
    });
    move || match known.get() {
        (false, _) => view! { <Skeleton/> }.into_any(),
        (true, false) => view! { <NotFound/> }.into_any(),
        (true, true) => body(app, id, seen),
    }
}

fn body(app: App, id: ClusterId, seen: Seen) -> AnyView {
    let hosts = load(move || {
        let api = app.api();
        async move { api.hosts().await }
    });
    let hosts = Signal::derive(move || hosts.value().unwrap_or_default());
    view! {
        <Head id seen/>
        <recovery::Guide id seen hosts/>
        <div class="health-strip">
            <Availability
                name="Control plane"
                testid="cluster-control-plane"
                health=Signal::derive(move || health::control_plane(live(seen)().as_ref()))
            />
            <Availability
                name="Applications"
                testid="cluster-applications"
                health=Signal::derive(move || health::applications(live(seen)().as_ref()))
            />
            <Availability
                name="etcd quorum"
                testid="cluster-quorum"
                health=Signal::derive(move || health::quorum_of(live(seen)().as_ref()))
            />
            <Certificate seen/>
        </div>
        <topology::Topology seen hosts/>
        <div class="cluster-columns">
            <div class="cluster-main">
                <tables::Nodes seen/>
                <tables::Etcd seen/>
                <tables::Certificates seen/>
                <snapshots::Snapshots id/>
                <Panel title="Runs" flush=true>
                    <RunTable runs=Signal::derive(move || {
                        app.runs().into_iter().filter(|r| r.cluster == Some(id)).collect()
                    }) empty="Nothing was run on this cluster yet."/>
                </Panel>
            </div>
            <actions::Actions id seen hosts/>
        </div>
    }
    .into_any()
}

#[component]
fn Head(id: ClusterId, seen: Seen) -> impl IntoView {
    let app = app();
    let downloading = RwSignal::new(false);
    let running = Memo::new(move |_| {
        seen.with(|c| {
            c.as_ref()
                .is_some_and(|c| c.phase == coxswain_wire::ClusterPhase::Running)
        })
    });
    let part = move |f: fn(&Cluster) -> String| seen.with(|c| c.as_ref().map(f));
    let phase = Signal::derive(move || {
        words::phase(seen.with(|c| {
            c.as_ref()
                .map_or(coxswain_wire::ClusterPhase::Planned, |c| c.phase)
        }))
    });
    view! {
        <header class="page-head">
            <div>
                <div class="title-row">
                    <h1>{move || part(|c| c.name.clone())}</h1>
                    <Badge look=phase testid="cluster-phase"/>
                    {move || seen.with(|c| c.as_ref().and_then(|c| c.locked_by)).map(|run| view! {
                        <a href=paths::run(run) class="tag tag-link"><Glyph icon=Icon::Lock/>{format!("held by run #{run}")}</a>
                    }.into_any())}
                </div>
                <p class="page-intro">
                    "API at "<code>{move || part(|c| with_port(&c.endpoint))}</code>
                    {move || seen.with(|c| c.as_ref().and_then(|c| c.live.as_ref().map(|l| l.observed_at))).map(|at| view! {
                        <span class="dot-before">"observed "<Ago at=Signal::stored(at)/></span>
                    }.into_any())}
                </p>
            </div>
            <div class="page-actions">
                {when(move || app.may(Permission::Kubeconfig) && running.get(), move || view! {
                    <Button look=Look::Plain icon=Icon::Download testid="cluster-kubeconfig" on_click=move |_| downloading.set(true)>"Kubeconfig"</Button>
                    <kubeconfig::Download id seen open=downloading/>
                }.into_any())}
                {move || app.may(Permission::Operate).then(|| seen.with_untracked(|c| c.as_ref().map(|c| c.id))).flatten().map(|id| view! {
                    <LinkButton look=Look::Plain icon=Icon::Edit href=paths::edit_cluster(id) testid="cluster-edit">"Edit"</LinkButton>
                }.into_any())}
            </div>
        </header>
    }.into_any()
}

/// The endpoint as clients write it.
fn with_port(endpoint: &str) -> String {
    if endpoint.contains(':') && !endpoint.starts_with('[') {
        format!("https://[{endpoint}]:6443")
    } else {
        format!("https://{endpoint}:6443")
    }
}

#[component]
fn Certificate(seen: Seen) -> impl IntoView {
    let now = app().now;
    let state = Memo::new(move |_| health::certificate(live(seen)().as_ref(), now.get()));
    let detail = move || match live(seen)().as_ref().and_then(health::first_to_end) {
        Some(c) => format!(
            "{} names, until {}",
            c.sans.len(),
            crate::format::date(c.not_after)
        ),
        None => "No endpoint showed one".into(),
    };
    view! {
        <div class=move || format!("availability tone-{}", state.get().0.class()) data-testid="cluster-certificate">
            <span class="availability-name">"API certificate"</span>
            <span class="availability-headline">{move || state.get().1}</span>
            <span class="availability-detail">{detail}</span>
        </div>
    }.into_any()
}

/// Name of a host, if it is known.
fn host_name(hosts: &[Host], id: coxswain_wire::HostId) -> String {
    hosts
        .iter()
        .find(|h| h.id == id)
        .map_or_else(|| format!("host {id}"), |h| h.name.clone())
}
