//! The list of runs, filtered by its address.

use coxswain_wire::{Permission, RunId, RunStatus, RunSummary};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_navigate, use_query_map};

use crate::components::badge::{Meter, StatusIcon};
use crate::components::button::{LinkButton, Look};
use crate::components::icon::{Glyph, Icon};
use crate::components::keyed::{Entry, keyed};
use crate::components::panel::PageHead;
use crate::components::time::{Ago, Elapsed};
use crate::components::when::when;
use crate::load::load;
use crate::paths;
use crate::state::app;
use crate::words;

/// The runs page.
#[component]
pub(crate) fn Runs() -> impl IntoView {
    let app = app();
    app.at(vec![("Runs".into(), None)]);
    // The stream knows the latest; older ones are fetched once.
    let fetched = load(move || {
        let api = app.api();
        async move { api.runs().await }
    });
    let all = Memo::new(move |_| merged(app.runs(), fetched.value().unwrap_or_default()));
    let query = use_query_map();
    let asked = move |name: &'static str| query.with(|q| q.get(name)).filter(|v| !v.is_empty());
    let runs = Memo::new(move |_| {
        let (status, workflow, cluster) = (asked("status"), asked("workflow"), asked("cluster"));
        let text = asked("q").map(|t| t.to_lowercase());
        let fits = |r: &RunSummary| {
            status.as_ref().is_none_or(|s| status_fits(r.status, s))
                && workflow.as_ref().is_none_or(|w| r.workflow == *w)
                && cluster
                    .as_ref()
                    .is_none_or(|c| r.cluster.is_some_and(|id| id.to_string() == *c))
                && text.as_ref().is_none_or(|t| {
                    format!("#{} {} {}", r.id, r.title, r.created_by)
                        .to_lowercase()
                        .contains(t)
                })
        };
        all.get().into_iter().filter(fits).collect::<Vec<_>>()
    });
    let filtered = Memo::new(move |_| {
        ["status", "workflow", "cluster", "q"]
            .into_iter()
            .any(|n| asked(n).is_some())
    });
    let table = move || {
        let empty = if filtered.get() {
            "No run fits the filter."
        } else {
            "Nothing was run yet."
        };
        view! { <RunTable runs=runs empty=empty/> }.into_any()
    };
    view! {
        <PageHead title="Runs">
            {move || app.may(Permission::Operate).then(|| view! {
                <LinkButton look=Look::Primary icon=Icon::Play href=paths::NEW_RUN testid="run-new">"New run"</LinkButton>
            }.into_any())}
        </PageHead>
        <Filters all/>
        <div class="panel panel-flush"><div class="panel-body">{table}</div></div>
    }.into_any()
}

/// `open` and `over` are groups; anything else is a stored word.
fn status_fits(status: RunStatus, wanted: &str) -> bool {
    match wanted {
        "open" => !status.is_final(),
        "over" => status.is_final(),
        word => words::run_status_key(status) == word,
    }
}

/// Newest first; the stream's word counts.
fn merged(live: Vec<RunSummary>, fetched: Vec<RunSummary>) -> Vec<RunSummary> {
    let mut all = live;
    for run in fetched {
        if !all.iter().any(|r| r.id == run.id) {
            all.push(run);
        }
    }
    all.sort_unstable_by_key(|r| std::cmp::Reverse(r.id));
    all
}

#[component]
fn Filters(all: Memo<Vec<RunSummary>>) -> impl IntoView {
    let app = app();
    let query = use_query_map();
    let navigate = use_navigate();
    let set = move |name: &str, value: String| {
        let mut query = query.get_untracked();
        query.remove(name);
        if !value.is_empty() {
            query.insert(name.to_owned(), value);
        }
        let path = format!("{}{}", paths::RUNS, query.to_query_string());
        navigate(
            &path,
            NavigateOptions {
                replace: true,
                scroll: false,
                ..NavigateOptions::default()
            },
        );
    };
    let set = StoredValue::new_local(set);
    let statuses = || {
        let mut entries = vec![
            ("open".to_owned(), "Open".to_owned()),
            ("over".to_owned(), "Over".to_owned()),
        ];
        entries.extend(words::RUN_STATUSES.map(|s| {
            (
                words::run_status_key(s).to_owned(),
                words::run_status(s).0.to_owned(),
            )
        }));
        entries
    };
    let workflows = Memo::new(move |_| {
        let mut names: Vec<_> = all.with(|all| all.iter().map(|r| r.workflow.clone()).collect());
        names.sort_unstable();
        names.dedup();
        names
    });
    let select = move |name: &'static str, label: &'static str, entries: Vec<(String, String)>| {
        let now = query.with(|q| q.get(name)).unwrap_or_default();
        view! {
            <span class="select select-small">
                <select class="input" aria-label=label data-testid=format!("filter-{name}")
                    on:change:target=move |event| set.with_value(|set| set(name, event.target().value()))>
                    <option value="">{label}</option>
                    {entries.into_iter().map(|(key, text)| {
                        let selected = key == now;
                        view! { <option value=key selected=selected>{text}</option> }.into_any()
                    }).collect_view()}
                </select>
                <Glyph icon=Icon::ChevronDown/>
            </span>
        }.into_any()
    };
    view! {
        <div class="filters" role="search">
            <span class="search">
                <Glyph icon=Icon::Search/>
                <input class="input" type="search" placeholder="Number, title or person" aria-label="Search runs" data-search=""
                    prop:value=move || query.with(|q| q.get("q")).unwrap_or_default()
                    on:input:target=move |event| set.with_value(|set| set("q", event.target().value()))/>
                <kbd>"/"</kbd>
            </span>
            {move || select("status", "Any status", statuses())}
            {move || select("workflow", "Any procedure", workflows.get().into_iter().map(|w| (w.clone(), w)).collect())}
            {move || select("cluster", "Any cluster", app.clusters().into_iter().map(|c| (c.id.to_string(), c.name)).collect())}
        </div>
    }.into_any()
}

/// Runs as rows.
#[component]
pub(crate) fn RunTable(
    #[prop(into)] runs: Signal<Vec<RunSummary>>,
    empty: &'static str,
) -> impl IntoView {
    let ids = Memo::new(move |_| runs.with(|r| r.iter().map(|r| r.id).collect::<Vec<_>>()));
    let none = Memo::new(move |_| ids.with(Vec::is_empty));
    view! {
        {when(move || none.get(), move || view! { <p class="panel-empty">{empty}</p> }.into_any())}
        <ul class="run-list">
            {keyed(move || {
                let row = |id: RunId| Entry::new(id.0.unsigned_abs(), move || view! { <Row id runs/> }.into_any());
                ids.get().into_iter().map(row).collect()
            })}
        </ul>
    }
    .into_any()
}

#[component]
fn Row(id: RunId, runs: Signal<Vec<RunSummary>>) -> impl IntoView {
    let app = app();
    let run = Memo::new(move |_| runs.with(|r| r.iter().find(|r| r.id == id).cloned()));
    let part = move |f: fn(&RunSummary) -> String| run.with(|r| r.as_ref().map(f));
    let status =
        Signal::derive(move || run.with(|r| r.as_ref().map_or(RunStatus::Abandoned, |r| r.status)));
    let look = Signal::derive(move || words::run_status(status.get()));
    let created = Memo::new(move |_| run.with(|r| r.as_ref().map(|r| r.created_at)));
    let finished = Memo::new(move |_| run.with(|r| r.as_ref().and_then(|r| r.finished_at)));
    let steps = Signal::derive(move || {
        run.with(|r| r.as_ref().map_or((0, 0), |r| (r.steps_done, r.steps_total)))
    });
    let cluster = move || {
        run.with(|r| r.as_ref().and_then(|r| r.cluster))
            .and_then(|id| app.cluster_name(id))
    };
    view! {
        <li>
            <a href=paths::run(id) class="run-row" data-row="" data-testid=format!("run-row-{id}")
                data-state=move || words::run_status_key(status.get())>
                <StatusIcon look/>
                <span class="run-row-main">
                    <span class="run-row-title">{move || part(|r| r.title.clone())}</span>
                    <span class="run-row-sub">
                        <span class="num">{format!("#{id}")}</span>
                        <span class="dot-before">{move || part(|r| r.workflow.clone())}</span>
                        {move || cluster().map(|name| view! { <span class="dot-before">{name}</span> }.into_any())}
                        <span class="dot-before">{move || part(|r| r.created_by.clone())}</span>
                    </span>
                </span>
                <span class=move || format!("run-row-status toned tone-{}", look.get().1.class())>{move || look.get().0}</span>
                <span class="run-row-progress">
                    <Meter parts=steps tone=Signal::derive(move || look.get().1) label="Steps done"/>
                    <span class="num">{move || format!("{}/{}", steps.get().0, steps.get().1)}</span>
                </span>
                <span class="run-row-time">
                    <Elapsed from=created to=finished/>
                    {move || created.get().map(|at| view! { <span class="quiet"><Ago at=Signal::stored(at)/></span> }.into_any())}
                </span>
            </a>
        </li>
    }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_states() {
        assert!(status_fits(RunStatus::Parked, "open"));
        assert!(status_fits(RunStatus::Unwound, "over"));
        assert!(status_fits(RunStatus::Failed, "failed"));
        assert!(!status_fits(RunStatus::Failed, "over"));
    }
}
