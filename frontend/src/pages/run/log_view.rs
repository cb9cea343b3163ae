//! The live log. Only rows in sight exist; the rest is height.

use coxswain_wire::StepIndex;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use super::log_row::{self, Line};
use super::viewport::Viewport;
use super::{Run, earlier};
use crate::components::button::IconButton;
use crate::components::icon::{Glyph, Icon};
use crate::components::keyed::{Entry, keyed};
use crate::components::when::when;
use crate::log::{Log, RowId};
use crate::{api, browser, format, paths, storage};

/// Hits counted at most.
const MAX_HITS: usize = 5_000;

#[component]
pub(super) fn LogView(run: Run) -> impl IntoView {
    let hash = use_location().hash;
    let marked = Memo::new(move |_| hash.with(|h| paths::lines_of(h)));
    let over = run.view.with_untracked(|v| v.summary.status.is_final());
    let wrap = storage::get(storage::WRAP).as_deref() == Some("on");
    // What is over is read from its first line, unless that is not here.
    let at_end = !over || run.log.with_value(|log| log.hidden(None)) > 0;
    let port = Viewport::new(wrap, at_end && marked.get_untracked().is_none());
    measure(port);

    let query = RwSignal::new(String::new());
    let hits = Memo::new(move |_| {
        run.log_turn.track();
        let (step, query) = (run.step.get(), query.get());
        run.log
            .with_value(|log| log.search(step, query.trim(), MAX_HITS))
    });
    let hit = RwSignal::new(0usize);

    let sight = Memo::new(move |_| port.sight(run));
    let targets = StoredValue::new(run.view.with_untracked(|v| {
        v.plan
            .stages
            .iter()
            .flat_map(|s| &s.steps)
            .map(|s| s.target.clone())
            .collect::<Vec<_>>()
    }));
    let rows = Memo::new(move |_| {
        run.log_turn.track();
        let step = run.step.get();
        let sight = sight.get();
        let needle = query.get().trim().to_owned();
        let now = hits.with(|h| h.get(hit.get()).copied());
        let marked = marked.get();
        run.log.with_value(|log| {
            (sight.from..sight.to)
                .filter_map(|position| {
                    let (id, row) = log.row(step, position)?;
                    Some(Line {
                        id,
                        row: row.clone(),
                        lines: port.row_lines(position),
                        target: step
                            .is_none()
                            .then(|| targets.with_value(|t| log_row::target(t, row.step))),
                        needle: needle.clone(),
                        current: now == Some(position),
                        marked: log_row::is_marked(row, step, marked),
                    })
                })
                .collect::<Vec<_>>()
        })
    });

    // Follow: after the new rows stand.
    Effect::new(move |_| {
        sight.track();
        if port.follow.get() {
            request_animation_frame(move || port.to_end());
        }
    });
    // A step or a line from before the log begins.
    Effect::new(move |_| {
        let (step, line) = (run.step.get(), marked.get().map(|(line, _)| line));
        if let Some(step) = step
            && run.log.with_value(|log| log.misses(step, line))
        {
            earlier::begin_at(run, step, line);
        }
    });
    // A search is over all output.
    Effect::new(move |_| {
        let searching = query.with(|q| !q.trim().is_empty());
        if searching && run.log.with_value(|log| log.hidden(None)) > 0 {
            earlier::begin_at_start(run);
        }
    });
    // A linked line, once it has come.
    let shown = StoredValue::new(None::<(StepIndex, u32)>);
    Effect::new(move |_| {
        run.log_turn.track();
        let (Some(step), Some((line, _))) = (run.step.get(), marked.get()) else {
            return;
        };
        if shown.get_value() == Some((step, line)) {
            return;
        }
        if let Some(position) = run.log.with_value(|log| log.position(step, line)) {
            shown.set_value(Some((step, line)));
            port.follow.set(false);
            request_animation_frame(move || port.reveal(position));
        }
    });
    // Everything before this row was in sight at the end of the log once. What a run that is over has printed is
    // not new.
    let seen = RwSignal::new(if over { RowId::MAX } else { 0 });
    let total = Memo::new(move |_| {
        run.log_turn.track();
        run.log.with_value(|log| log.len(run.step.get()))
    });
    Effect::new(move |_| {
        if port.follow.get() {
            run.log_turn.track();
            seen.set(run.log.with_value(Log::end));
        }
    });
    let unseen = Memo::new(move |_| {
        run.log_turn.track();
        let (step, seen) = (run.step.get(), seen.get());
        run.log.with_value(|log| log.since(step, seen))
    });
    let go_hit = move |by: isize| {
        let count = hits.with_untracked(Vec::len);
        if count == 0 {
            return;
        }
        let next = (hit.get_untracked() + count).saturating_add_signed(by) % count;
        hit.set(next);
        port.follow.set(false);
        if let Some(position) = hits.with_untracked(|h| h.get(next).copied()) {
            port.reveal(position);
        }
    };
    let navigate = use_navigate();
    let pick = StoredValue::new_local(move |step: StepIndex, line: u32, extend: bool| {
        let from = marked
            .get_untracked()
            .filter(|_| extend && run.step.get_untracked() == Some(step));
        shown.set_value(Some((step, line)));
        let path = match from {
            Some((from, _)) => format!("{}-L{line}", paths::run_line(run.id, step, from)),
            None => paths::run_line(run.id, step, line),
        };
        navigate(
            &path,
            NavigateOptions {
                scroll: false,
                replace: true,
                ..NavigateOptions::default()
            },
        );
    });
    let empty = move || {
        (total.get() == 0).then(|| {
            let text = match run.step.get() {
                Some(_) => "This step has printed nothing.",
                None if run.view.with(|v| v.summary.status.is_final()) => {
                    "This run has printed nothing."
                }
                None => "No output yet. It appears here as the hosts print it.",
            };
            view! { <p class="log-empty">{text}</p> }.into_any()
        })
    };
    view! {
        <section class="log-panel" aria-label="Output">
            <Bar run port query hits hit go_hit/>
            <earlier::Earlier run port/>
            <div
                class="log"
                class:log-wrap=port.wrap
                class:log-all=move || run.step.get().is_none()
                data-testid="log"
                tabindex="0"
                role="region"
                aria-label="Output, line by line"
                node_ref=port.node
                on:scroll=move |_| port.scrolled()
            >
                <span class="log-probe" aria-hidden="true">"0000000000"</span>
                {empty}
                <div class="log-space" style:height=move || format!("{}px", sight.get().total_px)>
                    <div class="log-rows" style:transform=move || format!("translateY({}px)", sight.get().offset_px)>
                        {keyed(move || {
                            let pick = move |step, number, extend| pick.with_value(|p| p(step, number, extend));
                            let row = |line: Line| Entry::new(line.key(), move || log_row::draw(run.id, &line, pick));
                            rows.get().into_iter().map(row).collect()
                        })}
                    </div>
                </div>
            </div>
            {when(move || !port.follow.get() && unseen.get() > 0, move || view! {
                <button class="log-pill" type="button" data-testid="log-new-lines" on:click=move |_| {
                    port.follow.set(true);
                    port.to_end();
                }>
                    <Glyph icon=Icon::Down/>
                    {move || format::count(unseen.get(), "new line")}
                </button>
            }.into_any())}
        </section>
    }.into_any()
}

/// What can be done with the log.
#[component]
fn Bar(
    run: Run,
    port: Viewport,
    query: RwSignal<String>,
    hits: Memo<Vec<usize>>,
    hit: RwSignal<usize>,
    go_hit: impl Fn(isize) + Copy + 'static,
) -> impl IntoView {
    let app = run.app;
    let name = move || match run.step.get() {
        None => "All steps".to_owned(),
        Some(index) => run.view.with(|v| {
            let mut steps = v.plan.stages.iter().flat_map(|s| &s.steps);
            steps
                .find(|s| s.index == index)
                .map_or_else(String::new, |s| format!("{} · {}", s.title, s.target))
        }),
    };
    let copy = move |_| {
        let step = run.step.get_untracked();
        let (text, whole) = run
            .log
            .with_value(|log| (log.text(step), log.hidden(step) == 0 && !log.is_cut()));
        spawn_local(async move {
            if browser::copy(&text).await {
                app.toast(if whole {
                    "Output copied."
                } else {
                    "What is shown was copied; the download has everything."
                });
            } else {
                app.toast_bad("The browser did not allow copying. Download the output instead.");
            }
        });
    };
    let count = move || {
        (!query.with(|q| q.trim().is_empty())).then(|| {
            let n = hits.with(Vec::len);
            if n == 0 {
                "0".to_owned()
            } else {
                format!(
                    "{}/{}{}",
                    hit.get() + 1,
                    n,
                    if n == MAX_HITS { "+" } else { "" }
                )
            }
        })
    };
    let rows = move || {
        run.log_turn.track();
        run.log.with_value(|log| log.len(run.step.get()))
    };
    view! {
        <header class="log-bar">
            <div class="log-name" data-testid="log-count" data-count=rows>
                <span class="strong ellipsis">{name}</span>
                {move || run.step.get().is_some().then(|| view! {
                    <a href=paths::run(run.id) data-noscroll="" class="link log-all-link" data-testid="log-all">"all steps"</a>
                }.into_any())}
            </div>
            <span class="search log-search">
                <Glyph icon=Icon::Search/>
                <input
                    class="input" type="search" placeholder="Search output" aria-label="Search output" data-search=""
                    data-testid="log-search"
                    prop:value=query
                    on:input:target=move |event| {
                        query.set(event.target().value());
                        hit.set(0);
                        go_hit(0);
                    }
                    on:keydown=move |event| {
                        if event.key() == "Enter" {
                            event.prevent_default();
                            go_hit(if event.shift_key() { -1 } else { 1 });
                        }
                    }
                />
                <span class="log-hits num" role="status">{count}</span>
            </span>
            <div class="log-tools">
                <IconButton icon=Icon::Down label="Follow" testid="log-follow" key="f" pressed=port.follow.into() on_click=move |_| {
                    port.follow.update(|f| *f = !*f);
                    if port.follow.get_untracked() {
                        port.to_end();
                    }
                }/>
                <IconButton icon=Icon::Wrap label="Break long lines" testid="log-wrap" key="w" pressed=port.wrap.into() on_click=move |_| {
                    port.wrap.update(|w| *w = !*w);
                    storage::set(storage::WRAP, port.wrap.get_untracked().then_some("on"));
                }/>
                <IconButton icon=Icon::Copy label="Copy the output" testid="log-copy" on_click=copy/>
                <a class="btn btn-icon" href=api::output_url(run.id) download=format!("run-{}.txt", run.id) rel="external"
                    aria-label="Download all output" title="Download all output" data-testid="log-download">
                    <Glyph icon=Icon::Download/>
                </a>
            </div>
        </header>
    }.into_any()
}

/// Keeps height and columns as the box is resized.
fn measure(port: Viewport) {
    let take = move || {
        let Some(node) = port.node.get_untracked() else {
            return;
        };
        port.height.set(node.client_height());
        let Ok(Some(probe)) = node.query_selector(".log-probe") else {
            return;
        };
        let character = probe.get_bounding_client_rect().width() / 10.0;
        let gutter = node
            .query_selector(".log-text")
            .ok()
            .flatten()
            .map_or(120.0, |text| {
                text.get_bounding_client_rect().left() - node.get_bounding_client_rect().left()
            });
        if character > 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "columns of a box, never negative"
            )]
            let columns =
                ((f64::from(node.client_width()) - gutter - 16.0).max(80.0) / character) as usize;
            port.columns.set(columns);
        }
    };
    let observer = StoredValue::new_local(None::<(web_sys::ResizeObserver, Closure<dyn Fn()>)>);
    Effect::new(move |_| {
        let Some(node) = port.node.get() else { return };
        let closure = Closure::<dyn Fn()>::new(take);
        if let Ok(watch) = web_sys::ResizeObserver::new(closure.as_ref().unchecked_ref()) {
            watch.observe(&node);
            observer.set_value(Some((watch, closure)));
        }
    });
    // The first rows show where text begins, which only then can be measured.
    Effect::new(move |_| {
        if port.wrap.get() {
            request_animation_frame(take);
        }
    });
    on_cleanup(move || {
        observer.try_update_value(|observer| {
            if let Some((watch, _)) = observer.take() {
                watch.disconnect();
            }
        });
    });
}
