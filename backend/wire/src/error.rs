//! The one error envelope.

use serde::{Deserialize, Serialize};

/// Body of every answer with a 4xx or 5xx status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApiError {
    /// Stable machine word, e.g. `invalid_field`, `not_found`, `forbidden`, `conflict`.
    pub code: String,
    /// What is wrong and what to do next, for a person.
    pub message: String,
    /// Path of the field that is wrong, e.g. `members[1].host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Found again in the panel's log.
    pub request_id: String,
}
