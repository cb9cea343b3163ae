//! The stream of every page besides a run's: full snapshots.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use coxswain_wire::{OVERVIEW_EVENT, RunId};
use futures::stream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Answer, App, BEAT, Base, Caller, Failure, answer, logged};
use crate::observe::Observed;

/// Least time between two overviews.
const PAUSE: Duration = Duration::from_millis(200);

pub(in crate::http) async fn overview(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Answer<Response> {
    let feed = OverviewFeed {
        runs: app.engine.changed(),
        inventory: app.db.inventory_changed(),
        observed: app.observed.clone(),
        first: true,
        sent: String::new(),
        base: Base::new(app, &caller)?,
    };
    Ok(answer(stream::unfold(feed, OverviewFeed::next)))
}

struct OverviewFeed {
    base: Base,
    runs: broadcast::Receiver<RunId>,
    inventory: watch::Receiver<u64>,
    observed: watch::Receiver<Observed>,
    first: bool,
    /// What the reader has: the same is not sent again.
    sent: String,
}

impl OverviewFeed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if !std::mem::take(&mut self.first) && !self.changed().await {
                return None;
            }
            if !self.base.goes_on().await {
                return None;
            }
            let overview = self.base.app.overview().await.map_err(Failure::from);
            let text = overview
                .and_then(|o| serde_json::to_string(&o).map_err(Failure::internal))
                .inspect_err(logged)
                .ok()?;
            if text != self.sent {
                let event = Event::default().event(OVERVIEW_EVENT).data(&text);
                self.sent = text;
                return Some((Ok(event), self));
            }
        }
    }

    /// Waits until there is something new. False: end.
    async fn changed(&mut self) -> bool {
        // What changes in quick succession is one overview.
        sleep(PAUSE).await;
        loop {
            tokio::select! {
                seen = self.runs.recv() => match seen {
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return false,
                },
                Ok(()) = self.inventory.changed() => break,
                Ok(()) = self.observed.changed() => break,
                Ok(()) = self.base.stopping.changed() => {}
                () = sleep(BEAT) => {}
            }
            if !self.base.goes_on().await {
                return false;
            }
        }
        self.runs = self.runs.resubscribe();
        self.inventory.mark_unchanged();
        self.observed.mark_unchanged();
        true
    }
}
