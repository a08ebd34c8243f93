//! `metrics.md`: every metric, from the table that they are counted by.

use std::fmt::Write;

use doorward::metric::METRICS;

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change crates/proxy/src/metric.rs instead. -->

# Metrics

At `/metrics` on the `admin` address, in the Prometheus text format. Labels hold names of the configuration and
words of this page, never data from a client. Histograms are in seconds.

| metric | kind | labels | |
|---|---|---|---|
";

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.help
        )?;
    }
    Ok(page)
}
