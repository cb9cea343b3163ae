//! The scale above what is drawn over time: round times, where they belong.

use leptos::prelude::*;

use crate::format;

/// Seconds between two times: the first that leaves few enough is taken.
const STEPS: [i64; 14] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200,
];
/// Times after the first, at most.
const MOST: i64 = 5;
/// Further right than this, in tenths of a percent, a time would stand out over the edge.
const EDGE: i64 = 930;

/// The times, in milliseconds, from nought.
fn times(whole_ms: i64) -> Vec<i64> {
    let fits = |s: &i64| whole_ms / (s * 1_000) <= MOST;
    // Days have no round times of their own.
    let last = STEPS[STEPS.len() - 1];
    let rounds = whole_ms / (last * 1_000 * MOST) + 1;
    let step = STEPS.into_iter().find(fits).unwrap_or(last * rounds) * 1_000;
    (0..=whole_ms / step).map(|n| n * step).collect()
}

/// The scale of a drawing that is `whole_ms` wide. Told to nobody who hears the page: each bar says its times.
pub(crate) fn axis(whole_ms: i64) -> AnyView {
    let times = times(whole_ms).into_iter().map(|at| {
        let tenths = at * 1_000 / whole_ms.max(1);
        let x = format!("{}.{}%", tenths / 10, tenths % 10);
        let anchor = match tenths {
            0 => "start",
            EDGE.. => "end",
            _ => "middle",
        };
        view! {
            <text class="num" x=x y="0.9em" text-anchor=anchor>{format!("+{}", format::ticking(at))}</text>
        }
        .into_any()
    });
    view! { <svg class="axis" aria-hidden="true">{times.collect_view()}</svg> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::times;

    #[test]
    fn times_are_round_and_few() {
        let seconds = |whole: i64| -> Vec<i64> {
            let found = times(whole * 1_000);
            found.into_iter().map(|ms| ms / 1_000).collect()
        };
        assert_eq!(seconds(75), [0, 15, 30, 45, 60, 75]);
        assert_eq!(seconds(116), [0, 30, 60, 90]);
        assert_eq!(seconds(1), [0, 1]);
        assert_eq!(seconds(0), [0]);
        assert_eq!(seconds(3_000), [0, 600, 1_200, 1_800, 2_400, 3_000]);
        let days = seconds(10 * 86_400);
        assert!(days.len() <= 6 && days.len() > 2, "{days:?}");
    }
}
