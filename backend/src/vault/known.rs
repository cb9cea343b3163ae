//! Values of all secrets, in memory, for the redactor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use coxswain_k3s::redact::{Needles, Redactor};
use zeroize::Zeroizing;

/// Exact values that must never be stored, shown or logged. Values are only added: what was a secret once
/// is masked as long as the panel lives.
#[derive(Default)]
pub struct Known {
    values: RwLock<Values>,
    generation: AtomicU64,
}

#[derive(Default)]
struct Values {
    all: Vec<Zeroizing<Vec<u8>>>,
    /// Made ready for redactors; none after a value was added.
    ready: Option<Needles>,
}

impl Known {
    /// Adds a value.
    pub fn learn(&self, value: &[u8]) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        if !values.all.iter().any(|known| known.as_slice() == value) {
            values.all.push(Zeroizing::new(value.to_vec()));
            values.ready = None;
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// A redactor that knows all values.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        Redactor::with(&self.needles())
    }

    fn needles(&self) -> Needles {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = &values.ready {
            return ready.clone();
        }
        drop(values);
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let Values { all, ready } = &mut *values;
        let make = || Needles::new(all.iter().map(|value| value.as_slice()));
        ready.get_or_insert_with(make).clone()
    }

    /// Rises with every value that is added.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_made_ready_once() {
        let known = Known::default();
        known.learn(b"hunter2hunter2");
        let first = known.needles();
        known.learn(b"hunter2hunter2");
        assert!(known.needles().same(&first));
        known.learn(b"correct horse");
        assert!(!known.needles().same(&first));
        let safe = known
            .redactor()
            .redact_all(b"hunter2hunter2, correct horse\n");
        assert_eq!(
            String::from_utf8(safe).unwrap(),
            format!("{MASK}, {MASK}\n", MASK = coxswain_k3s::redact::MASK)
        );
    }
}
