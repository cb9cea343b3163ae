//! One row of the log. Output is set as text, never as HTML.

use coxswain_wire::{RunId, StepIndex, step_number};
use leptos::prelude::*;

use super::viewport::LINE_PX;
use crate::log::{Row, RowId, RowKind, find};
use crate::{format, paths};

/// All that a row shows; equal rows are drawn once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) id: RowId,
    pub(super) row: Row,
    /// Visual lines it takes.
    pub(super) lines: u32,
    /// Where it comes from, while all steps are shown.
    pub(super) target: Option<String>,
    pub(super) needle: String,
    /// The search stands here.
    pub(super) current: bool,
    /// The address names this line.
    pub(super) marked: bool,
}

impl Line {
    /// Changes whenever the row must be drawn again (FNV-1a over what it shows).
    pub(super) fn key(&self) -> u64 {
        let length = match &self.row.kind {
            RowKind::Line { text, .. } => text.len(),
            RowKind::Attempt(_) => 0,
        };
        let flags = u64::from(self.current)
            | u64::from(self.marked) << 1
            | u64::from(self.target.is_some()) << 2;
        let words = [self.id, length as u64, u64::from(self.lines), flags];
        let bytes = self.needle.bytes().map(u64::from);
        words
            .into_iter()
            .chain(bytes)
            .fold(0xcbf2_9ce4_8422_2325, |hash, word| {
                (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

/// Name of a step's target.
pub(super) fn target(targets: &[String], step: StepIndex) -> String {
    usize::try_from(step)
        .ok()
        .and_then(|i| targets.get(i).cloned())
        .unwrap_or_default()
}

/// Whether the address names the row.
pub(super) fn is_marked(row: &Row, step: Option<StepIndex>, marked: Option<(u32, u32)>) -> bool {
    match (&row.kind, marked) {
        (RowKind::Line { number, .. }, Some((from, to))) => {
            step == Some(row.step) && (from..=to).contains(number)
        }
        (RowKind::Line { .. }, None) | (RowKind::Attempt(_), _) => false,
    }
}

/// Lines that say themselves that something is wrong.
fn level(text: &str) -> &'static str {
    let bad = [
        "level=error",
        "level=fatal",
        "ERROR",
        "FATAL",
        "error:",
        "panic:",
    ];
    let warn = ["level=warning", "level=warn", "WARN", "warning:"];
    if bad.iter().any(|w| text.contains(w)) {
        "log-bad"
    } else if warn.iter().any(|w| text.contains(w)) {
        "log-warn"
    } else {
        ""
    }
}

/// Text with the searched words marked.
fn marked_text(text: &str, needle: &str) -> AnyView {
    if needle.is_empty() {
        return text.to_owned().into_any();
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, needle) {
        let (before, hit_on) = rest.split_at(at);
        let (hit, after) = hit_on.split_at(needle.len());
        parts.push(before.to_owned().into_any());
        parts.push(view! { <mark>{hit.to_owned()}</mark> }.into_any());
        rest = after;
    }
    parts.push(rest.to_owned().into_any());
    parts.into_any()
}

/// Draws a row; `pick` is called when its number is clicked.
pub(super) fn draw(
    run: RunId,
    line: &Line,
    pick: impl Fn(StepIndex, u32, bool) + 'static,
) -> AnyView {
    let height =
        (line.lines > 1).then(|| format!("{}px", i64::from(line.lines) * i64::from(LINE_PX)));
    let step = line.row.step;
    match &line.row.kind {
        RowKind::Attempt(n) => {
            let target = line.target.clone().unwrap_or_default();
            view! {
                <div class="log-row log-attempt"><span>{format!("Attempt {n}")}</span><span class="quiet">{target}</span></div>
            }
            .into_any()
        }
        RowKind::Line { number, text } => {
            let number = *number;
            view! {
                <div
                    class=format!("log-row {}", level(text))
                    class:log-current=line.current
                    class:log-marked=line.marked
                    style:height=height
                    data-testid="log-line"
                    data-step=step.to_string()
                    data-line=number.to_string()
                >
                    <a
                        class="log-number"
                        href=paths::run_line(run, step, number)
                        tabindex="-1"
                        aria-label=format!("Link to line {number} of step {}", step_number(step))
                        on:click=move |event| {
                            event.prevent_default();
                            event.stop_propagation();
                            pick(step, number, event.shift_key());
                        }
                    >
                        {number}
                    </a>
                    <span class="log-time" title=format::utc(line.row.at)>{format::clock(line.row.at)}</span>
                    {line.target.clone().map(|target| view! { <span class="log-target" title=format!("step {}", step_number(step))>{target}</span> }.into_any())}
                    <span class="log-text">{marked_text(text, &line.needle)}</span>
                </div>
            }
            .into_any()
        }
    }
}
