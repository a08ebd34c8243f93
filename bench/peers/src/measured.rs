//! Latencies of one measurement, and their percentiles as JSON.

use std::io::Write;
use std::time::Duration;

/// Latencies of what was done in a time.
pub(crate) struct Measured {
    pub(crate) took: Duration,
    pub(crate) latencies: Vec<Duration>,
}

impl Measured {
    /// Prints count, seconds and percentiles in microseconds.
    pub(crate) fn print(mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.latencies.is_empty(), "nothing was measured");
        self.latencies.sort_unstable();
        let figures = serde_json::json!({
            "count": self.latencies.len(),
            "seconds": self.took.as_secs_f64(),
            "p50": self.microseconds(500),
            "p99": self.microseconds(990),
            "p999": self.microseconds(999),
        });
        writeln!(std::io::stdout(), "{figures}")?;
        Ok(())
    }

    fn microseconds(&self, of_thousand: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = last.saturating_mul(of_thousand).div_ceil(1000);
        self.latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// A header given as `Name: value`.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) name: http::HeaderName,
    pub(crate) value: http::HeaderValue,
}

impl std::str::FromStr for Header {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| anyhow::anyhow!("missing colon: a header is `Name: value`"))?;
        let mut value = http::HeaderValue::from_str(value.trim())?;
        value.set_sensitive(true);
        Ok(Self { name: name.trim().parse()?, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let mut latencies: Vec<_> = (0..=1000).rev().map(Duration::from_micros).collect();
        latencies.sort_unstable();
        let measured = Measured { took: Duration::from_secs(1), latencies };
        let percentiles = [500, 990, 999, 1000].map(|part| measured.microseconds(part).round());
        assert_eq!(percentiles, [500.0, 990.0, 999.0, 1000.0]);
    }

    #[test]
    fn a_header_needs_a_colon() {
        let header: Header = "Authorization: Bearer one:two".parse().unwrap();
        assert_eq!(header.value, "Bearer one:two");
        assert!("Authorization".parse::<Header>().is_err());
    }
}
