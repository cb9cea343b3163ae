//! A workflow's description, from which the page draws its form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /workflows`: one entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkflowInfo {
    /// Stored name, e.g. `bootstrap`.
    pub name: String,
    /// For people.
    pub title: String,
    /// One sentence.
    pub summary: String,
    /// What it does, what it risks, how long it takes, what to do if it fails; paragraphs.
    pub help: Vec<String>,
    /// What it asks for.
    pub fields: Vec<Field>,
}

/// One input of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Field {
    /// Key in the inputs.
    pub name: String,
    /// For people.
    pub label: String,
    /// One or two sentences below the input.
    pub help: String,
    /// How to ask for it.
    pub kind: FieldKind,
    /// Must be given.
    pub required: bool,
    /// Filled in at first.
    pub default: Option<FieldValue>,
    /// Shown and sent only while the condition holds.
    pub only_if: Option<Condition>,
}

/// The field is shown while another choice has this value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Condition {
    /// Name of the other field.
    pub field: String,
    /// The value it must have.
    pub equals: FieldValue,
}

/// How to ask for an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FieldKind {
    /// One line.
    Text {
        /// Shown in the empty input.
        placeholder: String,
    },
    /// A switch; value [`FieldValue::Bool`].
    Bool,
    /// One of several; value is the chosen [`Choice::value`].
    Choice {
        /// In order.
        choices: Vec<Choice>,
    },
    /// Several short texts; value [`FieldValue::List`].
    TextList {
        /// Shown in the empty input.
        placeholder: String,
    },
    /// A cluster of the inventory; value [`FieldValue::Id`].
    Cluster,
    /// One enrolled host; value [`FieldValue::Id`].
    Host,
    /// Several enrolled hosts; value [`FieldValue::Ids`].
    Hosts,
    /// A snapshot that the panel has taken of the cluster in the field `cluster`; value is its file's name.
    Snapshot,
}

/// One entry of a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// Sent.
    pub value: String,
    /// Shown.
    pub label: String,
}

/// A value of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum FieldValue {
    /// A switch.
    Bool(bool),
    /// An identifier of the inventory.
    Id(i64),
    /// Text or choice.
    Text(String),
    /// Several identifiers (an empty JSON list reads as this one).
    Ids(Vec<i64>),
    /// Several texts.
    List(Vec<String>),
}

/// Inputs by field name.
pub type Inputs = BTreeMap<String, FieldValue>;

/// `POST /plans` (look only) and, with the hash that was shown, `POST /runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Stored name of the workflow.
    pub workflow: String,
    /// Its inputs; unknown names are refused.
    pub inputs: Inputs,
    /// For `POST /runs`: the hash of the plan the person read; refused if the plan differs today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_sha256: Option<String>,
}
