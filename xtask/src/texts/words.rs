//! Words that hide the actor of a sentence, or that a reader has to look up.

use super::Found;
use crate::complaint::Complaint;
use crate::files::File;

const ACTOR: &str =
    "name the actor: client, browser, user, caller, issuer, upstream, gateway or operator";

/// Each word with the remedy.
const WORDS: [(&str, &str); 8] = [
    ("nobody", ACTOR),
    ("somebody", ACTOR),
    ("whoever", ACTOR),
    ("whom", ACTOR),
    ("mend", "write `fix`"),
    ("mends", "write `fixes`"),
    ("mended", "write `fixed`"),
    ("anew", "write `again`"),
];

/// Files that quote the words, between backticks or quotation marks, each with the reason.
const QUOTATIONS: [(&str, &str); 2] =
    [("CONTRIBUTING.md", "states this rule"), ("xtask/src/texts/words.rs", "holds this list")];

/// The words in a file, in prose as in names.
pub(super) fn check(file: &File) -> Found {
    let quotes = QUOTATIONS.iter().any(|(path, _)| *path == file.path);
    let mut found = Found::new();
    for (number, line) in file.lines() {
        for (_, word, remedy) in words(line).filter(|(quoted, ..)| !(quotes && *quoted)) {
            found.push((number, format!("`{word}`: {remedy}")));
        }
    }
    found
}

/// Files in the list of quotations that quote none of the words.
pub(super) fn stale_quotations(files: &[File]) -> Vec<Complaint> {
    let quotes = |path: &str| {
        let mut lines = files.iter().filter(|file| file.path == path).flat_map(File::lines);
        lines.any(|(_, line)| words(line).any(|(quoted, ..)| quoted))
    };
    let stale = QUOTATIONS.iter().filter(|(path, _)| !quotes(path));
    stale
        .map(|(path, reason)| Complaint {
            path: (*path).to_owned(),
            line: None,
            message: format!("quotes no word ({reason}): remove it from xtask/src/texts/words.rs"),
        })
        .collect()
}

/// The words of the list in a line: whether each is quoted, the word, and its remedy.
fn words(line: &str) -> impl Iterator<Item = (bool, &'static str, &'static str)> {
    runs(line).into_iter().filter_map(|(start, run)| {
        let (word, remedy) = WORDS.iter().find(|(word, _)| run.eq_ignore_ascii_case(word))?;
        let before = line[..start].chars().next_back();
        let quoted =
            before == line[start + run.len()..].chars().next() && matches!(before, Some('`' | '"'));
        Some((quoted, *word, *remedy))
    })
}

/// Runs of letters with the index of each; `camelCase` and `snake_case` are two.
fn runs(line: &str) -> Vec<(usize, &str)> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut last = ' ';
    for (index, letter) in line.char_indices().chain([(line.len(), ' ')]) {
        let begins = letter.is_uppercase() && last.is_lowercase();
        if begins || letter.is_alphabetic() != last.is_alphabetic() {
            if last.is_alphabetic() {
                runs.push((start, &line[start..index]));
            }
            start = index;
        }
        last = letter;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::file;

    fn lines(text: &str) -> Vec<usize> {
        check(&file("a.md", text)).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_word_is_found_in_prose_and_in_names() {
        let [word, other] = [WORDS[0].0, WORDS[3].0];
        assert_eq!(lines(&format!("one\n{word}'s\nfor {other}.\n\"{word}\"")), [2, 3, 4]);
        assert_eq!(lines(&format!("fn signs_{word}_in()")), [1]);
        let mut name = word.to_owned();
        name[..1].make_ascii_uppercase();
        assert_eq!(
            lines(&format!("struct {name}Knows\nlet is{name} = 1\n{name} knows")),
            [1, 2, 3]
        );
    }

    #[test]
    fn parts_of_longer_words_are_no_finding() {
        assert_eq!(lines("amend, commended, recommend, renewed, somebodies"), Vec::<usize>::new());
    }

    #[test]
    fn only_listed_files_may_quote_a_word() {
        let word = WORDS[0].0;
        let text = format!("never `{word}`");
        assert_eq!(check(&file("a.md", &text)).len(), 1);
        assert_eq!(check(&file("CONTRIBUTING.md", &text)), []);
        assert_eq!(check(&file("CONTRIBUTING.md", word)).len(), 1);
        assert_eq!(stale_quotations(&[file("CONTRIBUTING.md", &text)]).len(), 1);
    }
}
