//! Undoing one step: probe, apply, probe. An undo that is not observed parks the run.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};

use crate::drive::{Timing, retrying};
use crate::event::Event;
use crate::runner::Recorder;
use crate::step::{Attached, Probe, StepContext, StepFailure, StepKind, error};

/// One step to be undone.
pub(crate) struct Undo {
    pub(crate) kind: Arc<dyn StepKind>,
    pub(crate) context: StepContext,
    pub(crate) recorder: Recorder,
    pub(crate) timing: Timing,
}

impl Undo {
    /// Sees the undo to a recorded outcome.
    pub(crate) async fn run(self) {
        let step = self.context.step;
        if self
            .recorder
            .record(Event::UndoStarted { step })
            .await
            .is_err()
        {
            return;
        }
        let event = match self.undo().await {
            Ok(observed) => Event::UndoSucceeded { step, observed },
            Err(failure) => Event::UndoFailed {
                step,
                error: failure.into_error(),
            },
        };
        // A refused record means that the runner is gone; the next one undoes again.
        self.recorder
            .record(event)
            .await
            .unwrap_or_else(|gone| tracing::debug!(?gone, step, "undo not recorded"));
    }

    async fn undo(&self) -> Result<String, StepFailure> {
        let (kind, context) = (&self.kind, &self.context);
        let deadline = context.deadline;
        let patience = self.timing.patience;
        retrying(deadline, patience, || kind.interrupt(context)).await?;
        match retrying(deadline, patience, || kind.reattach(context)).await? {
            Attached::Over => {}
            Attached::Unsure { why } => return Err(StepFailure::fatal(why)),
        }
        let mut complaint = None;
        let mut undone = false;
        loop {
            match retrying(deadline, patience, || kind.probe_undone(context)).await? {
                Probe::Done { observed, .. } => return Ok(observed),
                Probe::Unsure { why } => return Err(StepFailure::fatal(why)),
                Probe::NotDone { why } => {
                    if let Some(complaint) = complaint {
                        return Err(complaint);
                    }
                    if Instant::now() + self.timing.poll >= deadline {
                        return Err(StepFailure::Fatal(error(format!(
                            "not observed undone before the deadline: {why}"
                        ))));
                    }
                }
            }
            if undone {
                sleep(self.timing.poll).await;
                continue;
            }
            undone = true;
            match timeout_at(deadline, kind.undo(context)).await {
                Ok(Ok(())) | Ok(Err(StepFailure::Unreachable(_))) => {}
                Ok(Err(fatal @ StepFailure::Fatal(_))) => complaint = Some(fatal),
                Err(_) => return Err(StepFailure::fatal("undoing took longer than its deadline")),
            }
        }
    }
}
