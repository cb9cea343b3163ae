//! Values of all secrets, in memory, for the redactor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use zeroize::Zeroizing;

/// Exact values that must never be stored, shown or logged. Values are only added: what was a secret once
/// is masked as long as the panel lives.
#[derive(Default)]
pub struct Known {
    values: RwLock<Vec<Zeroizing<Vec<u8>>>>,
    generation: AtomicU64,
}

impl Known {
    /// Adds a value.
    pub fn learn(&self, value: &[u8]) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        if !values.iter().any(|known| known.as_slice() == value) {
            values.push(Zeroizing::new(value.to_vec()));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// All values, for a redactor.
    #[must_use]
    pub fn values(&self) -> Vec<Vec<u8>> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values.iter().map(|value| value.to_vec()).collect()
    }

    /// Rises with every value that is added.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
