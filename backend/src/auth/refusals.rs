//! What strangers can cause is noted in the audit trail, but cannot fill it: of each sort some are noted one by
//! one, the others are counted, and their number is noted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::{Draft, Who};
use crate::store::{Db, DbError};
use crate::time::now;

/// Noted one by one within [`WINDOW`].
const NOTED: u64 = 10;
/// After this long they are noted one by one again.
const WINDOW: Duration = Duration::from_secs(600);

/// Action and whom it concerns: few, as all who are concerned are users or everybody else.
type Sort = (&'static str, String);

struct Window {
    began: Instant,
    seen: u64,
}

impl Window {
    fn counted(&self) -> u64 {
        self.seen.saturating_sub(NOTED)
    }
}

/// Notes refusals.
pub(super) struct Refusals {
    db: Db,
    windows: Mutex<HashMap<Sort, Window>>,
}

impl Refusals {
    pub(super) fn new(db: Db) -> Self {
        Self {
            db,
            windows: Mutex::new(HashMap::new()),
        }
    }

    /// Notes a refusal or counts it. `concerns` is a user or a constant word.
    pub(super) async fn note(&self, draft: Draft, concerns: &str) -> Result<(), DbError> {
        for entry in self.weigh(draft, concerns, Instant::now()) {
            self.db.audit(now(), entry).await?;
        }
        Ok(())
    }

    /// Notes the numbers of what was only counted until now.
    pub(super) async fn settle(&self) -> Result<(), DbError> {
        let counted: Vec<(Sort, u64)> = {
            let mut windows = self.windows();
            let over = windows.iter_mut().filter(|(_, w)| w.counted() > 0);
            over.map(|(sort, window)| {
                let number = window.counted();
                window.seen = NOTED;
                (sort.clone(), number)
            })
            .collect()
        };
        for (sort, number) in counted {
            self.db.audit(now(), total(&sort, number)).await?;
        }
        Ok(())
    }

    /// The entries to be made of a refusal.
    fn weigh(&self, mut draft: Draft, concerns: &str, at: Instant) -> Vec<Draft> {
        let sort = (draft.action, concerns.to_owned());
        let mut windows = self.windows();
        let fresh = Window { began: at, seen: 0 };
        let window = windows.entry(sort.clone()).or_insert(fresh);
        let mut entries = Vec::new();
        if at.saturating_duration_since(window.began) >= WINDOW {
            if window.counted() > 0 {
                entries.push(total(&sort, window.counted()));
            }
            *window = Window { began: at, seen: 0 };
        }
        window.seen += 1;
        if window.seen == NOTED {
            let minutes = WINDOW.as_secs() / 60;
            draft.detail = format!("more of these are only counted for {minutes} minutes");
        }
        if window.seen <= NOTED {
            entries.push(draft);
        }
        entries
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Sort, Window>> {
        // Counts stay usable after a panic elsewhere.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn total((action, concerns): &Sort, number: u64) -> Draft {
    let detail = format!("{number} more, which were only counted");
    Draft::new(&Who::engine(), action, concerns.as_str(), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn some_are_noted_and_the_others_counted() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("panel.db")).await.unwrap();
        let refusals = Refusals::new(db.clone());
        let start = Instant::now();
        let refuse = |concerns: &str, at: Instant| {
            let draft = Draft::new(&Who::anonymous("10.0.0.1"), "session.refused", concerns, "");
            refusals.weigh(draft, concerns, at)
        };
        let noted: Vec<Draft> = (0..1000)
            .flat_map(|_| refuse("unknown user", start))
            .collect();
        assert_eq!(noted.len(), 10);
        assert!(noted[9].detail.contains("only counted"), "{noted:?}");
        // Others are noted beside them.
        assert_eq!(refuse("user ann", start).len(), 1);
        let later = refuse("unknown user", start + WINDOW);
        let details: Vec<&str> = later.iter().map(|d| d.detail.as_str()).collect();
        assert_eq!(details, ["990 more, which were only counted", ""]);
        // Asked for, a number is there at once, and once.
        for _ in 0..20 {
            refuse("user ann", start);
        }
        for _ in 0..2 {
            refusals.settle().await.unwrap();
        }
        let page = db.audit_page(None).await.unwrap();
        let told: Vec<&str> = page.entries.iter().map(|e| e.detail.as_str()).collect();
        assert_eq!(told, ["11 more, which were only counted"]);
    }
}
