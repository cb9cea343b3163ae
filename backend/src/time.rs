//! The panel's clock.

use coxswain_wire::Timestamp;

/// Now.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
