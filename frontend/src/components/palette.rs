//! The command palette: every page, cluster, host, run and workflow in one list.

use coxswain_wire::{Host, Permission, WorkflowInfo};
use leptos::ev::KeyboardEvent;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use super::dialog::keep_in_step;
use super::icon::{Glyph, Icon};
use super::theme;
use super::when::when;
use crate::state::{App, app};
use crate::{browser, paths, words};

/// Entries shown at most.
const SHOWN: usize = 12;

#[derive(Clone, Debug, PartialEq)]
struct Item {
    icon: Icon,
    text: String,
    kind: &'static str,
    does: Does,
}

#[derive(Clone, Debug, PartialEq)]
enum Does {
    Go(String),
    Theme,
    Keys,
}

/// True if the letters of `needle` come in `text` in this order; better matches score lower.
fn score(text: &str, needle: &str) -> Option<usize> {
    let text = text.to_lowercase();
    if let Some(at) = text.find(needle) {
        // A match at the start of a word is what people mean.
        let starts_word = at == 0
            || text
                .as_bytes()
                .get(at - 1)
                .is_some_and(|b| !b.is_ascii_alphanumeric());
        return Some(if starts_word { 0 } else { 1 });
    }
    let mut rest = text.chars();
    needle
        .chars()
        .filter(|c| !c.is_whitespace())
        .all(|c| rest.any(|t| t == c))
        .then_some(2)
}

fn items(app: App, hosts: &[Host], workflows: &[WorkflowInfo]) -> Vec<Item> {
    let go = |icon, text: &str, kind, path: String| Item {
        icon,
        text: text.into(),
        kind,
        does: Does::Go(path),
    };
    let mut all = vec![
        go(Icon::Clusters, "Clusters", "Page", paths::CLUSTERS.into()),
        go(Icon::Runs, "Runs", "Page", paths::RUNS.into()),
        go(
            Icon::Approvals,
            "Approvals",
            "Page",
            paths::APPROVALS.into(),
        ),
        go(Icon::Host, "Hosts", "Page", paths::HOSTS.into()),
        go(Icon::Audit, "Audit", "Page", paths::AUDIT.into()),
        go(Icon::Settings, "Settings", "Page", paths::SETTINGS.into()),
    ];
    if app.may(Permission::Operate) {
        for workflow in workflows {
            let text = format!("New run: {}", workflow.title);
            all.push(go(
                Icon::Play,
                &text,
                "Action",
                paths::new_run(&workflow.name, None),
            ));
        }
        all.push(go(
            Icon::Plus,
            "New cluster",
            "Action",
            paths::NEW_CLUSTER.into(),
        ));
        all.push(go(Icon::Plus, "Add host", "Action", paths::ADD_HOST.into()));
    }
    for cluster in app.clusters() {
        all.push(go(
            Icon::Clusters,
            &cluster.name,
            "Cluster",
            paths::cluster(cluster.id),
        ));
    }
    for run in app.runs() {
        let (_, _, icon) = words::run_status(run.status);
        all.push(go(
            icon,
            &format!("#{} {}", run.id, run.title),
            "Run",
            paths::run(run.id),
        ));
    }
    for host in hosts {
        let path = format!("{}?host={}", paths::HOSTS, host.id);
        all.push(go(Icon::Host, &host.name, "Host", path));
    }
    all.push(Item {
        icon: Icon::Sun,
        text: "Change theme".into(),
        kind: "Action",
        does: Does::Theme,
    });
    all.push(Item {
        icon: Icon::Info,
        text: "Keyboard shortcuts".into(),
        kind: "Action",
        does: Does::Keys,
    });
    all
}

/// The palette; opens by Ctrl-K or the search field of the top bar.
#[component]
pub(crate) fn Palette() -> impl IntoView {
    let app = app();
    let node = NodeRef::<html::Dialog>::new();
    keep_in_step(node, app.palette_open);
    let query = RwSignal::new(String::new());
    let chosen = RwSignal::new(0usize);
    let hosts = RwSignal::new(Vec::<Host>::new());
    let workflows = RwSignal::new(Vec::<WorkflowInfo>::new());
    Effect::new(move |_| {
        if app.palette_open.get() {
            query.set(String::new());
            chosen.set(0);
            let api = app.api();
            spawn_local(async move {
                // What cannot be fetched is not offered; the pages themselves say why.
                if let Ok(list) = api.workflows().await {
                    workflows.try_set(list);
                }
                if let Ok(list) = api.hosts().await {
                    hosts.try_set(list);
                }
            });
        }
    });
    let found = Memo::new(move |_| {
        if !app.palette_open.get() {
            return Vec::new();
        }
        let needle = query.get().trim().to_lowercase();
        let all = hosts.with(|hosts| workflows.with(|workflows| items(app, hosts, workflows)));
        let scored: Vec<_> = all
            .into_iter()
            .filter_map(|item| score(&item.text, &needle).map(|s| (s, item)))
            .collect();
        (0..=2)
            .flat_map(|wanted| scored.iter().filter(move |(score, _)| *score == wanted))
            .map(|(_, item)| item.clone())
            .take(SHOWN)
            .collect::<Vec<_>>()
    });
    let navigate = use_navigate();
    let act = move |item: Item| {
        app.palette_open.set(false);
        match item.does {
            Does::Go(path) => navigate(&path, NavigateOptions::default()),
            Does::Theme => app.toast(format!("Theme: {}", theme::next())),
            Does::Keys => app.keys_open.set(true),
        }
    };
    let act = StoredValue::new_local(act);
    let on_key = move |event: KeyboardEvent| {
        let count = found.with_untracked(Vec::len);
        match event.key().as_str() {
            "ArrowDown" => chosen.update(|n| *n = (*n + 1).min(count.saturating_sub(1))),
            "ArrowUp" => chosen.update(|n| *n = n.saturating_sub(1)),
            "Enter" => {
                if let Some(item) = found.with_untracked(|f| f.get(chosen.get_untracked()).cloned())
                {
                    act.with_value(|act| act(item));
                }
            }
            _ => return,
        }
        event.prevent_default();
        request_animation_frame(|| {
            if let Some(option) = browser::find(".palette-item[aria-selected=true]") {
                option.scroll_into_view_with_bool(false);
            }
        });
    };
    view! {
        <dialog class="palette" node_ref=node aria-label="Find anything" data-testid="palette"
            on:close=move |_| app.palette_open.set(false)
            on:click=move |event| {
                if event.target() == event.current_target() {
                    app.palette_open.set(false);
                }
            }
        >
            <div class="palette-box">
                <div class="palette-query">
                    <Glyph icon=Icon::Search/>
                    <input
                        type="text"
                        role="combobox"
                        aria-label="Find pages, clusters, hosts, runs and actions"
                        aria-expanded="true"
                        aria-controls="palette-list"
                        aria-activedescendant=move || format!("palette-{}", chosen.get())
                        placeholder="Find pages, clusters, hosts, runs, actions"
                        autocomplete="off"
                        spellcheck="false"
                        autofocus
                        data-testid="palette-query"
                        prop:value=query
                        on:input:target=move |event| {
                            query.set(event.target().value());
                            chosen.set(0);
                        }
                        on:keydown=on_key
                    />
                    <kbd>"Esc"</kbd>
                </div>
                <ul class="palette-list" id="palette-list" role="listbox" aria-label="Found">
                    {move || {
                        found
                            .get()
                            .into_iter()
                            .enumerate()
                            .map(|(n, item)| {
                                let clicked = item.clone();
                                view! {
                                    <li
                                        class="palette-item"
                                        id=format!("palette-{n}")
                                        role="option"
                                        aria-selected=move || if chosen.get() == n { "true" } else { "false" }
                                        on:mousemove=move |_| {
                                            if chosen.get_untracked() != n {
                                                chosen.set(n);
                                            }
                                        }
                                        on:click=move |_| act.with_value(|act| act(clicked.clone()))
                                    >
                                        <Glyph icon=item.icon/>
                                        <span class="palette-text">{item.text}</span>
                                        <span class="palette-kind">{item.kind}</span>
                                    </li>
                                }.into_any()
                            })
                            .collect_view()
                    }}
                </ul>
                {when(
                    move || found.with(Vec::is_empty),
                    || view! { <p class="palette-none" role="status">"Nothing of that name."</p> }.into_any(),
                )}
            </div>
        </dialog>
    }.into_any()
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn words_come_before_letters() {
        assert_eq!(score("New run: Bootstrap", "boot"), Some(0));
        assert_eq!(score("reboot", "boot"), Some(1));
        assert_eq!(score("Bootstrap cluster", "bclu"), Some(2));
        assert_eq!(score("Hosts", "x"), None);
        assert_eq!(score("Hosts", ""), Some(0));
    }
}
