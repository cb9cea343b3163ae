//! Killing the panel at the n-th point where it could be killed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts the points that a run passes. At the chosen one everything that passes a point hangs for ever,
/// as if the process were gone.
#[derive(Debug)]
pub struct KillSwitch {
    nth: usize,
    left: AtomicUsize,
    dead: AtomicBool,
    died: tokio::sync::Notify,
}

impl KillSwitch {
    /// Dies at the `nth` point, counted from 1. `usize::MAX`: never.
    #[must_use]
    pub fn at(nth: usize) -> Self {
        Self {
            nth,
            left: AtomicUsize::new(nth),
            dead: AtomicBool::new(false),
            died: tokio::sync::Notify::new(),
        }
    }

    /// Passes a point, or hangs.
    pub async fn point(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.strike();
        }
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    /// How many points were passed, the last one included.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.nth.wrapping_sub(self.left.load(Ordering::SeqCst))
    }

    /// Dies now.
    pub fn strike(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_waiters();
        self.died.notify_one();
    }

    /// True once it has struck.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Returns when it strikes.
    pub async fn strikes(&self) {
        let died = self.died.notified();
        if !self.struck() {
            died.await;
        }
    }
}
