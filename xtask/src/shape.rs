//! Shape of Rust files: short, opened with a module doc, and named for what they do.

use crate::complaint::Complaint;
use crate::files::File;

/// Lines after which a file is split by duty.
pub(crate) const LONGEST: usize = 400;
/// Names that say nothing about a module.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

/// Files that are too long.
pub(crate) fn long_files(files: &[File]) -> Vec<Complaint> {
    let rust = files.iter().filter(|file| file.module().is_some());
    rust.filter_map(|file| {
        let lines = file.text.lines().count();
        let message = format!("{lines} lines, more than {LONGEST}: split it by duty");
        (lines > LONGEST).then(|| Complaint { path: file.path.clone(), line: None, message })
    })
    .collect()
}

/// Files without a module doc, and names that say nothing.
pub(crate) fn unclear_files(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        let Some(module) = file.module() else { continue };
        let mut complain = |message: String| {
            complaints.push(Complaint { path: file.path.clone(), line: None, message });
        };
        let folders = file.path.rsplit('/').skip(1);
        for name in folders.chain([module]).filter(|name| EMPTY_NAMES.contains(name)) {
            complain(format!("`{name}` says nothing: name it for what it does"));
        }
        let tests = module == "tests" || file.path.contains("/tests/");
        if !tests && !file.text.starts_with("//!") {
            complain("no module doc at the top: open the file with `//!`".to_owned());
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn only_rust_files_past_the_limit_are_too_long() {
        let of = |lines: usize| "x\n".repeat(lines);
        let files = [file("a.rs", &of(400)), file("b.rs", &of(401)), file("c.md", &of(401))];
        let complaints = long_files(&files);
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].path, "b.rs");
    }

    #[test]
    fn empty_names_and_missing_module_docs_are_found() {
        let complaints = unclear_files(&[
            file("a/util/b.rs", "//! B."),
            file("a/helpers.rs", "//! C."),
            file("a/tests/d.rs", ""),
            file("a/tests.rs", ""),
            file("a/e.rs", "fn e() {}"),
            file("util/f.md", ""),
        ]);
        let paths: Vec<_> = complaints.iter().map(|complaint| complaint.path.as_str()).collect();
        assert_eq!(paths, ["a/util/b.rs", "a/helpers.rs", "a/e.rs"]);
    }
}
