//! Texts that an engineer reads once: docs that begin with their subject, words that name an actor, short test names.

use crate::complaint::Complaint;
use crate::files::File;

mod openings;
mod test_names;
mod words;

/// Everything in `files` that is against one of the rules.
pub(crate) fn check(files: &[File]) -> Vec<Complaint> {
    let rules = [words::check, openings::check, test_names::check];
    let found = |file: &File| -> Vec<Complaint> {
        let complaints = rules.iter().flat_map(|rule| rule(file));
        let complaint =
            |(line, message)| Complaint { path: file.path.clone(), line: Some(line), message };
        complaints.map(complaint).collect()
    };
    files.iter().flat_map(found).chain(words::stale_quotations(files)).collect()
}

/// Complaints about a file: a line's number and the message.
type Found = Vec<(usize, String)>;

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}
