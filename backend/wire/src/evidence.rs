//! What an approver needs to decide.

use serde::{Deserialize, Serialize};

use crate::{NextRun, Timestamp};

/// Facts collected for a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// When it was collected.
    pub at: Timestamp,
    /// Over the equal facts and the truth of the bounds, canonical, without times; hex.
    pub sha256: String,
    /// In the order to show.
    pub facts: Vec<Fact>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fact {
    /// Host or cluster it is about.
    pub subject: String,
    /// What it is, e.g. `Port 6443`.
    pub name: String,
    /// What was seen, in words.
    pub value: String,
    /// What would change, as lines that begin with `+`, `-` or a blank; enters the hash with the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// How it enters the hash.
    pub kind: FactKind,
    /// Whether it stands in the way.
    pub verdict: Verdict,
    /// What to do next, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The run that does it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRun>,
}

/// How a fact binds an approval (design §3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// The value itself must still be the same when the run goes on.
    Equal,
    /// Only its verdict must still be the same.
    Bound,
    /// Shown only.
    Shown,
}

/// Whether a fact stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Odd, but a person may go on.
    Warn,
    /// Approval is refused while it is so.
    Fail,
}
