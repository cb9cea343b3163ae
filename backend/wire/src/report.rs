//! What a step tells people: tables, what was how when, and what to do next. Never holds a secret.

use serde::{Deserialize, Serialize};

use crate::Inputs;

/// What a step found, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// In order.
    pub tables: Vec<Table>,
    /// The same drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timelines: Vec<Timeline>,
    /// What may be wanted next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextRun>,
}

/// A part of a step's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// In order; as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// What was how when. Drawn; the report's tables say the same. Times are milliseconds after its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timeline {
    /// What it shows.
    pub title: String,
    /// What happened at its beginning.
    pub begin: String,
    /// Its end.
    pub until_ms: i64,
    /// In the order to draw.
    pub lanes: Vec<Lane>,
    /// In the order to draw, below the lanes.
    pub marks: Vec<Mark>,
}

/// One thing over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lane {
    /// What.
    pub name: String,
    /// Without a break, from the beginning to the end.
    pub spans: Vec<LaneSpan>,
    /// The same in words.
    pub words: String,
}

/// A time with one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LaneSpan {
    /// Begin.
    pub from_ms: i64,
    /// End.
    pub until_ms: i64,
    /// How it was.
    pub state: LaneState,
}

/// How something was, or compares with what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Nobody can tell.
    Unknown,
}

/// Something that happened, against what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// What.
    pub name: String,
    /// When; none if it was not seen.
    pub at_ms: Option<i64>,
    /// Until when it was expected; none if it was not expected at a time.
    pub limit_ms: Option<i64>,
    /// What was seen, in words.
    pub observed: String,
    /// What was expected, in words.
    pub expected: String,
    /// How the two compare.
    pub state: LaneState,
}

/// A run that may be wanted next, with its form filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NextRun {
    /// What to do, on the link.
    pub title: String,
    /// When and why.
    pub why: String,
    /// Stored name of the workflow.
    pub workflow: String,
    /// What is filled in.
    pub inputs: Inputs,
}
