//! What was how when, drawn: a lane for each thing, and what happened against what was expected. The tables of the report
//! say the same.

use coxswain_wire::{Lane, LaneState, Mark, StepIndex, Timeline};
use leptos::prelude::*;

use crate::components::axis::axis;
use crate::format;

/// Width of the drawing in its own units.
const WIDTH: i64 = 1_000;

/// How a state is called, coloured, and shaped: not by its colour alone.
struct Drawn {
    word: &'static str,
    tone: &'static str,
    /// Upper edge and height, of 24.
    y: i64,
    height: i64,
}

fn drawn(state: LaneState) -> Drawn {
    let of = |word, tone, y, height| Drawn {
        word,
        tone,
        y,
        height,
    };
    match state {
        LaneState::Good => of("available", "good", 9, 6),
        LaneState::Bad => of("away", "bad", 2, 20),
        LaneState::Unknown => of("not observed", "quiet", 11, 2),
    }
}

/// How a mark compares, in words.
fn compared(state: LaneState) -> &'static str {
    match state {
        LaneState::Good => "as expected",
        LaneState::Bad => "worse",
        LaneState::Unknown => "not observed",
    }
}

/// Where a time is drawn.
fn x(ms: i64, whole: i64) -> i64 {
    ms.clamp(0, whole) * WIDTH / whole.max(1)
}

/// Left edge and width of a time; short ones stay visible.
fn bar(from: i64, until: i64, whole: i64) -> (i64, i64) {
    let (from, until) = (x(from, whole), x(until, whole));
    let width = (until - from).max(3);
    (from.min(WIDTH - width), width)
}

pub(super) fn draw(step: StepIndex, timeline: Timeline) -> AnyView {
    let whole = timeline.until_ms;
    let lanes = timeline.lanes.into_iter().map(|l| lane(l, whole));
    let marks = timeline.marks.into_iter().map(|m| mark(m, whole));
    let begin = format!(
        "After {}. A tall bar is a time away, a thin line one that nobody observed. Below, a band is the time in which something was expected, a bar when it was seen.",
        timeline.begin
    );
    view! {
        <section class="panel report" data-testid="report-timeline" data-step=step.to_string()>
            <header class="panel-head"><h2>{timeline.title}</h2></header>
            <div class="drawn">
                <p class="drawn-help">{begin}</p>
                {legend()}
                <div class="drawn-axis">{axis(whole)}</div>
                <ul class="drawn-rows">{lanes.collect_view()}</ul>
                <ul class="drawn-rows">{marks.collect_view()}</ul>
            </div>
        </section>
    }
    .into_any()
}

fn legend() -> AnyView {
    let entries = [LaneState::Good, LaneState::Bad, LaneState::Unknown]
        .map(|state| {
            let Drawn {
                word,
                tone,
                y,
                height,
            } = drawn(state);
            view! {
                <li class=format!("tone-{tone}")>
                    <svg class="drawn-sample" viewBox="0 0 24 24" aria-hidden="true"><rect class="drawn-bar" y=y.to_string() width="24" height=height.to_string()/></svg>
                    {word}
                </li>
            }.into_any()
        })
        .collect_view();
    view! { <ul class="drawn-legend" aria-label="What the bars mean">{entries}</ul> }.into_any()
}

fn lane(lane: Lane, whole: i64) -> AnyView {
    let bars = lane
        .spans
        .iter()
        .map(|span| {
            let Drawn {
                word,
                tone,
                y,
                height,
            } = drawn(span.state);
            let (left, width) = bar(span.from_ms, span.until_ms, whole);
            let title = format!(
                "{word}: {} to {}",
                format::duration(span.from_ms),
                format::duration(span.until_ms)
            );
            view! {
                <rect class=format!("drawn-bar tone-{tone}") x=left.to_string() y=y.to_string() width=width.to_string() height=height.to_string()>
                    <title>{title}</title>
                </rect>
            }.into_any()
        })
        .collect_view();
    let words = format!("{}: {}", lane.name, lane.words);
    view! {
        <li class="drawn-row">
            <span class="drawn-name" aria-hidden="true">{lane.name}</span>
            <svg class="drawn-track" viewBox=format!("0 0 {WIDTH} 24") preserveAspectRatio="none" role="img" aria-label=words>{bars}</svg>
        </li>
    }
    .into_any()
}

fn mark(mark: Mark, whole: i64) -> AnyView {
    let Drawn { tone, .. } = drawn(mark.state);
    let band = mark.limit_ms.map(|limit| {
        let width = x(limit, whole).to_string();
        view! { <rect class="drawn-band" x="0" y="8" width=width height="8"/> }.into_any()
    });
    let seen = mark.at_ms.map(|at| {
        let left = (x(at, whole) - 3).clamp(0, WIDTH - 6).to_string();
        view! { <rect class=format!("drawn-bar tone-{tone}") x=left y="0" width="6" height="24"/> }
            .into_any()
    });
    let result = compared(mark.state);
    let words = format!(
        "{}: {}. Expected: {}. {result}.",
        mark.name, mark.observed, mark.expected
    );
    view! {
        <li class="drawn-row">
            <span class="drawn-name" aria-hidden="true">{mark.name}</span>
            <svg class="drawn-track" viewBox=format!("0 0 {WIDTH} 24") preserveAspectRatio="none" role="img" aria-label=words>{band}{seen}</svg>
            <span class="drawn-words" aria-hidden="true">
                <span class=format!("drawn-result tone-{tone}")>{result}</span>
                {format!("{} (expected: {})", mark.observed, mark.expected)}
            </span>
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, bar, x};

    #[test]
    fn what_is_drawn_stays_inside() {
        assert_eq!((x(-5, 100), x(50, 100), x(900, 100)), (0, 500, WIDTH));
        assert_eq!(x(5, 0), 0);
        assert_eq!(bar(0, 100, 100), (0, WIDTH));
        assert_eq!(bar(100, 100, 100), (WIDTH - 3, 3));
        assert_eq!(bar(50, 50, 100), (500, 3));
    }
}
