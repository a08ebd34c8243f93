//! Samples of durations, and what is printed of them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Prints a line, which the test harness shows with `--nocapture` or on failure.
#[expect(clippy::print_stdout, reason = "the figures are what the long forms are run for")]
pub(crate) fn note(line: &str) {
    println!("{line}");
}

/// Durations of one kind.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    /// Adds a sample.
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Adds the samples of another part of the scenario.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The number of samples.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The least sample that at least `percent` of the samples do not exceed.
    pub(crate) fn at(&self, percent: usize) -> Result<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().context("no sample")
    }

    /// Prints the distribution.
    pub(crate) fn print(&self, name: &str) -> Result<()> {
        let (middle, high, most) = (self.at(50)?, self.at(99)?, self.at(100)?);
        let count = self.count();
        note(&format!("{name}: n {count}, p50 {middle:.1?}, p99 {high:.1?}, max {most:.1?}"));
        Ok(())
    }

    /// Prints the distribution; an error when the 99th percentile is above the limit.
    pub(crate) fn within(&self, name: &str, limit: Duration) -> Result<()> {
        self.print(name)?;
        let high = self.at(99)?;
        ensure!(high <= limit, "{name}: p99 is {high:?}, above {limit:?}");
        Ok(())
    }
}
