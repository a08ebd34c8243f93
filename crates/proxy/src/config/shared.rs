//! Parts that routes share: `defaults`, presets and named rules are written into the routes, before the file is read as types.
//!
//! Each copy remembers where it was written, so that a mistake is reported there, and once. Copies are bounded, as those of
//! aliases are.

mod presets;

use std::collections::{BTreeMap, BTreeSet};

use super::defaults::OF_A_ROUTE;
use super::problem::{Finding, KeyPath, Step, nearest, one_of};
use super::tree::{COPIED, Node, Value};

/// Keys of a route whose value is a choice: a route's own replaces that of `defaults` whole.
const CHOICES: [&str; 1] = ["credentials"];

const TOO_LARGE: &str = "the file becomes too large with it; write less of it";

/// Copies that were made, and problems that were found meanwhile.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Copies of requirements, each with the path at which it was written.
    rules: BTreeMap<KeyPath, KeyPath>,
    /// Copies of defaults, each with the path at which it was written.
    defaults: BTreeMap<KeyPath, KeyPath>,
    /// Named rules that are a list of one requirement: the later checks count no single one.
    single: BTreeSet<KeyPath>,
    /// Problems of what is shared.
    pub(super) problems: Vec<Finding>,
    /// Paths that were left as written; what is found there follows from the problems.
    pub(super) refused: Vec<KeyPath>,
    copied: usize,
    /// Whether copies were left out because there are too many.
    pub(super) too_large: bool,
}

impl Shared {
    /// Writes what routes share, and what their presets set, into the routes of a file. A route's own key comes before that of
    /// its preset, and this before that of `defaults`.
    pub(super) fn apply(root: &mut Node) -> Self {
        let mut shared = Self::default();
        let defaults = shared.take_defaults(root);
        for (route, at) in routes(root) {
            shared.preset_of_defaults(route, &defaults, &at);
        }
        shared.presets(root);
        for (route, at) in routes(root) {
            let (size, _) = defaults.extent();
            if shared.affords(size) {
                fill(route, &defaults, &at, &from_defaults(), &mut shared.defaults);
            } else {
                let message = format!("invalid `defaults`: {TOO_LARGE}");
                shared.problems.push(Finding::new(from_defaults(), message));
                break;
            }
        }
        let rules = shared.named_rules(root);
        for (route, at) in routes(root) {
            shared.access(route, &rules, &at.key("access"));
        }
        shared
    }

    /// The path at which a value was written, for a problem of its form: one of a default does not depend on the route.
    pub(super) fn form_written_at(&self, at: &KeyPath) -> KeyPath {
        let at = moved(at, &self.defaults).unwrap_or_else(|| at.clone());
        self.written_at(&at)
    }

    /// The path at which a value was written, for a problem of its meaning, which may depend on the route.
    pub(super) fn written_at(&self, at: &KeyPath) -> KeyPath {
        let at = moved(at, &self.rules).unwrap_or_else(|| at.clone());
        let Some(list) = at.first(2).filter(|list| self.single.contains(list)) else { return at };
        let rest = at.steps().get(2..).unwrap_or_default();
        match rest.split_first() {
            Some((Step::Item(_), rest)) => list.followed_by(rest),
            _ => at,
        }
    }

    /// Whether what is found at a path follows from a problem that is reported already.
    pub(super) fn refuses(&self, at: &KeyPath) -> bool {
        let source = moved(at, &self.rules);
        let source = source.as_ref().unwrap_or(at);
        self.refused.iter().any(|path| at.is_within(path) || source.is_within(path))
    }

    fn affords(&mut self, size: usize) -> bool {
        self.copied = self.copied.saturating_add(size);
        self.too_large |= self.copied > COPIED;
        !self.too_large
    }

    fn refuse(&mut self, at: KeyPath, node: &Node, message: impl Into<String>) {
        let position = node.key.unwrap_or(node.position);
        self.problems.push(Finding::located(at.clone(), position, message));
        self.refused.push(at);
    }

    /// The defaults, without the keys that each route has of its own.
    fn take_defaults(&mut self, root: &mut Node) -> Node {
        let empty = || Node { position: root.position, key: None, value: Value::Map(Vec::new()) };
        let Some(Value::Map(keys)) = root.child("defaults").map(|node| &node.value) else {
            return empty();
        };
        for (key, node) in keys.iter().filter(|(key, _)| OF_A_ROUTE.contains(&key.as_str())) {
            let message = match key.as_str() {
                "access" => "invalid default: each route has its own `access`; name what they share in `rules`, and write `use: NAME` there".to_owned(),
                _ => format!("invalid default: each route has its own `{key}`; write it there"),
            };
            self.refuse(from_defaults().key(key), node, message);
        }
        let mut defaults =
            Node { position: root.position, key: None, value: Value::Map(Vec::new()) };
        if let Value::Map(sections) = &mut root.value
            && let Some((_, node)) = sections.iter_mut().find(|(name, _)| name == "defaults")
            && let Value::Map(keys) = &mut node.value
        {
            keys.retain(|(key, _)| !OF_A_ROUTE.contains(&key.as_str()));
            defaults.value = Value::Map(keys.clone());
        }
        defaults
    }

    /// Gives a route the preset of the defaults, if it has none.
    fn preset_of_defaults(&mut self, route: &mut Node, defaults: &Node, at: &KeyPath) {
        let Some(preset) = defaults.child("preset") else { return };
        let Value::Map(keys) = &mut route.value else { return };
        if keys.iter().all(|(key, _)| key != "preset") {
            keys.push(("preset".to_owned(), preset.clone()));
            self.defaults.insert(at.key("preset"), from_defaults().key("preset"));
        }
    }

    /// The requirements of each named rule, with the path of each.
    fn named_rules(&mut self, root: &Node) -> BTreeMap<String, Vec<(KeyPath, Node)>> {
        let mut rules = BTreeMap::new();
        let Some(Value::Map(named)) = root.child("rules").map(|node| &node.value) else {
            return rules;
        };
        for (name, node) in named {
            let at = KeyPath::root().key("rules").key(name);
            let requirements: Vec<(KeyPath, Node)> = match &node.value {
                Value::List(items) => {
                    let numbered = items.iter().enumerate();
                    numbered.map(|(index, item)| (at.item(index), item.clone())).collect()
                }
                _ => vec![(at.clone(), node.clone())],
            };
            if matches!(&node.value, Value::List(items) if items.len() == 1) {
                self.single.insert(at);
            }
            for (at, requirement) in &requirements {
                if let Some(names) = requirement.child("use") {
                    let message =
                        "unsupported `use`: a named rule uses no other; write its conditions";
                    self.refuse(at.key("use"), names, message);
                }
            }
            rules.insert(name.clone(), requirements);
        }
        rules
    }

    /// Replaces names by requirements in the rules of a route.
    fn access(
        &mut self,
        route: &mut Node,
        rules: &BTreeMap<String, Vec<(KeyPath, Node)>>,
        at: &KeyPath,
    ) {
        let Value::Map(keys) = &mut route.value else { return };
        let Some((_, access)) = keys.iter_mut().find(|(key, _)| key == "access") else { return };
        let Value::List(written) = &mut access.value else { return };
        for (index, rule) in written.iter_mut().enumerate() {
            let at = at.item(index);
            let Value::Map(keys) = &mut rule.value else { continue };
            let Some(place) = keys.iter().position(|(key, _)| key == "use") else {
                if let Some((_, allow)) = keys.iter_mut().find(|(key, _)| key == "allow") {
                    self.allow(allow, rules, &at.key("allow"));
                }
                continue;
            };
            let Some((_, names)) = keys.get(place).cloned() else { continue };
            if keys.iter().any(|(key, _)| key == "allow") {
                let message =
                    "invalid rule: it has `use` and `allow`; write `allow: [ { use: NAME }, … ]`";
                self.refuse(at.key("use"), &names, message);
                continue;
            }
            match self.resolve(&names, rules, &at.key("use")) {
                Some(found) => {
                    let allow = self.copies(found, &names, &at.key("allow"));
                    if let Some(entry) = keys.get_mut(place) {
                        *entry = ("allow".to_owned(), allow);
                    }
                }
                // The rule has neither.
                None => self.refused.push(at),
            }
        }
    }

    /// Replaces names within `allow`.
    fn allow(
        &mut self,
        allow: &mut Node,
        rules: &BTreeMap<String, Vec<(KeyPath, Node)>>,
        at: &KeyPath,
    ) {
        let names_some = |node: &Node| node.child("use").is_some();
        let written: Vec<(KeyPath, Node)> = match &allow.value {
            Value::Map(_) if names_some(allow) => vec![(at.clone(), allow.clone())],
            Value::List(items) if items.iter().any(names_some) => {
                let numbered = items.iter().enumerate();
                numbered.map(|(index, item)| (at.item(index), item.clone())).collect()
            }
            _ => return,
        };
        let mut found = Vec::new();
        for (at, item) in written {
            let Some(names) = item.child("use") else {
                found.push((at, item));
                continue;
            };
            if item.keys().count() > 1 {
                let message = "invalid requirement: `use` has other keys beside it; write it alone, and the conditions in `rules`";
                self.refuse(at.key("use"), names, message);
                return;
            }
            match self.resolve(names, rules, &at.key("use")) {
                Some(requirements) => found.extend(requirements),
                None => return,
            }
        }
        *allow = self.copies(found, allow, at);
    }

    /// The requirements that names stand for; `None` after a problem.
    fn resolve(
        &mut self,
        names: &Node,
        rules: &BTreeMap<String, Vec<(KeyPath, Node)>>,
        at: &KeyPath,
    ) -> Option<Vec<(KeyPath, Node)>> {
        let items = match &names.value {
            Value::List(items) if !items.is_empty() => items.iter().collect(),
            _ => vec![names],
        };
        let mut found = Vec::new();
        for item in items {
            let Value::Text(name) = &item.value else {
                self.refuse(
                    at.clone(),
                    names,
                    "invalid name; write a name in `rules`, or a list of names",
                );
                return None;
            };
            let Some(requirements) = rules.get(name) else {
                let known = || rules.keys().map(String::as_str);
                let message = match nearest(name, known()) {
                    Some(meant) => format!("unknown rule `{name}`; did you mean `{meant}`?"),
                    None if rules.is_empty() => {
                        format!(
                            "unknown rule `{name}`: none has a name; write `rules: {{ {name}: [ {{ roles: [admin] }} ] }}`"
                        )
                    }
                    None => format!("unknown rule `{name}`; write {}", one_of(known())),
                };
                self.problems.push(Finding::located(at.clone(), item.position, message));
                self.refused.push(at.clone());
                return None;
            };
            let size = requirements.iter().map(|(_, node)| node.extent().0).sum();
            if !self.affords(size) {
                self.refuse(at.clone(), names, format!("invalid `use`: {TOO_LARGE}"));
                return None;
            }
            found.extend(requirements.iter().cloned());
        }
        Some(found)
    }

    /// A list of requirements that were written elsewhere, in place of `written`.
    fn copies(&mut self, found: Vec<(KeyPath, Node)>, written: &Node, at: &KeyPath) -> Node {
        if let [(from, _)] = found.as_slice() {
            // The later checks do not number a single requirement.
            self.rules.insert(at.clone(), from.clone());
        }
        let (paths, items): (Vec<KeyPath>, Vec<Node>) = found.into_iter().unzip();
        for (index, from) in paths.into_iter().enumerate() {
            self.rules.insert(at.item(index), from);
        }
        Node { position: written.position, key: written.key, value: Value::List(items) }
    }
}

fn from_defaults() -> KeyPath {
    KeyPath::root().key("defaults")
}

/// The routes of a file, with their paths.
fn routes(root: &mut Node) -> Vec<(&mut Node, KeyPath)> {
    let Value::Map(sections) = &mut root.value else { return Vec::new() };
    let routes = sections.iter_mut().find(|(name, _)| name == "routes");
    let Some((_, Node { value: Value::Map(routes), .. })) = routes else { return Vec::new() };
    let at = KeyPath::root().key("routes");
    routes.iter_mut().map(|(name, route)| (route, at.key(name))).collect()
}

/// Adds what `shared` has and `own` has not; maps are merged by key, everything else is the route's own.
fn fill(
    own: &mut Node,
    shared: &Node,
    at: &KeyPath,
    from: &KeyPath,
    copies: &mut BTreeMap<KeyPath, KeyPath>,
) {
    let (Value::Map(own), Value::Map(shared)) = (&mut own.value, &shared.value) else { return };
    for (name, other) in shared {
        let (at, from) = (at.key(name), from.key(name));
        // Names of header fields are compared without case.
        match own.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(_) if CHOICES.contains(&name.as_str()) => {}
            Some((_, node)) => fill(node, other, &at, &from, copies),
            None => {
                own.push((name.clone(), other.clone()));
                copies.insert(at, from);
            }
        }
    }
}

/// The path at which a copied value was written, by the longest copied path around it.
fn moved(at: &KeyPath, copies: &BTreeMap<KeyPath, KeyPath>) -> Option<KeyPath> {
    let steps = at.steps();
    (1..=steps.len()).rev().find_map(|length| {
        let from = copies.get(&at.first(length)?)?;
        Some(from.followed_by(steps.get(length..).unwrap_or_default()))
    })
}
