//! What known applications need, so that nobody has to find it out again.
//!
//! A preset is a piece of the file itself: its keys are taken where the route leaves them unwritten.
//! No preset opens a path to anybody; who may enter is always written in the route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An application with known needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// JupyterHub: keeps encoded and double slashes (notebook paths), and waits an hour on a quiet
    /// kernel.
    Jupyterhub,
    /// Streamlit: waits an hour on a quiet page, takes uploads up to its own limit.
    Streamlit,
    /// Grafana: waits five minutes for a slow query.
    Grafana,
    /// Nothing special: the defaults.
    Generic,
}

impl Preset {
    /// The preset's settings, as they would be written in the route.
    #[must_use]
    pub fn settings(self) -> &'static str {
        match self {
            Self::Jupyterhub => {
                "paths: { encoded_slash: keep, double_slash: keep }\n\
                 timeouts: { response_head: 5m, idle: 1h }\n"
            }
            Self::Streamlit => "timeouts: { idle: 1h }\nlimits: { body: 210MB }\n",
            Self::Grafana => "timeouts: { response_head: 5m, idle: 1h }\n",
            Self::Generic => "{}\n",
        }
    }
}
