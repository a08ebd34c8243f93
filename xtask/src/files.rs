//! The project's own text files, read once for all rules.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Endings of the files that the rules are about.
const ENDINGS: [&str; 12] =
    ["env", "html", "justfile", "md", "mjs", "py", "pyi", "rs", "sh", "toml", "yaml", "yml"];
/// Hidden folders that are part of the project.
const HIDDEN: [&str; 3] = [".cargo", ".ci", ".github"];
/// Folders that tools write.
const WRITTEN: [&str; 5] = ["__pycache__", "artifacts", "corpus", "node_modules", "target"];

/// A text file.
pub(crate) struct File {
    /// Its path below the root, with `/` between the parts.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl File {
    /// The last part of the path without `.rs`, for Rust.
    pub(crate) fn module(&self) -> Option<&str> {
        self.path.rsplit('/').next()?.strip_suffix(".rs")
    }

    /// The lines, each with its number.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every text file below `root`.
pub(crate) fn below(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    visit(root, "", &mut files)?;
    Ok(files)
}

fn visit(folder: &Path, shown: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if is_ours(&name) {
                visit(&path, &format!("{shown}{name}/"), files)?;
            }
        } else if name.rsplit('.').next().is_some_and(|ending| ENDINGS.contains(&ending)) {
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            files.push(File { path: format!("{shown}{name}"), text });
        }
    }
    Ok(())
}

fn is_ours(folder: &str) -> bool {
    HIDDEN.contains(&folder) || !folder.starts_with('.') && !WRITTEN.contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_tools_are_left_out() {
        let root = tempfile::TempDir::new().unwrap();
        for path in ["a/b/c.rs", "justfile", ".github/ci.yml", ".venv/x.py", "target/y.rs", "z.png"]
        {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "one\ntwo\n").unwrap();
        }
        let files = below(root.path()).unwrap();
        let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, [".github/ci.yml", "a/b/c.rs", "justfile"]);
        assert_eq!(files[0].lines().last(), Some((2, "two")));
    }
}
