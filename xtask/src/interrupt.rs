//! Ctrl-C (and SIGTERM): noted here, obeyed by whoever runs or waits for something, so that clearing up still happens.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

static PENDING: AtomicBool = AtomicBool::new(false);

/// From now on the signals only set a mark.
///
/// # Errors
/// A handler is there already.
pub(crate) fn watch() -> Result<()> {
    ctrlc::set_handler(|| PENDING.store(true, Ordering::SeqCst))?;
    Ok(())
}

/// Whether somebody asked us to stop.
pub(crate) fn pending() -> bool {
    PENDING.load(Ordering::SeqCst)
}
