//! Text of another party in our errors: cut, and escaped so that it fits logs and pages.

/// Length limit of the text kept, in characters.
const QUOTED_LIMIT: usize = 80;

/// The text in quotation marks.
pub(crate) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED_LIMIT).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", cut.escape_debug())
}

/// A sentence without control characters, but not in quotation marks.
pub(crate) fn bounded(text: &str) -> String {
    let cut: String = text.chars().take(4 * QUOTED_LIMIT).collect();
    cut.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        assert_eq!(quoted("a\r\nb\u{1b}[31m"), r#""a\r\nb\u{1b}[31m""#);
        assert!(quoted(&"x".repeat(10_000)).chars().count() < 100);
    }
}
