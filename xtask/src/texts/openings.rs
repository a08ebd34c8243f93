//! First words of docs: a noun phrase or a verb, not a question.

use super::Found;
use crate::files::File;

const QUESTIONS: [&str; 7] = ["What", "Who", "Whose", "Where", "How", "When", "Why"];

/// Blocks of `//!` and `///` that begin with a question word.
pub(super) fn check(file: &File) -> Found {
    let mut found = Found::new();
    if file.module().is_none() {
        return found;
    }
    let mut inside = "";
    for (number, line) in file.lines() {
        let line = line.trim_start();
        let kind = ["//!", "///"].into_iter().find(|kind| line.starts_with(kind)).unwrap_or("");
        if !kind.is_empty() && kind != inside {
            let first = line[kind.len()..].split_whitespace().next().unwrap_or_default();
            let first = first.trim_end_matches(|mark: char| !mark.is_alphabetic());
            if QUESTIONS.contains(&first) {
                found.push((
                    number,
                    format!("the doc begins with `{first}`: begin with a noun phrase or a verb"),
                ));
            }
        }
        inside = kind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::file;

    #[test]
    fn only_the_first_line_of_a_rust_doc_counts() {
        let text = [
            "//! What it is.",
            "",
            "/// A name.",
            "/// When it is used.",
            "fn f() {}",
            "    /// Where, and so on.",
            "    // How a comment begins is free.",
            "    /// Whatever else.",
        ]
        .join("\n");
        let lines: Vec<_> = check(&file("a.rs", &text)).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 6]);
        assert_eq!(check(&file("a.md", &text)), []);
    }
}
