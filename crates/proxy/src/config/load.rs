//! Loads a file into a checked configuration.
//!
//! The file is read as a tree, completed by presets, read as types, and checked. One run reports every problem, in the order of
//! the lines. A problem that only follows from another is not reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::include::{self, Files};
use super::issuer::IssuerConfig;
use super::problem::{Finding, KeyPath, Place, Position, Problem, Problems, Step};
use super::read::{Reading, read};
use super::shared::Shared;
use super::skipped::Skipped;
use super::tree::{Node, Tree, Value};
use super::validate::{Findings, validate};
use super::{Config, named_files};

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration. Presets, defaults and named rules are written into its routes, and included files are part of it.
    pub config: Config,
    /// Warnings: valid settings that may be mistakes.
    pub warnings: Vec<Problem>,
    /// SHA-256 of the file, in hex, or of the file and those that it includes; equal if two gateways run the same files.
    pub hash: String,
    /// The included files, and the folders in which they are looked for.
    pub included: BTreeSet<PathBuf>,
    /// The places of the routes, by name.
    pub places: BTreeMap<String, RoutePlace>,
}

/// The place of a route in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePlace {
    /// Its name.
    pub route: Place,
    /// Its rules, in their order.
    pub rules: Vec<Place>,
}

impl Config {
    /// Reads a file and those that it includes, and checks the files, variables and directories that they name.
    ///
    /// # Errors
    ///
    /// All problems of the files.
    pub fn load(path: &Path) -> Result<Loaded, Problems> {
        let name = path.display().to_string();
        match include::text(path) {
            Ok(text) => {
                let mut files = Files::new(name, &text);
                if let Ok(metadata) = fs::metadata(path) {
                    files.warn_if_shared(&metadata, 0);
                }
                checked(files, &text, Some(path), named_files::check)
            }
            Err(error) => {
                let finding = Finding::new(KeyPath::root(), format!("cannot be read: {error}"));
                Err(unreadable(finding, Files::new(name, "")))
            }
        }
    }

    /// Reads a text as [`Config::load`] does, but checks nothing outside it, and includes no file.
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
        checked(Files::new(name.to_owned(), text), text, None, |_, _| {})
    }
}

fn unreadable(finding: Finding, files: Files) -> Problems {
    let problem = finding.at_position(Position::START, &files.names);
    let file = problem.file.clone();
    Problems { file, problems: vec![problem], warnings: Vec::new(), included: files.included }
}

fn checked(
    mut files: Files,
    text: &str,
    path: Option<&Path>,
    check_named_files: impl FnOnce(&Config, &mut Findings),
) -> Result<Loaded, Problems> {
    let Tree { mut root, findings: mut problems, dropped } = match Tree::read(text, 0) {
        Ok(tree) => tree,
        Err(finding) => return Err(unreadable(finding, files)),
    };
    files.dropped.extend(dropped);
    match path {
        Some(path) => files.include(&mut root, path),
        None if include::patterns(&root).is_empty() => {}
        None => {
            let message = "unsupported `include`: this text is no file, so that nothing is relative to it; omit it";
            problems.push(Finding::new(KeyPath::root().key("include"), message));
        }
    }
    problems.append(&mut files.problems);
    // The rest would follow from what is missing.
    let missing = |problems: Vec<Finding>, root: &Node, files: Files| Problems {
        file: files.names.first().cloned().unwrap_or_default(),
        problems: in_order(located(problems, root, &files.names, KeyPath::clone), &files.names),
        warnings: Vec::new(),
        included: files.included,
    };
    if files.incomplete {
        return Err(missing(problems, &root, files));
    }
    let mut shared = Shared::apply(&mut root);
    problems.append(&mut shared.problems);
    if shared.too_large {
        return Err(missing(problems, &root, files));
    }
    let dropped = files.dropped.iter().chain(&shared.refused).cloned().collect();
    let Reading { value, findings, skipped } = read::<Config>(&root, Skipped::of(dropped));
    let mut problems = located(problems, &root, &files.names, KeyPath::clone);
    let findings = findings.into_iter().filter(|finding| !shared.refuses(&finding.at)).collect();
    problems.extend(located(findings, &root, &files.names, |at| shared.form_written_at(at)));
    let mut warnings =
        located(std::mem::take(&mut files.warnings), &root, &files.names, KeyPath::clone);
    if let Some(config) = &value {
        let mut found = validate(config, &issuer_names(&root));
        check_named_files(config, &mut found);
        let written = |at: &KeyPath| shared.written_at(at);
        let found_problems = reportable(found.problems, &skipped);
        problems.extend(located(found_problems, &root, &files.names, written));
        let found_warnings = reportable(found.warnings, &skipped);
        warnings.extend(located(found_warnings, &root, &files.names, written));
    }
    let problems = in_order(problems, &files.names);
    let warnings = in_order(warnings, &files.names);
    let included = std::mem::take(&mut files.included);
    match value {
        Some(mut config) if problems.is_empty() => {
            config.issuers.values_mut().for_each(IssuerConfig::settle);
            // What routes share is in the routes now.
            (config.rules, config.presets, config.include) = Default::default();
            let places = places(&root, &files.names);
            Ok(Loaded { config, warnings, hash: files.hash(), included, places })
        }
        _ => {
            let file = files.names.into_iter().next().unwrap_or_default();
            Err(Problems { file, problems, warnings, included })
        }
    }
}

/// The places of all routes and their rules.
fn places(root: &Node, files: &[String]) -> BTreeMap<String, RoutePlace> {
    let Some(Value::Map(routes)) = root.child("routes").map(|routes| &routes.value) else {
        return BTreeMap::new();
    };
    let place = |node: &Node| node.key.unwrap_or(node.position).place(files);
    let routes = routes.iter().map(|(name, route)| {
        let rules = match route.child("access").map(|access| &access.value) {
            Some(Value::List(rules)) => rules.iter().map(place).collect(),
            _ => Vec::new(),
        };
        (name.clone(), RoutePlace { route: place(route), rules })
    });
    routes.collect()
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

/// Adds the positions, and sets the paths as `written`.
fn located(
    findings: Vec<Finding>,
    root: &Node,
    files: &[String],
    written: impl Fn(&KeyPath) -> KeyPath,
) -> Vec<Problem> {
    let problems = findings.into_iter().map(|finding| {
        let position = position_of(root, &finding.at);
        Finding { at: written(&finding.at), ..finding }.at_position(position, files)
    });
    problems.collect()
}

/// Sorts by file, the main one first, and by line.
fn in_order(mut problems: Vec<Problem>, files: &[String]) -> Vec<Problem> {
    let number = |file: &String| files.iter().position(|name| name == file);
    problems.sort_by_cached_key(|it| (number(&it.file), it.line, it.column, it.path.clone()));
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
