//! Generates the pages of docs/reference from code: one line in [`pages`] each.

use std::fs;
use std::path::Path;

use anyhow::Context;

mod config;
mod doctor;
mod headers;
mod metrics;
mod presets;
mod refusals;

/// Every generated page: its file and its content.
fn pages() -> anyhow::Result<Vec<(&'static str, String)>> {
    let schema = doorward::commands::schema::schema();
    Ok(vec![
        ("config.md", config::page(&schema)?),
        ("config.schema.json", schema + "\n"),
        ("doctor.md", doctor::page()?),
        ("headers.md", headers::page()?),
        ("metrics.md", metrics::page()?),
        ("presets.md", presets::page()?),
        ("refusals.md", refusals::page()?),
    ])
}

/// Writes all pages.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("docs/reference");
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    for (name, content) in pages()? {
        let file = folder.join(name);
        fs::write(&file, content).with_context(|| format!("{}", file.display()))?;
    }
    Ok(())
}

/// The pages that are not as they would be written.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("docs/reference");
    let stale = pages()?.into_iter().filter(|(name, content)| {
        !fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *content)
    });
    Ok(stale
        .map(|(name, _)| {
            format!("docs/reference/{name} is out of date: run `cargo run -p xtask -- docs`")
        })
        .collect())
}
