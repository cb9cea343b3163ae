//! Why a run stands still, and the ways out.

use coxswain_wire::{CommandKind, RunStatus};
use leptos::prelude::*;

use super::Run;
use super::head::{Steer, wants_decision};
use crate::components::icon::{Glyph, Icon};
use crate::words::{self, Tone};

/// Shown for failed, parked and stopped runs, and whenever the panel has something to say.
#[component]
pub(super) fn NoticePanel(run: Run) -> impl IntoView {
    let shown = Memo::new(move |_| {
        run.view.with(|v| {
            let status = v.summary.status;
            (wants_decision(status) || v.notice.is_some()).then(|| (status, v.notice.clone()))
        })
    });
    move || {
        shown.get().map(|(status, notice)| {
            let (title, tone, _) = words::run_status(status);
            let message = notice.as_ref().map_or_else(|| usual(status).to_owned(), |n| n.message.clone());
            let advice = notice.and_then(|n| n.advice);
            let icon = if tone == Tone::Bad { Icon::Warn } else { Icon::Info };
            let decide = wants_decision(status).then(|| {
                view! {
                    <p class="notice-locks"><Glyph icon=Icon::Lock/>"The run keeps its locks until somebody decides."</p>
                    <div class="notice-actions">
                        <Steer run kind=CommandKind::Retry/>
                        <Steer run kind=CommandKind::Unwind/>
                        <Steer run kind=CommandKind::Abandon/>
                    </div>
                }.into_any()
            });
            view! {
                <section class=format!("notice tone-{}", tone.class()) data-testid="run-notice" role="alert">
                    <span class="notice-icon"><Glyph icon/></span>
                    <div class="notice-body">
                        <h2>{title}</h2>
                        <p class="notice-message">{message}</p>
                        {advice.map(|advice| view! { <p class="notice-advice">{advice}</p> }.into_any())}
                        {decide}
                    </div>
                </section>
            }.into_any()
        })
    }
}

fn usual(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Stopped => {
            "A person stopped the run. Nothing more is started; what was done stays as it is."
        }
        RunStatus::Failed => "A step failed.",
        RunStatus::Parked => "The panel cannot know what is safe, so a person decides.",
        RunStatus::Preflight
        | RunStatus::Waiting
        | RunStatus::Running
        | RunStatus::Paused
        | RunStatus::Unwinding
        | RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Rejected
        | RunStatus::Abandoned => "",
    }
}
