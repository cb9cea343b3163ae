//! The audit trail.

use serde::{Deserialize, Serialize};

use crate::{RunId, Timestamp};

/// One entry of the hash chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Position in the chain, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Sign-in name, or `engine`, or `anonymous`.
    pub actor: String,
    /// Address of the caller; empty for the engine.
    pub address: String,
    /// Stable word, e.g. `host.created`, `run.approved`.
    pub action: String,
    /// What it was done to, e.g. `host node1`.
    pub subject: String,
    /// More, in words; never a secret.
    pub detail: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// SHA-256 of the event of the run's log that it records, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_sha256: Option<String>,
    /// SHA-256 over this entry and the hash before, hex.
    pub hash: String,
}

/// `GET /audit?before=SEQ`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditPage {
    /// At most 100.
    pub entries: Vec<AuditEntry>,
    /// Pass as `before` for the next page; none at the beginning of the chain.
    pub next_before: Option<i64>,
    /// What is wrong with the trail: these entries, recomputed just now, do not follow each other, or the panel's
    /// check of the whole trail (at its start, and of everything new since) found something.
    pub flaw: Option<String>,
}
