//! The audit trail's hash chain: what an entry is, how it is hashed, how a chain is checked.
//!
//! Hash of an entry = SHA-256 over the domain word, the hash before it (64 zeros before the first), and
//! every field in the order of the columns, each preceded by its length in eight bytes (big end first),
//! so that no two entries have the same bytes. Pure; the rows are kept by [`crate::store`].
//!
//! The hash of an event of a run enters, under another domain word, where an entry has one: the log of a run
//! is bound by the chain. Where the chain ends is told by [`head`], outside the database.

mod events;
mod flaw;
pub mod head;
mod of_run;

use coxswain_engine::plan::hex;
use coxswain_wire::{AuditEntry, RunId, Timestamp};
use sha2::{Digest, Sha256};

pub use events::{EventChecker, RunEntry, event_sha256};
pub use flaw::Flaw;
pub use of_run::of_event;

const DOMAIN: &[u8] = b"coxswain-audit-1";
/// Of an entry with the hash of an event.
const EVENT_DOMAIN: &[u8] = b"coxswain-audit-2";

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Who made a change, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Sign-in name, `engine` or `anonymous`.
    pub actor: String,
    /// Address of the caller; empty for the engine.
    pub address: String,
}

impl Who {
    /// The panel itself.
    #[must_use]
    pub fn engine() -> Self {
        Self {
            actor: "engine".to_owned(),
            address: String::new(),
        }
    }

    /// Somebody who has not signed in.
    #[must_use]
    pub fn anonymous(address: impl Into<String>) -> Self {
        Self {
            actor: "anonymous".to_owned(),
            address: address.into(),
        }
    }
}

/// An entry before it has its place in the chain.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Who did it.
    pub who: Who,
    /// Stable word, e.g. `host.created`.
    pub action: &'static str,
    /// What it was done to, e.g. `host node1`.
    pub subject: String,
    /// More, in words; never a secret.
    pub detail: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// SHA-256 of the event that it records, hex.
    pub event_sha256: Option<String>,
}

impl Draft {
    /// An entry that belongs to no run.
    pub fn new(
        who: &Who,
        action: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            who: who.clone(),
            action,
            subject: subject.into(),
            detail: detail.into(),
            run: None,
            event_sha256: None,
        }
    }

    /// The entry at its place, after the entry with the hash `before`.
    #[must_use]
    pub fn place(self, seq: i64, at: Timestamp, before: &str) -> AuditEntry {
        let mut entry = AuditEntry {
            seq,
            at,
            actor: self.who.actor,
            address: self.who.address,
            action: self.action.to_owned(),
            subject: self.subject,
            detail: self.detail,
            run: self.run,
            event_sha256: self.event_sha256,
            hash: String::new(),
        };
        entry.hash = hash(before, &entry);
        entry
    }
}

/// Hash of an entry; its own `hash` does not enter.
fn hash(before: &str, entry: &AuditEntry) -> String {
    // Destructured so that a new field breaks the build here.
    let AuditEntry {
        seq,
        at,
        actor,
        address,
        action,
        subject,
        detail,
        run,
        event_sha256,
        hash: _,
    } = entry;
    let run = run.map(|r| r.0.to_string()).unwrap_or_default();
    let (seq, at) = (seq.to_string(), at.0.to_string());
    let (domain, event) = match event_sha256 {
        None => (DOMAIN, None),
        Some(event) => (EVENT_DOMAIN, Some(event.as_bytes())),
    };
    let fields = [
        domain,
        before.as_bytes(),
        seq.as_bytes(),
        at.as_bytes(),
        actor.as_bytes(),
        address.as_bytes(),
        action.as_bytes(),
        subject.as_bytes(),
        detail.as_bytes(),
        run.as_bytes(),
    ];
    let mut sha = Sha256::new();
    for field in fields.into_iter().chain(event) {
        sha.update((field.len() as u64).to_be_bytes());
        sha.update(field);
    }
    hex(&sha.finalize())
}

/// Checks a chain entry by entry, from the first on.
#[derive(Clone, Debug)]
pub struct Checker {
    next: i64,
    before: String,
}

impl Default for Checker {
    fn default() -> Self {
        Self {
            next: 1,
            before: GENESIS.to_owned(),
        }
    }
}

impl Checker {
    /// One that goes on after an entry.
    #[must_use]
    pub fn after(seq: i64, hash: String) -> Self {
        Self {
            next: seq + 1,
            before: hash,
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// It does not follow the one before, or its content was changed.
    pub fn take(&mut self, entry: &AuditEntry) -> Result<(), Flaw> {
        if entry.seq != self.next {
            return Err(Flaw::Entry {
                seq: self.next,
                why: format!("missing; entry {} stands in its place", entry.seq),
            });
        }
        if entry.hash != hash(&self.before, entry) {
            return Err(Flaw::Entry {
                seq: entry.seq,
                why: "its hash does not fit its content and the entry before".to_owned(),
            });
        }
        self.next += 1;
        self.before.clone_from(&entry.hash);
        Ok(())
    }

    /// Entries taken so far.
    #[must_use]
    pub fn entries(&self) -> i64 {
        self.next - 1
    }

    /// Hash of the latest entry.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<AuditEntry> {
        let mut before = GENESIS.to_owned();
        (1..=4)
            .map(|seq| {
                let who = Who {
                    actor: "ann".into(),
                    address: "10.0.0.1".into(),
                };
                let entry = Draft::new(&who, "host.created", format!("host n{seq}"), "").place(
                    seq,
                    Timestamp(seq),
                    &before,
                );
                before.clone_from(&entry.hash);
                entry
            })
            .collect()
    }

    fn broken_at(entries: &[AuditEntry]) -> Option<i64> {
        match check(entries) {
            Err(Flaw::Entry { seq, .. }) => Some(seq),
            Ok(()) | Err(_) => None,
        }
    }

    fn check(entries: &[AuditEntry]) -> Result<(), Flaw> {
        let mut checker = Checker::default();
        entries.iter().try_for_each(|e| checker.take(e))
    }

    #[test]
    fn an_untouched_chain_holds() {
        assert_eq!(check(&chain()), Ok(()));
    }

    #[test]
    fn every_changed_field_is_named_by_its_entry() {
        let changes: [fn(&mut AuditEntry); 9] = [
            |e| e.at = Timestamp(99),
            |e| e.actor.push('x'),
            |e| e.address.push('x'),
            |e| e.action.push('x'),
            |e| e.subject.push('x'),
            |e| e.detail.push('x'),
            |e| e.run = Some(RunId(1)),
            |e| e.event_sha256 = Some(String::new()),
            |e| e.hash = GENESIS.to_owned(),
        ];
        for change in changes {
            let mut entries = chain();
            change(&mut entries[2]);
            assert_eq!(broken_at(&entries), Some(3));
        }
    }

    #[test]
    fn text_moved_between_fields_is_seen() {
        let mut entries = chain();
        entries[1].actor = "an".into();
        entries[1].address = "n10.0.0.1".into();
        assert_eq!(broken_at(&entries), Some(2));
    }

    #[test]
    fn a_missing_entry_is_seen() {
        let mut entries = chain();
        entries.remove(1);
        assert_eq!(broken_at(&entries), Some(2));
    }
}
