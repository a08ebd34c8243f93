//! Problems of a file, in words for the operator.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use saphyr_parser::Span;

/// One problem or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file: the configuration, or one that it includes.
    pub file: String,
    /// The key it is about, such as `routes.jupyter.upstream`; empty for the file itself.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// Description of the problem, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}:{}: {}", self.line, self.column, self.message)
        } else {
            write!(f, "{}:{}: {}: {}", self.line, self.column, self.path, self.message)
        }
    }
}

/// All problems of a file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub file: String,
    /// Problems to fix before the file can be used.
    pub problems: Vec<Problem>,
    /// Warnings, which alone would not prevent its use.
    pub warnings: Vec<Problem>,
    /// The included files, and the folders in which they are looked for, besides the file itself.
    pub included: BTreeSet<PathBuf>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}:{problem}", problem.file)?;
        }
        let count = self.problems.len();
        write!(f, "{}: {count} problem{}", self.file, if count == 1 { "" } else { "s" })
    }
}

/// A position in a file; line and column count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Number of the file, in the order in which they were read; 0 is the main one.
    file: usize,
    line: usize,
    column: usize,
}

impl Position {
    /// The beginning of the main file.
    pub(super) const START: Self = Self::start_of(0);

    /// The beginning of a file.
    pub(super) const fn start_of(file: usize) -> Self {
        Self { file, line: 1, column: 1 }
    }

    /// Start of a span of the parser.
    pub(super) fn of(span: Span, file: usize) -> Self {
        Self { file, line: span.start.line().max(1), column: span.start.col() + 1 }
    }

    /// The place, with the name of its file.
    pub(super) fn place(self, files: &[String]) -> Place {
        let file = files.get(self.file).cloned().unwrap_or_default();
        Place { file, line: self.line, column: self.column }
    }
}

/// A place in one of the files of a configuration; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Path from the root of the file to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<Step>);

const SECRETS: [&str; 5] = ["client_auth", "credentials", "key", "password", "secret"];

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element of a list, from 0.
    Item(usize),
}

impl KeyPath {
    /// The whole file.
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// The value of a key of this map.
    pub(super) fn key(&self, name: &str) -> Self {
        self.then(Step::Key(name.to_owned()))
    }

    /// An element of this list, from 0.
    pub(super) fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The first steps, if there are so many.
    pub(super) fn first(&self, count: usize) -> Option<Self> {
        self.0.get(..count).map(|steps| Self(steps.to_vec()))
    }

    /// The value at more steps from here.
    pub(super) fn followed_by(&self, steps: &[Step]) -> Self {
        Self(self.0.iter().chain(steps).cloned().collect())
    }

    /// The map or list this is in.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// Whether a secret may be written here by mistake.
    pub(super) fn holds_secret(&self) -> bool {
        let secret =
            |step: &Step| matches!(step, Step::Key(name) if SECRETS.contains(&name.as_str()));
        self.0.iter().any(secret)
    }

    /// Whether this is `other` or within it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if depth == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                // Counted from 1, as `doorward explain` and the audit log count rules.
                Step::Item(index) => write!(f, "#{}", index + 1)?,
            }
        }
        Ok(())
    }
}

/// A problem before its position is looked up.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Path of the value it is about.
    pub(super) at: KeyPath,
    /// Position in the file, if it is not that of `at`.
    pub(super) position: Option<Position>,
    /// Description of the problem, and what to write instead.
    pub(super) message: String,
}

impl Finding {
    /// A finding about a key, at the position of that key.
    pub(super) fn new(at: KeyPath, message: impl Into<String>) -> Self {
        Self { at, position: None, message: message.into() }
    }

    /// A finding about a key, at another position.
    pub(super) fn located(at: KeyPath, position: Position, message: impl Into<String>) -> Self {
        Self { at, position: Some(position), message: message.into() }
    }

    /// The problem, ready to print.
    pub(super) fn at_position(self, found: Position, files: &[String]) -> Problem {
        let Place { file, line, column } = self.position.unwrap_or(found).place(files);
        Problem { file, path: self.at.to_string(), line, column, message: self.message }
    }
}

/// The one of `known` that was most probably meant, if any is near enough.
pub(super) fn nearest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let lower = written.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(likeness, name)| {
            *likeness > 0.85 || strsim::damerau_levenshtein(&lower, name) <= 1 + lower.len() / 6
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// Names joined for a sentence: `` `a`, `b` or `c` ``.
pub(super) fn one_of<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
