//! Presets: keys of a route that an application needs, as data.
//!
//! Those of Doorward are the files in `presets`; a configuration may add its own under `presets`. A preset's keys apply where the
//! route does not write them. No preset grants access: its rules count only where a route names them in `access`.

mod known;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults::RouteDefaults;
use super::policy::AccessRule;
use super::problem::{nearest, one_of};
use super::read::read;
use super::skipped::Skipped;
use super::tree::{Node, Tree, Value};

pub use self::known::KnownPreset;

/// Keys of a route for an application.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Name of the application, for people. Example: `Grafana`.
    #[serde(default)]
    pub application: String,
    /// The application in one line. Example: `Dashboards of metrics and logs`.
    #[serde(default)]
    pub about: String,
    /// Port on which the application listens unless it is told another. Example: `3000`.
    #[serde(default)]
    pub port: Option<u16>,
    /// The path that the application's clients ask for, if they know no other. Example: `/v2`.
    #[serde(default)]
    pub path: Option<String>,
    /// The way in which the application is served below a path of a shared host. Example: `strip`.
    #[serde(default)]
    pub sub_path: SubPath,
    /// Settings of the application itself, for people. Example: `--base-url /app`.
    #[serde(default)]
    pub setting: Option<String>,
    /// The page that describes the application, for people. Example: `https://wiki.example/app`.
    #[serde(default)]
    pub guide: Option<String>,
    /// Keys of the route: all but `match`, `upstream`, `access` and `preset`. Example: `{ timeouts: { idle: 1h } }`.
    pub route: RouteDefaults,
    /// Rules that a route takes where it writes `preset` in its `access`; their paths are below the route's `match.path`. Example:
    /// `[ { path: /health, allow: anyone } ]`.
    #[serde(default)]
    pub access: Vec<AccessRule>,
}

/// Serving of an application below a path of a shared host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubPath {
    /// The application is told the path, which it gets with each request.
    #[default]
    Keep,
    /// The application's links are relative: the route takes the path off.
    Strip,
    /// The application needs a host of its own.
    None,
}

impl SubPath {
    /// The same, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Keep => "sub-path or own host",
            Self::Strip => "sub-path (taken off) or own host",
            Self::None => "own host",
        }
    }
}

/// Keys of a preset's `route` that are the route's own.
pub(super) const OF_THE_ROUTE: [&str; 4] = ["match", "upstream", "access", "preset"];

/// A preset as written, and whether it is of the configuration.
pub(super) struct Written {
    /// The whole preset.
    pub(super) node: Node,
    /// Whether the configuration has it, so that its problems have a place there.
    pub(super) own: bool,
}

/// The preset of a name: that of the configuration comes first.
///
/// # Errors
///
/// What to write instead of the name.
pub(super) fn find(own: &[(String, Node)], name: &str) -> Result<Written, String> {
    if let Some((_, node)) = own.iter().find(|(known, _)| known == name) {
        return Ok(Written { node: node.clone(), own: true });
    }
    let embedded = KnownPreset::named(name).and_then(KnownPreset::tree);
    embedded.map(|node| Written { node, own: false }).ok_or_else(|| {
        let own: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
        match nearest(name, own.iter().copied().chain(KnownPreset::ALL.iter().map(|known| known.name))) {
            Some(meant) => format!("unsupported value `{name}`; did you mean `{meant}`?"),
            None => format!(
                "unsupported value `{name}`; `doorward presets` lists the known ones, and `presets` may hold your own{}",
                if own.is_empty() {
                    String::new()
                } else {
                    format!(": {}", one_of(own))
                }
            ),
        }
    })
}

/// The presets that a file has.
pub(super) fn own(root: &Node) -> Vec<(String, Node)> {
    match root.child("presets").map(|presets| &presets.value) {
        Some(Value::Map(presets)) => presets.clone(),
        _ => Vec::new(),
    }
}

/// The rules of a preset, with their paths below that of the route, as if they were written at the place of `item`.
pub(super) fn rules(preset: &Node, route: &Node, item: &Node) -> Vec<Node> {
    let Some(Value::List(rules)) = preset.child("access").map(|access| &access.value) else {
        return Vec::new();
    };
    let prefix = match route.child("match").and_then(|matches| matches.child("path")) {
        Some(Node { value: Value::Text(path), .. }) => path.trim_end_matches('/'),
        _ => "",
    };
    let rules = rules.iter().cloned().map(|mut rule| {
        if let Value::Map(keys) = &mut rule.value
            && let Some((_, path)) = keys.iter_mut().find(|(key, _)| key == "path")
            && let Value::Text(path) = &mut path.value
        {
            path.insert_str(0, prefix);
        }
        Node { key: None, ..rule.moved_to(item.position) }
    });
    rules.collect()
}

impl KnownPreset {
    fn tree(&self) -> Option<Node> {
        Tree::read(self.text, 0).ok().map(|tree| tree.root)
    }

    /// The preset, read as one of a configuration is; `None` if the file is not valid, which a test excludes.
    #[must_use]
    pub fn read(&self) -> Option<Preset> {
        let root = self.tree()?;
        let reading = read::<Preset>(&root, Skipped::of(Vec::new()));
        reading.value.filter(|_| reading.findings.is_empty())
    }

    /// The preset as JSON.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        read::<serde_json::Value>(&self.tree()?, Skipped::of(Vec::new())).value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_preset_is_valid_and_complete() {
        for known in KnownPreset::ALL {
            let tree = Tree::read(known.text, 0).unwrap();
            assert!(tree.findings.is_empty() && tree.dropped.is_empty(), "{}", known.name);
            let reading = read::<Preset>(&tree.root, Skipped::of(Vec::new()));
            assert!(reading.findings.is_empty(), "{}: {:?}", known.name, reading.findings);
            let preset = reading.value.unwrap();
            assert!(!preset.application.is_empty() && !preset.about.is_empty(), "{}", known.name);
            assert!(preset.guide.is_some(), "{}", known.name);
            let route = tree.root.child("route").unwrap();
            assert!(route.keys().all(|key| !OF_THE_ROUTE.contains(&key)), "{}", known.name);
            assert!(known.json().unwrap().is_object());
        }
        let mut names: Vec<&str> = KnownPreset::names().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, KnownPreset::names().collect::<Vec<_>>(), "in order, each once");
    }

    #[test]
    fn every_key_of_a_known_preset_says_why() {
        for known in KnownPreset::ALL {
            for part in [known.route_text(), known.access_text()] {
                let mut explained = false;
                for line in part.lines() {
                    let comment = line.starts_with('#');
                    // The rules of one list may share their reason.
                    assert!(
                        comment || explained || line.starts_with(' '),
                        "{}: {line}",
                        known.name
                    );
                    explained = comment || (explained && line.starts_with("- "));
                }
            }
        }
    }
}
