//! Settings that known applications need.
//!
//! A preset is a part of a file: its keys apply where the route does not set them. No preset grants access; only the
//! rules of the route do.

use schemars::JsonSchema;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::tree::{Node, Tree, Value};

/// A known application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// JupyterHub: keeps encoded and double slashes (notebook paths), waits an hour on a quiet kernel, and has JupyterLab wait
    /// for its signed-out user.
    Jupyterhub,
    /// Streamlit: waits an hour on a quiet page, takes uploads up to its own limit, and answers signed-out pages in words.
    Streamlit,
    /// Grafana: waits five minutes for a slow query.
    Grafana,
    /// A package index, such as pypiserver or devpi: takes tokens as the password of Basic, and challenges every caller,
    /// because programs and not browsers use it.
    PackageIndex,
    /// A container registry (docker/distribution): the same, with the token challenge that its clients ask for; layers of any
    /// size, and five minutes for a slow answer.
    Registry,
    /// The defaults.
    Generic,
}

impl Preset {
    /// The preset's settings, as they would be written in the route.
    #[must_use]
    pub fn settings(self) -> &'static str {
        match self {
            Self::Jupyterhub => {
                "paths: { encoded_slash: keep, double_slash: keep }\n\
                 timeouts: { response_head: 5m, idle: 1h }\n\
                 signed_out: retry\n"
            }
            Self::Streamlit => {
                "timeouts: { idle: 1h }\nlimits: { body: 210MB }\nsigned_out: sentence\n"
            }
            Self::Grafana => "timeouts: { response_head: 5m, idle: 1h }\n",
            Self::PackageIndex => "basic: true\nsign_in: challenge\n",
            Self::Registry => {
                "basic: true\nsign_in: challenge\ntimeouts: { response_head: 5m, idle: 1h }\n"
            }
            Self::Generic => "{}\n",
        }
    }
}

/// Adds to each route of a file the keys that its preset sets and the route does not.
pub(super) fn apply(file: &mut Node) {
    let Value::Map(sections) = &mut file.value else { return };
    let Some((_, routes)) = sections.iter_mut().find(|(name, _)| name == "routes") else { return };
    let Value::Map(routes) = &mut routes.value else { return };
    for (_, route) in routes {
        let Some(Node { position, value: Value::Text(name), .. }) = route.child("preset") else {
            continue;
        };
        let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        // An unknown name is reported where the route is read.
        let Ok(preset) = Preset::deserialize(name) else { continue };
        let position = *position;
        if let Ok(settings) = Tree::read(preset.settings(), 0) {
            route.fill_in(&settings.root, position);
        }
    }
}
