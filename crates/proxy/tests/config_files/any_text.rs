//! Arbitrary texts: none causes a panic, and every problem has a position.

use doorward::config::Config;
use proptest::prelude::*;

use super::SMALL;

/// Pieces of files: real keys and values, and what does not belong there.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "routes", "issuers", "session", "match", "access", "allow", "main", "app", "{", "}",
            "[", "]", ":", ",", "- ", "\n", "  ", "\"", "'", "&a ", "*a", "!!int ", "<<", "~",
            "true", "1h", "-1", "0x7", "|\n", "---\n", "\t", "é", "\u{feff}", "#", "?",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ]
}

proptest! {
    #[test]
    fn no_text_panics_the_reader(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let lines = text.lines().count() + 1;
        if let Err(problems) = Config::parse("f", &text) {
            prop_assert!(!problems.problems.is_empty());
            for problem in problems.problems {
                prop_assert!(problem.line >= 1 && problem.line <= lines, "{problem} of {lines} lines");
                prop_assert!(problem.column >= 1);
            }
        }
    }

    #[test]
    fn a_mutated_file_is_read_or_its_problems_are_located(
        cuts in prop::collection::vec((0..SMALL.len(), 0..12_usize, piece()), 1..4)
    ) {
        let mut text = SMALL.to_owned();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &new);
            }
        }
        let lines = text.lines().count() + 1;
        if let Err(problems) = Config::parse("f", &text) {
            prop_assert!(!problems.problems.is_empty());
            prop_assert!(problems.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
        }
    }
}
