//! Snapshots that the panel has taken of a cluster.

use coxswain_wire::{ClusterId, Permission, Snapshot};
use leptos::prelude::*;

use super::tables::table;
use crate::api;
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::Panel;
use crate::components::time::Ago;
use crate::format;
use crate::load::load;
use crate::paths;
use crate::state::app;

#[component]
pub(super) fn Snapshots(id: ClusterId) -> impl IntoView {
    let app = app();
    let snapshots = load(move || {
        let api = app.api();
        async move { api.snapshots(id).await }
    });
    // A run that has come to its end may have taken one, or deleted some.
    let ended = Memo::new(move |_| {
        let of_cluster = |r: &&coxswain_wire::RunSummary| r.cluster == Some(id);
        app.runs()
            .iter()
            .filter(of_cluster)
            .map(|r| r.steps_done)
            .sum::<u32>()
    });
    Effect::new(move |before: Option<u32>| {
        let now = ended.get();
        if before.is_some_and(|before| before != now) {
            snapshots.reload();
        }
        now
    });
    let body = snapshots.view(move |all| {
        if all.is_empty() {
            return view! {
                <p class="panel-empty">"The panel has taken no snapshot of this cluster. k3s may have taken some by itself: list them with the procedure Snapshots."</p>
            }
            .into_any();
        }
        let may = |permission| untrack(|| app.may(permission));
        let (download, operate) = (may(Permission::Administer), may(Permission::Operate));
        let rows = all
            .into_iter()
            .map(|s| row(s, download, operate))
            .collect();
        table(&["Snapshot", "Taken", "Size", ""], rows)
    });
    view! {
        <Panel title="Snapshots" flush=true testid="cluster-snapshots" hint="taken by the panel, each with the server token of its time in the vault">{body}</Panel>
    }
    .into_any()
}

fn row(snapshot: Snapshot, may_download: bool, may_operate: bool) -> AnyView {
    let name = snapshot.name().to_owned();
    let short: String = snapshot.sha256.chars().take(12).collect();
    let download = may_download.then(|| {
        view! {
            <a
                class="btn btn-ghost"
                href=api::snapshot_url(snapshot.id)
                download=name.clone()
                rel="external"
                data-testid="snapshot-download"
                title="The file holds every Secret of the cluster. Keep it as you keep passwords."
            >
                <Glyph icon=Icon::Download/>
                "Download"
            </a>
        }
        .into_any()
    });
    let restore = may_operate.then(|| {
        let href = super::recovery::restore(snapshot.cluster, "data_wrong", Some(&snapshot));
        view! {
            <a class="btn btn-ghost" href=href data-testid="snapshot-restore">
                <Glyph icon=Icon::Undo/>
                "Restore"
            </a>
        }
        .into_any()
    });
    let testid = name.clone();
    view! {
        <tr data-snapshot=testid>
            <td>
                <span class="stack">
                    <span class="mono">{name}</span>
                    <span class="quiet">
                        "on "{snapshot.server}
                        <span class="dot-before"><a href=paths::run(snapshot.run)>{format!("run #{}", snapshot.run)}</a></span>
                        <span class="dot-before mono" title=format!("SHA-256 {}", snapshot.sha256)>{short}</span>
                    </span>
                </span>
            </td>
            <td class="nowrap"><Ago at=Signal::stored(snapshot.taken_at)/></td>
            <td class="nowrap">{format::bytes(snapshot.size)}</td>
            <td class="nowrap">{download}{restore}</td>
        </tr>
    }
    .into_any()
}
