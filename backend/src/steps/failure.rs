//! From what went wrong outside to what the engine does about it.

use coxswain_engine::step::StepFailure;
use coxswain_wire::StepError;

use super::services::ServiceError;
use crate::world::WorldError;

/// A failure with advice.
pub(crate) fn fatal(message: impl Into<String>, advice: impl Into<String>) -> StepFailure {
    StepFailure::Fatal(StepError {
        message: message.into(),
        causes: Vec::new(),
        advice: Some(advice.into()),
    })
}

/// What may pass by itself is tried again by the engine, everything else fails the step.
pub(crate) fn world(error: WorldError) -> StepFailure {
    let transient = error.is_transient();
    let error = StepError {
        message: error.to_string(),
        causes: Vec::new(),
        advice: error.advice(),
    };
    if transient {
        StepFailure::Unreachable(error)
    } else {
        StepFailure::Fatal(error)
    }
}

/// The same where nothing was begun, or nothing changes: nobody has to wait for what becomes of it.
pub(crate) fn at_once(error: WorldError) -> StepFailure {
    StepFailure::Fatal(world(error).into_error())
}

/// The panel's own storage.
pub(crate) fn service(error: ServiceError) -> StepFailure {
    fatal(
        error.0,
        "Look into the panel's log and its disk, then retry.",
    )
}
