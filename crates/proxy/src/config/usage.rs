//! Usage that a model API states in its answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Form of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageForm {
    /// That of the OpenAI API, which most servers of models speak: the member `usage` of JSON answers and of server-sent events.
    Openai,
}
