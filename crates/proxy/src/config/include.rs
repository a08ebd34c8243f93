//! `include`: routes, named rules and issuers in files of their own.
//!
//! A pattern is relative to the folder of the main file; `*` stands for any characters of a file name, but for a leading dot.
//! Files are taken in the order of their names, each once. An included file includes no other. The same name in two files is
//! refused, because neither is more right than the other.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::problem::{Finding, KeyPath, Position};
use super::tree::{Node, Tree, Value};

/// Bytes that are read of a file at most; more than any real file has.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Most files that are included.
const MAX_FILES: usize = 256;

/// Keys that an included file may hold.
const SECTIONS: [&str; 4] = ["issuers", "presets", "routes", "rules"];

/// The files of a configuration, the main file first.
pub(super) struct Files {
    /// Their names, as problems show them.
    pub(super) names: Vec<String>,
    /// The included files, and the folders in which they are looked for.
    pub(super) included: BTreeSet<PathBuf>,
    /// Problems of the files themselves, and of what they hold.
    pub(super) problems: Vec<Finding>,
    /// Warnings about the files themselves.
    pub(super) warnings: Vec<Finding>,
    /// Paths of the parts that were left out.
    pub(super) dropped: Vec<KeyPath>,
    /// Whether an included file could not be read, so that what the others lack is unknown.
    pub(super) incomplete: bool,
    digest: Context,
}

impl Files {
    /// The main file alone.
    pub(super) fn new(name: String, text: &str) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(text.as_bytes());
        Self {
            names: vec![name],
            included: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            dropped: Vec::new(),
            incomplete: false,
            digest,
        }
    }

    /// Digest of the files. That of a file which includes none is the digest of its bytes.
    pub(super) fn hash(self) -> String {
        self.digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Warns of a file that every user of the machine can change.
    pub(super) fn warn_if_shared(&mut self, metadata: &Metadata, file: usize) {
        if metadata.is_file() && metadata.mode() & 0o002 != 0 {
            let message = "every user of this machine can change this file, and so decide who is let in; run `chmod o-w` on it";
            self.warnings.push(Finding::located(
                KeyPath::root(),
                Position::start_of(file),
                message,
            ));
        }
    }

    /// Adds what the included files hold to the tree of the main file, which is at `main`.
    pub(super) fn include(&mut self, root: &mut Node, main: &Path) {
        let here = KeyPath::root().key("include");
        let mut paths = Vec::new();
        for pattern in patterns(root) {
            match self.matching(&pattern, main) {
                Ok(found) => {
                    for path in found {
                        if !paths.contains(&path) {
                            paths.push(path);
                        }
                    }
                }
                Err(message) => self.fail(Finding::new(here.clone(), message)),
            }
        }
        if paths.len() > MAX_FILES {
            let count = paths.len();
            let message =
                format!("invalid `include`: {count} files, more than {MAX_FILES}; join some");
            return self.fail(Finding::new(here, message));
        }
        for path in paths {
            self.one(root, &path, main, &here);
        }
    }

    /// The files that a pattern stands for.
    fn matching(&mut self, pattern: &str, main: &Path) -> Result<Vec<PathBuf>, String> {
        let folder = main.parent().unwrap_or(Path::new(""));
        let written = Path::new(pattern);
        let (Some(name), parent) =
            (written.file_name().and_then(|name| name.to_str()), written.parent())
        else {
            return Err(format!(
                "invalid pattern `{pattern}`: it names no file; write such as `conf.d/*.yaml`"
            ));
        };
        let parent = parent.unwrap_or(Path::new(""));
        if parent.to_string_lossy().contains('*') {
            return Err(format!(
                "invalid pattern `{pattern}`: `*` stands in the name of a file only; name the folder"
            ));
        }
        if !name.contains('*') {
            return Ok(vec![folder.join(written)]);
        }
        let folder = folder.join(parent);
        let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        self.included.insert(listed.to_owned());
        let entries = fs::read_dir(listed).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| {
            format!("cannot read the folder `{}` of `{pattern}`: {error}", listed.display())
        })?;
        let mut names: Vec<String> = entries
            .into_iter()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|found| fits(name, found))
            .collect();
        names.sort_unstable();
        Ok(names.into_iter().map(|name| folder.join(name)).collect())
    }

    fn one(&mut self, root: &mut Node, path: &Path, main: &Path, here: &KeyPath) {
        self.included.insert(path.to_owned());
        let name = path.display().to_string();
        let (text, metadata) = match read(path, main) {
            Ok(read) => read,
            Err(reason) => {
                let message = format!("invalid `include`: `{name}` {reason}");
                return self.fail(Finding::new(here.clone(), message));
            }
        };
        let file = self.names.len();
        self.names.push(name);
        self.warn_if_shared(&metadata, file);
        // The last part of the path: the same files in another folder are the same configuration.
        let own = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        for part in [own.as_bytes(), text.as_bytes()] {
            self.digest.update(&part.len().to_be_bytes());
            self.digest.update(part);
        }
        match Tree::read(&text, file) {
            Ok(tree) => {
                self.problems.extend(tree.findings);
                self.dropped.extend(tree.dropped);
                self.add(root, tree.root);
            }
            Err(finding) => self.fail(finding),
        }
    }

    fn fail(&mut self, finding: Finding) {
        self.problems.push(finding);
        self.incomplete = true;
    }

    fn add(&mut self, root: &mut Node, included: Node) {
        let position = included.position;
        let Value::Map(sections) = included.value else {
            let message =
                "invalid file: it is no map; write `routes:`, `rules:`, `presets:` or `issuers:`";
            return self.problems.push(Finding::located(KeyPath::root(), position, message));
        };
        for (section, node) in sections {
            let at = KeyPath::root().key(&section);
            let key = node.key.unwrap_or(node.position);
            if !SECTIONS.contains(&section.as_str()) {
                let message = format!(
                    "unsupported key in an included file, which holds `issuers`, `presets`, `routes` and `rules`; write it in `{}`",
                    self.names.first().map(String::as_str).unwrap_or_default()
                );
                self.problems.push(Finding::located(at, key, message));
                continue;
            }
            match node.value {
                Value::Null => {}
                Value::Map(entries) => self.join(root, &section, key, entries),
                _ => {
                    let message = "invalid value; write a map, such as `name: { … }`";
                    self.problems.push(Finding::located(at, key, message));
                }
            }
        }
    }

    /// Adds entries to a section of the main file.
    fn join(
        &mut self,
        root: &mut Node,
        section: &str,
        key: Position,
        entries: Vec<(String, Node)>,
    ) {
        let Value::Map(sections) = &mut root.value else { return };
        let place = match sections.iter().position(|(name, _)| name == section) {
            Some(place) => place,
            None => {
                let empty = Node { position: key, key: Some(key), value: Value::Map(Vec::new()) };
                sections.push((section.to_owned(), empty));
                sections.len() - 1
            }
        };
        let Some((_, node)) = sections.get_mut(place) else { return };
        if matches!(node.value, Value::Null) {
            node.value = Value::Map(Vec::new());
        }
        // Another form of the section is a problem of the main file, which is reported where it is read.
        let Value::Map(own) = &mut node.value else { return };
        for (name, entry) in entries {
            match own.iter().find(|(known, _)| *known == name) {
                Some((_, earlier)) => {
                    let other = earlier.key.unwrap_or(earlier.position).place(&self.names);
                    let message = format!(
                        "invalid name: `{name}` is in {other} too; keep one of them, or rename one"
                    );
                    let at = KeyPath::root().key(section).key(&name);
                    let position = entry.key.unwrap_or(entry.position);
                    self.problems.push(Finding::located(at, position, message));
                }
                None => own.push((name, entry)),
            }
        }
    }
}

/// The patterns of a file; what is no text is a problem of its type.
pub(super) fn patterns(root: &Node) -> Vec<String> {
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    match root.child("include") {
        Some(Node { value: Value::List(items), .. }) => items.iter().filter_map(text).collect(),
        Some(node) => text(node).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Whether a pattern stands for a file name: `*` is any characters, but not the dot of a hidden file.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.is_empty()
}

/// Text of an included file, or the reason why it is not included.
fn read(path: &Path, main: &Path) -> Result<(String, Metadata), String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a file; name one".to_owned());
    }
    let same = |other: Metadata| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino());
    if fs::metadata(main).is_ok_and(same) {
        let reason = "is this file itself; keep the files that it includes in a folder of their own, such as `conf.d`";
        return Err(reason.to_owned());
    }
    let text = text(path).map_err(unreadable)?;
    Ok((text, metadata))
}

/// Text of a file, unless it is larger than any configuration.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if length as u64 > MAX_FILE {
        return Err(io::Error::other("it is larger than 4 MiB; check the path"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_a_part_of_a_visible_name() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", false),
            ("*.yaml", ".a.yaml", false),
            ("*.yaml", "a.yaml.bak", false),
            ("*", "a", true),
            (".*", ".a", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab", "ab", false),
            ("a.yaml", "a.yaml", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
