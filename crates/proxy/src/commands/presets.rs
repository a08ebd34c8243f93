//! `doorward presets`: the presets of Doorward, and what each of them sets.

use std::{fmt::Write as _, io::Write};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::Outcome;
use crate::config::{KnownPreset, Preset, SubPath};

/// The folder of the guides.
const GUIDES: &str = "docs/guides";

/// Presets of applications.
#[derive(Debug, Args)]
pub struct Presets {
    /// The preset to print; without it, all of them are listed
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Presets {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// An unknown name, or output that cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<Outcome> {
        match &self.name {
            None if self.json => {
                let all = KnownPreset::ALL.iter().map(as_json);
                writeln!(out, "{:#}", json!(all.collect::<Vec<_>>()))?;
            }
            None => write!(out, "{}", table())?,
            Some(name) => {
                let Some(known) = KnownPreset::named(name) else { bail!(unknown(name)) };
                if self.json {
                    writeln!(out, "{:#}", as_json(known))?;
                } else if let Some(preset) = known.read() {
                    write!(out, "{}", page(known, &preset))?;
                }
            }
        }
        Ok(Outcome::Fine)
    }
}

fn unknown(name: &str) -> String {
    match KnownPreset::nearest(name) {
        Some(meant) => format!("unknown preset `{name}`; did you mean `{meant}`?"),
        None => format!("unknown preset `{name}`; `doorward presets` lists the known ones"),
    }
}

fn as_json(known: &KnownPreset) -> serde_json::Value {
    let mut preset = known.json().unwrap_or_default();
    if let Some(keys) = preset.as_object_mut() {
        keys.insert("name".to_owned(), known.name.into());
    }
    preset
}

/// All presets, in columns.
fn table() -> String {
    let rows: Vec<[String; 4]> = KnownPreset::ALL
        .iter()
        .filter_map(|known| {
            let preset = known.read()?;
            let place = preset.sub_path.words().to_owned();
            Some([known.name.to_owned(), preset.application, preset.about, place])
        })
        .collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default()
    };
    let (name, application, about) = (width(0), width(1), width(2));
    let lines = rows.iter().map(|[preset, app, what, place]| {
        format!("{preset:name$}  {app:application$}  {what:about$}  {place}\n")
    });
    lines.collect()
}

/// A preset as a part of a configuration, with its facts as comments.
fn page(known: &KnownPreset, preset: &Preset) -> String {
    let mut text = format!("# {}: {}. {}.\n", known.name, preset.application, preset.about);
    let mut fact = |name: &str, value: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "# {name}: {value}");
    };
    fact("place", preset.sub_path.words());
    if let Some(setting) = &preset.setting {
        fact("in the application", setting);
    }
    if let Some(guide) = &preset.guide {
        fact("guide", &format!("{GUIDES}/{guide}"));
    }
    text.push_str(&route(known, preset));
    text
}

/// A route with all that the preset sets, in YAML.
#[must_use]
pub fn route(known: &KnownPreset, preset: &Preset) -> String {
    let name = known.name;
    let path = preset.path.as_deref();
    let matches = match preset.sub_path {
        SubPath::None => {
            let path = path.map(|path| format!(", path: {path}")).unwrap_or_default();
            format!("{{ host: {name}.platform.example{path} }}")
        }
        _ => format!("{{ path: /{name} }}"),
    };
    let port = preset.port.unwrap_or(8080);
    let mut keys = format!("match: {matches}\nupstream: http://{name}:{port}\n").replace('_', "-");
    if preset.sub_path == SubPath::Strip {
        let _ = writeln!(keys, "rewrite: {{ strip_prefix: /{name} }}");
    }
    let set = known.route_text();
    if !set.is_empty() {
        let _ = write!(keys, "# `preset: {name}` in place of these keys sets the same:\n{set}");
    }
    keys.push_str("access:\n");
    let rules = known.access_text();
    if !rules.is_empty() {
        keys.push_str("  # The word `preset` in place of these rules stands for them:\n");
        let prefix = match preset.sub_path {
            SubPath::None => String::new(),
            _ => format!("/{name}"),
        };
        for line in rules.lines() {
            let _ = writeln!(keys, "  {}", line.replace("path: /", &format!("path: {prefix}/")));
        }
    }
    keys.push_str("  - { allow: signed_in }\n");
    let lines = keys.lines().map(|line| format!("    {line}\n"));
    format!("routes:\n  {name}:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const BEFORE: &str = "public_url: https://platform.example\n\
        issuers: { main: { url: https://keycloak.example, client_id: gateway, audience: [doorward] } }\n\
        session: { key: { env: KEY } }\n";

    fn only_route(routes: &str) -> crate::config::RouteConfig {
        let loaded = Config::parse("doorward.yaml", &format!("{BEFORE}{routes}"));
        let mut config = loaded.unwrap_or_else(|problems| panic!("{routes}\n{problems}")).config;
        config.routes.pop_first().unwrap().1
    }

    #[test]
    fn what_is_printed_can_be_pasted_and_sets_the_same() {
        for known in KnownPreset::ALL {
            let preset = known.read().unwrap();
            let text = page(known, &preset);
            let pasted = only_route(&text);
            // The same route by the name of the preset.
            let lines = text.lines();
            let kept = lines.filter(|line| {
                let key = line.strip_prefix("    ").unwrap_or(line);
                ["match:", "upstream:", "rewrite:", "routes:", "  "].iter().any(|own| {
                    key.starts_with(own) && !key.trim_start().starts_with(['#', '-', '{'])
                })
            });
            let rules = if preset.access.is_empty() { "" } else { "preset, " };
            let named = format!(
                "{}\n    preset: {}\n    access: [ {rules}{{ allow: signed_in }} ]\n",
                kept.filter(|line| !known.route_text().contains(line.trim()))
                    .collect::<Vec<_>>()
                    .join("\n"),
                known.name
            );
            let named = only_route(&named);
            assert_eq!(named.preset.as_deref(), Some(known.name));
            assert_eq!(
                crate::config::RouteConfig { preset: None, ..named },
                pasted,
                "{}",
                known.name
            );
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        for (written, meant) in
            [("jupiterhub", "jupyterhub"), ("code_server", "code-server"), ("Grafana", "grafana")]
        {
            assert_eq!(
                unknown(written),
                format!("unknown preset `{written}`; did you mean `{meant}`?")
            );
        }
        assert!(unknown("zzz").contains("lists the known ones"));
    }
}
