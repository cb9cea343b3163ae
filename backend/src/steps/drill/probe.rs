//! A question that is asked every second, however long each answer takes.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use tokio::time::timeout;

use super::watch::pace;

/// Between two questions.
const PROBE: Duration = Duration::from_secs(1);
/// For an answer. k3s answers within milliseconds; HAProxy holds a connection to a dead server for longer.
pub(super) const ANSWER: Duration = Duration::from_millis(2_500);
/// Questions without an answer yet: as many as are asked within the time for one.
const WAITING: usize = 3;

/// Asks for ever, and takes the answers in the order of the questions; none within [`ANSWER`] is a no.
pub(super) async fn every_second<A>(
    ask: impl Fn() -> A,
    take: impl Fn(i64, bool),
    now: impl Fn() -> i64,
) -> Infallible
where
    A: Future<Output = bool>,
{
    let mut tick = pace(PROBE);
    let mut asked = FuturesOrdered::new();
    loop {
        tokio::select! {
            _ = tick.tick(), if asked.len() < WAITING => {
                // A failure belongs to the moment at which the question was asked.
                let (at, answer) = (now(), ask());
                asked.push_back(async move { (at, timeout(ANSWER, answer).await.unwrap_or(false)) });
            }
            Some((at, yes)) = asked.next() => take(at, yes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::{Instant, sleep};

    use super::*;

    /// Each answer comes after so long, milliseconds.
    async fn asked(after: impl Fn(usize) -> u64) -> Vec<(i64, bool)> {
        let begin = Instant::now();
        let (count, taken) = (Cell::new(0), RefCell::new(Vec::new()));
        let ask = || {
            let after = after(count.replace(count.get() + 1));
            async move {
                sleep(Duration::from_millis(after)).await;
                true
            }
        };
        let now = || i64::try_from(begin.elapsed().as_millis()).unwrap();
        let forever = every_second(ask, |at, yes| taken.borrow_mut().push((at, yes)), now);
        assert!(
            timeout(Duration::from_millis(9_900), forever)
                .await
                .is_err()
        );
        taken.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_asked_as_often_as_what_answers() {
        let good: Vec<(i64, bool)> = (0..10).map(|second| (second * 1000, true)).collect();
        assert_eq!(asked(|_| 5).await, good);
        let bad: Vec<(i64, bool)> = (0..8).map(|second| (second * 1000, false)).collect();
        assert_eq!(asked(|_| 60_000).await, bad);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_does_not_overtake() {
        let seen = asked(|question| if question == 3 { 2_400 } else { 5 }).await;
        let inorder: Vec<(i64, bool)> = (0..10).map(|second| (second * 1000, true)).collect();
        assert_eq!(seen, inorder);
    }
}
