//! Waiting for something to be so, with a deadline.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks again and again until there is something. An error counts as "not yet": the last one is told when
/// time is up.
///
/// # Errors
/// It was not so within `patience`; the text names `what`.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= end {
            let message = format!("{what}: not within {} s", patience.as_secs());
            return Err(match last {
                Some(error) => error.context(message),
                None => anyhow!(message),
            });
        }
        sleep(PAUSE).await;
    }
}
