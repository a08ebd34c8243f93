//! Configurations of other gateways: the result is read as YAML, holds no line of the source but in remarks, and names no secret.

use doorward::commands::migrate::{Source, migrate};
use doorward::config::Config;

/// A configuration; its first byte chooses the program.
pub fn migration(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let sources =
        [Source::OAuth2Proxy, Source::Gatekeeper, Source::ModAuthOpenidc, Source::Ingress];
    let source = sources[usize::from(*first) % sources.len()];
    let Ok(written) = migrate(source, &[text.to_owned()]) else { return };
    assert!(written.starts_with("# Written by `doorward migrate "), "{written}");
    if let Err(problems) = Config::parse("doorward.yaml", &written) {
        let problems = problems.to_string();
        assert!(!problems.contains("invalid YAML"), "{problems}\n{written}");
        assert!(!problems.contains("unknown key"), "{problems}\n{written}");
    }
}
