//! Lines that a step itself writes into its attempt's output, where no job on a host does.

use std::sync::Arc;

use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_engine::store::StepOutput;

/// The output of one attempt, written from here alone. After a crash a new attempt has an output of its own.
pub(crate) struct Log {
    output: Option<Arc<dyn StepOutput>>,
    next: u64,
}

impl Log {
    /// Goes on behind what is stored.
    pub(crate) async fn open(context: &StepContext) -> Self {
        let next = match &context.output {
            Some(output) => output.position().await,
            None => 0,
        };
        Self {
            output: context.output.clone(),
            next,
        }
    }

    /// Appends a line; text of several lines stays several.
    ///
    /// # Errors
    /// The storage failed.
    pub(crate) async fn line(&mut self, text: &str) -> Result<(), StepFailure> {
        let Some(output) = &self.output else {
            return Ok(());
        };
        let line = format!("{text}\n");
        output
            .append(self.next, line.as_bytes())
            .await
            .map_err(|e| StepFailure::fatal(format!("the step's output cannot be stored: {e}")))?;
        self.next += line.len() as u64;
        Ok(())
    }
}
