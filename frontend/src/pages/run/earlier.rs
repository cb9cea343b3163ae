//! Output from before the log begins: a page opens with the last part and fetches the rest when somebody wants it.

use coxswain_wire::StepIndex;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::Run;
use super::viewport::Viewport;
use crate::components::when::when;
use crate::format;
use crate::log::Log;

/// Parts fetched at most at one go, while none of them is of the step that is shown.
const PARTS: usize = 64;

/// Begins the log anew at a step's output, or at a line of it. What follows comes over the stream.
pub(super) fn begin_at(run: Run, step: StepIndex, line: Option<u32>) {
    let api = run.app.api();
    spawn_local(async move {
        match api.tail(run.id, Some(step), line).await {
            Ok(tail) => begin(run, Log::from(tail)),
            Err(failure) => run.app.toast_bad(failure.message),
        }
    });
}

/// Begins the log anew at the start.
pub(super) fn begin_at_start(run: Run) {
    begin(run, Log::default());
}

fn begin(run: Run, log: Log) {
    // Closed first: what it still brings would leave a gap.
    if run.stream.try_set_value(None).is_some() {
        return;
    }
    run.log.set_value(log);
    run.stream.set_value(Some(super::follow(run)));
    run.log_turn.update(|n| *n += 1);
}

/// Fetches what was printed before, until there is more of what is shown.
async fn fetch(run: Run, port: Viewport) {
    let api = run.app.api();
    for _ in 0..PARTS {
        let step = run.step.get_untracked();
        let (first, rows) = run.log.with_value(|log| (log.first_chunk(), log.len(step)));
        let Some(first) = first else { return };
        let tail = match api.tail_before(run.id, first).await {
            Ok(tail) => tail,
            Err(failure) => return run.app.toast_bad(failure.message),
        };
        let anchor = port.anchor(run);
        let more = run.log.try_update_value(|log| {
            log.prepend(tail);
            log.len(step) > rows || log.hidden(step) == 0
        });
        run.log_turn.try_update(|n| *n += 1);
        if let Some(anchor) = anchor {
            request_animation_frame(move || port.hold(run, anchor));
        }
        if more != Some(false) {
            return;
        }
    }
}

/// Says how much there is before the first row, and fetches it.
#[component]
pub(super) fn Earlier(run: Run, port: Viewport) -> impl IntoView {
    let busy = RwSignal::new(false);
    let hidden = Memo::new(move |_| {
        run.log_turn.track();
        let step = run.step.get();
        run.log.with_value(|log| log.hidden(step))
    });
    let click = move |_| {
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        port.follow.set(false);
        spawn_local(async move {
            fetch(run, port).await;
            busy.try_set(false);
        });
    };
    let text = move || {
        let lines = usize::try_from(hidden.get()).unwrap_or(usize::MAX);
        if busy.get() {
            "Fetching earlier output\u{2026}".to_owned()
        } else {
            format!("Show earlier output ({})", format::count(lines, "line"))
        }
    };
    when(
        move || hidden.get() > 0,
        move || {
            view! {
                <button class="log-earlier" type="button" data-testid="log-earlier" aria-disabled=move || busy.get().to_string() on:click=click>
                    {text}
                </button>
            }
            .into_any()
        },
    )
}
