//! The log of a run against the entries that record it: one for one, in order.

use coxswain_engine::event::Event;
use coxswain_engine::plan::hex;
use coxswain_wire::{RunId, Timestamp};
use sha2::{Digest, Sha256};

use super::{Flaw, of_event};

/// SHA-256 of an event's text as it is stored, hex.
#[must_use]
pub fn event_sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// What an entry says of an event.
#[derive(Clone, Debug)]
pub struct RunEntry {
    /// Its number in the trail.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Its word.
    pub action: String,
    /// Hash of the event; entries of older panels have none.
    pub event_sha256: Option<String>,
}

/// Compares the log of one run, event by event, with its entries.
pub struct EventChecker {
    run: RunId,
    plan_sha256: String,
    entries: std::vec::IntoIter<RunEntry>,
}

impl EventChecker {
    /// For a run with this plan, as it is stored, and these entries in order.
    #[must_use]
    pub fn new(run: RunId, plan: &str, entries: Vec<RunEntry>) -> Self {
        Self {
            run,
            plan_sha256: event_sha256(plan),
            entries: entries.into_iter(),
        }
    }

    /// Takes the next event of the log.
    ///
    /// # Errors
    /// It is not the one that was recorded.
    pub fn take(&mut self, seq: i64, at: Timestamp, text: &str) -> Result<(), Flaw> {
        let Some(entry) = self.entries.next() else {
            return Err(self.flaw(format!("event {seq} of its log is recorded nowhere")));
        };
        let event: Option<Event> = serde_json::from_str(text).ok();
        let same = match (&entry.event_sha256, &event) {
            (Some(recorded), _) => *recorded == event_sha256(text),
            (None, Some(event)) => of_event(self.run, event).action == entry.action,
            (None, None) => false,
        };
        if !same || entry.at != at {
            return Err(self.flaw(format!(
                "event {seq} of its log is not the one that entry {} records",
                entry.seq
            )));
        }
        match event {
            Some(Event::Created { plan_sha256, .. }) if plan_sha256 != self.plan_sha256 => {
                Err(self.flaw("its plan is not the one that it was created with".to_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The log has ended.
    ///
    /// # Errors
    /// An event that was recorded is not there.
    pub fn end(mut self) -> Result<(), Flaw> {
        match self.entries.next() {
            None => Ok(()),
            Some(entry) => Err(self.flaw(format!(
                "the event that entry {} records is not in its log",
                entry.seq
            ))),
        }
    }

    fn flaw(&self, why: String) -> Flaw {
        Flaw::Run { run: self.run, why }
    }
}
