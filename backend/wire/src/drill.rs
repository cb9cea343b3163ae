//! What a failover drill has found.

use serde::{Deserialize, Serialize};

use crate::{RunId, Timestamp};

/// `GET /runs/{id}/report`. Times are milliseconds after the fault, unless they are a [`Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillReport {
    /// The run.
    pub run: RunId,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the server that had the fault.
    pub victim: String,
    /// What was done to it.
    pub fault: DrillFault,
    /// When.
    pub started_at: Timestamp,
    /// When it was taken away again, if that was seen.
    pub healed_at: Option<Timestamp>,
    /// When the observation ended.
    pub ended_at: Timestamp,
    /// Seconds that were to be observed.
    pub planned_s: u32,
    /// Why the observation ended before its time, if it did.
    pub aborted: Option<String>,
    /// What happened, in the order to show.
    pub points: Vec<DrillPoint>,
    /// How long what could be used.
    pub availability: Vec<DrillAvailability>,
    /// Times at which nobody looked: the panel was not running.
    pub gaps: Vec<DrillSpan>,
    /// Pods that still were Terminating on the victim when the observation ended.
    pub stuck: Vec<String>,
    /// The score.
    pub score: DrillScore,
    /// Earlier drills of the same cluster with the same fault, newest first.
    pub earlier: Vec<EarlierDrill>,
}

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrillFault {
    /// k3s is stopped in good order.
    Stopped,
    /// The process of k3s is killed; systemd starts it again.
    Killed,
    /// The network to its peers and load balancers is cut.
    Cut,
    /// Its power is switched off.
    PowerOff,
}

/// Something that a drill looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillPoint {
    /// What.
    pub name: String,
    /// When it was seen first.
    pub after_ms: Option<i64>,
    /// Until when it was to be expected; none if it has no time of its own.
    #[serde(default)]
    pub limit_ms: Option<i64>,
    /// Its times are counted from when taking the fault away began.
    #[serde(default)]
    pub after_healing: bool,
    /// What was seen.
    pub observed: String,
    /// What was to be expected.
    pub expected: String,
    /// How the two compare.
    pub verdict: DrillVerdict,
}

/// How what was seen compares with what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrillVerdict {
    /// As expected, or better.
    AsExpected,
    /// Worse.
    Worse,
    /// Nobody could tell.
    NotObserved,
}

/// How long something could be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillAvailability {
    /// Whether it is the control plane or the applications.
    pub plane: DrillPlane,
    /// What, e.g. the name of the load balancer.
    pub name: String,
    /// Times at which it could not be used.
    pub away: Vec<DrillSpan>,
    /// Times at which nobody could tell.
    #[serde(default)]
    pub unseen: Vec<DrillSpan>,
    /// Their sum.
    pub away_ms: i64,
    /// The longest of them.
    pub longest_ms: i64,
    /// Time that was looked at.
    pub observed_ms: i64,
}

impl DrillAvailability {
    /// Hundredths of a percent of the observed time; none if nothing was observed.
    #[must_use]
    pub fn basis_points(&self) -> Option<i64> {
        (self.observed_ms > 0)
            .then(|| (self.observed_ms - self.away_ms).max(0) * 10_000 / self.observed_ms)
    }
}

/// Control plane and applications fail apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrillPlane {
    /// The Kubernetes API.
    ControlPlane,
    /// What the API says of a node.
    Nodes,
    /// What runs on the cluster.
    Applications,
}

/// A time, milliseconds after the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillSpan {
    /// Begin.
    pub from_ms: i64,
    /// End.
    pub until_ms: i64,
}

/// How well the cluster did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillScore {
    /// 0 to 100; none if nothing that counts was observed.
    pub points: Option<u32>,
    /// How it is made, in words.
    pub rule: String,
    /// What it is made of.
    pub parts: Vec<DrillScorePart>,
}

/// A part of the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillScorePart {
    /// What counts.
    pub name: String,
    /// Points reached; none if it was not observed, and then it does not count.
    pub points: Option<u32>,
    /// Points there are.
    pub of: u32,
    /// Why.
    pub why: String,
}

/// An earlier drill, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EarlierDrill {
    /// Its run.
    pub run: RunId,
    /// When the fault was made.
    pub started_at: Timestamp,
    /// Name of the server that had it.
    pub victim: String,
    /// Its score.
    pub score: Option<u32>,
    /// An abort rule, a person or a failure ended it before its time.
    #[serde(default)]
    pub aborted: bool,
    /// How long the API was away by the way that clients take: the load balancers, or the cluster's endpoint.
    pub away_ms: Option<i64>,
    /// Each point's time, by its name.
    pub points: Vec<(String, Option<i64>)>,
}
