//! `presets.md`: the presets, from their files.

use std::fmt::Write;

use anyhow::Context;
use doorward::{commands::presets, config::KnownPreset};

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change the files in crates/proxy/presets instead. -->

# Presets

A preset sets the keys of a route that an application needs, where the route does not write them: `preset: grafana`. No preset
grants access: the rules that some have count where a route writes the word `preset` in its `access`. `doorward presets` prints this
page in the terminal. [Presets of your own](../guides/applications.md#presets-of-your-own) have the same keys.

| preset | application | | place |
|---|---|---|---|
";

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    let mut sections = String::new();
    for known in KnownPreset::ALL {
        let name = known.name;
        let preset = known.read().with_context(|| format!("invalid preset {name}"))?;
        let place = preset.sub_path.words();
        writeln!(
            page,
            "| [`{name}`](#{name}) | {} | {} | {place} |",
            preset.application, preset.about
        )?;
        writeln!(sections, "\n## `{name}`\n\n{}. {}.\n", preset.application, preset.about)?;
        if let Some(setting) = &preset.setting {
            writeln!(sections, "In the application: {setting}.\n")?;
        }
        writeln!(sections, "```yaml\n{}```", presets::route(known, &preset))?;
        if let Some(guide) = &preset.guide {
            writeln!(sections, "\nGuide: [{guide}](../guides/{guide}).")?;
        }
    }
    Ok(page + &sections)
}
