//! Configuration texts: each problem has its place, and a configuration is written as it is read.

use crate::gateway::Config;

/// A configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // YAML also ends a line at a carriage return alone.
    let lines = text.split(['\n', '\r']).count() + 1;
    let loaded = match Config::parse("doorward.yaml", text) {
        Ok(loaded) => loaded,
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem}");
                assert!(!problem.to_string().is_empty());
            }
            return;
        }
    };
    let written = serde_json::to_string(&loaded.config).unwrap();
    let again = Config::parse("doorward.yaml", &written)
        .unwrap_or_else(|problems| panic!("{problems}\nof {written}"));
    assert!(again.config == loaded.config, "{:#?}\nnow {:#?}", loaded.config, again.config);
    for (mine, other) in loaded.warnings.iter().zip(&again.warnings) {
        assert_eq!(mine.path, other.path);
    }
    assert_eq!(again.warnings.len(), loaded.warnings.len());
}
