//! Rules of the house: files are small enough to be read, modules are named for what they do, and use each other one way.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::arrows;

/// Lines after which a file is split by duty.
const LONGEST: usize = 450;
/// The same for files of tests, which are read one test at a time.
const LONGEST_OF_TESTS: usize = 1000;
/// Names that say nothing about a module.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

/// Folders whose content is made by tools.
const NOT_WRITTEN: [&str; 4] = ["artifacts", "corpus", "node_modules", "target"];

/// What is against the rules.
pub(crate) fn lint(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for folder in ["crates", "fuzz", "tests", "xtask"] {
        visit(root, &root.join(folder), &mut complaints)?;
    }
    arrows::check(root, &mut complaints)?;
    complaints.sort();
    Ok(complaints)
}

fn visit(root: &Path, folder: &Path, complaints: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !NOT_WRITTEN.contains(&name.as_str()) {
                name_says_something(root, &path, &name, complaints);
                visit(root, &path, complaints)?;
            }
        } else if let Some(module) = name.strip_suffix(".rs") {
            name_says_something(root, &path, module, complaints);
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            let tests = module == "tests" || shown(root, &path).contains("/tests/");
            let longest = if tests { LONGEST_OF_TESTS } else { LONGEST };
            let lines = text.lines().count();
            if lines > longest {
                complaints.push(format!(
                    "{}: {lines} lines, more than {longest}: split it by duty",
                    shown(root, &path)
                ));
            }
            if !tests && !text.starts_with("//!") {
                complaints.push(format!(
                    "{}: begins without its promise: open it with `//!`",
                    shown(root, &path)
                ));
            }
        }
    }
    Ok(())
}

fn name_says_something(root: &Path, path: &Path, name: &str, complaints: &mut Vec<String>) {
    if EMPTY_NAMES.contains(&name) {
        complaints.push(format!(
            "{}: `{name}` says nothing: name it for what it does",
            shown(root, path)
        ));
    }
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
