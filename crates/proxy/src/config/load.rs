//! Loads a file into a checked configuration.
//!
//! The file is read as a tree, completed by presets, read as types, and checked. One run reports every problem, in the order of
//! the lines. A problem that only follows from another is not reported.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::issuer::IssuerConfig;
use super::problem::{Finding, KeyPath, Position, Problem, Problems, Step};
use super::read::{Reading, read};
use super::skipped::Skipped;
use super::tree::{Node, Tree, Value};
use super::validate::{Findings, validate};
use super::{Config, named_files, preset};

/// Bytes that are read at most; larger than any real file.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration, presets filled in.
    pub config: Config,
    /// Warnings: valid settings that may be mistakes.
    pub warnings: Vec<Problem>,
    /// SHA-256 of the file, in hex; equal if two gateways run the same file.
    pub hash: String,
}

impl Config {
    /// Reads a file, and checks the files, variables and directories that it names.
    ///
    /// # Errors
    ///
    /// All problems of the file.
    pub fn load(path: &Path) -> Result<Loaded, Problems> {
        let file = path.display().to_string();
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        if let Err(error) = read {
            let finding = Finding::new(KeyPath::root(), format!("cannot be read: {error}"));
            return Err(Problems {
                file,
                problems: vec![finding.at_position(Position::START)],
                warnings: Vec::new(),
            });
        }
        checked(file, &text, named_files::check)
    }

    /// Reads a text as [`Config::load`] does, but checks nothing outside it.
    ///
    /// ```
    /// let problems = doorward::config::Config::parse("doorward.yaml", "listen: 8443").unwrap_err();
    /// assert!(problems.to_string().starts_with("doorward.yaml:1:1: missing `public_url`; add it\n"));
    /// ```
    ///
    /// # Errors
    ///
    /// All problems of the text.
    pub fn parse(name: &str, text: &str) -> Result<Loaded, Problems> {
        checked(name.to_owned(), text, |_, _| {})
    }
}

fn checked(
    file: String,
    text: &str,
    check_named_files: impl FnOnce(&Config, &mut Findings),
) -> Result<Loaded, Problems> {
    let Tree { mut root, findings: mut problems, dropped } = match Tree::read(text) {
        Ok(tree) => tree,
        Err(finding) => {
            let problems = vec![finding.at_position(Position::START)];
            return Err(Problems { file, problems, warnings: Vec::new() });
        }
    };
    preset::apply(&mut root);
    let Reading { value, findings, skipped } = read::<Config>(&root, Skipped::of(dropped));
    problems.extend(findings);
    let mut warnings = Vec::new();
    if let Some(config) = &value {
        let mut found = validate(config, &issuer_names(&root));
        check_named_files(config, &mut found);
        problems.extend(reportable(found.problems, &skipped));
        warnings.extend(reportable(found.warnings, &skipped));
    }
    let warnings = located(warnings, &root);
    match value {
        Some(mut config) if problems.is_empty() => {
            config.issuers.values_mut().for_each(IssuerConfig::settle);
            Ok(Loaded { config, warnings, hash: hash(text) })
        }
        _ => Err(Problems { file, problems: located(problems, &root), warnings }),
    }
}

/// The names of all issuers and authorities in the file, also of those that could not be read.
fn issuer_names(root: &Node) -> BTreeSet<String> {
    let sections =
        ["issuers", "workload_certificates"].into_iter().filter_map(|key| root.child(key));
    sections.flat_map(Node::keys).map(str::to_owned).collect()
}

/// Drops findings about parts that could not be read, and sets the paths as written in the file.
fn reportable(findings: Vec<Finding>, skipped: &Skipped) -> Vec<Finding> {
    findings
        .into_iter()
        .map(|finding| Finding { at: skipped.written_at(&finding.at), ..finding })
        .filter(|finding| !skipped.touch(&finding.at))
        .collect()
}

/// Adds the positions, and sorts in the order of the file.
fn located(findings: Vec<Finding>, root: &Node) -> Vec<Problem> {
    let mut problems: Vec<Problem> = findings
        .into_iter()
        .map(|finding| {
            let position = position_of(root, &finding.at);
            finding.at_position(position)
        })
        .collect();
    problems.sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
    problems.dedup();
    problems
}

/// Position of a path, or of the nearest value around it if the path is not written.
fn position_of(root: &Node, at: &KeyPath) -> Position {
    let mut node = root;
    for step in at.steps() {
        let next = match (step, &node.value) {
            (Step::Key(name), Value::List(items)) => match items.as_slice() {
                // A single value, written as a list of one.
                [only] => only.child(name),
                _ => None,
            },
            (Step::Key(name), _) => node.child(name),
            (Step::Item(index), Value::List(items)) => items.get(*index),
            (Step::Item(_), _) => Some(node),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    if std::ptr::eq(node, root) { Position::START } else { node.reported_at() }
}

fn hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
