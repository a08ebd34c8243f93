//! Writes presets into the routes that name them.

use super::{Shared, TOO_LARGE, fill, routes};
use crate::config::preset;
use crate::config::problem::{Finding, KeyPath};
use crate::config::tree::{Node, Value};

impl Shared {
    /// Writes into each route the keys of its preset, and the rules of its preset in place of the word `preset`.
    pub(super) fn presets(&mut self, root: &mut Node) {
        let own = preset::own(root);
        for (name, node) in &own {
            let at = KeyPath::root().key("presets").key(name).key("route");
            let keys = node.child("route").map_or(&[][..], Node::entries);
            for (key, node) in keys {
                if preset::OF_THE_ROUTE.contains(&key.as_str()) {
                    let message =
                        format!("invalid preset: each route has its own `{key}`; write it there");
                    self.refuse(at.key(key), node, message);
                }
            }
        }
        for (route, at) in routes(root) {
            self.preset(route, &own, &at);
        }
    }

    fn preset(&mut self, route: &mut Node, own: &[(String, Node)], at: &KeyPath) {
        let found = match route.child("preset") {
            Some(Node { value: Value::Text(name), position, .. }) => {
                match preset::find(own, name) {
                    Ok(found) => Some((found, name.clone(), *position)),
                    Err(message) => {
                        let at = self.form_written_at(&at.key("preset"));
                        self.problems.push(Finding::located(at, *position, message));
                        None
                    }
                }
            }
            _ => None,
        };
        self.rules_of_preset(route, found.as_ref().map(|(found, ..)| &found.node), at);
        let Some((found, name, position)) = found else { return };
        let Some(keys) = found.node.child("route") else { return };
        if !found.own {
            return route.fill_in(keys, position);
        }
        let (size, _) = keys.extent();
        let from = KeyPath::root().key("presets").key(&name).key("route");
        if self.affords(size) {
            let mut keys = keys.clone();
            if let Value::Map(keys) = &mut keys.value {
                keys.retain(|(key, _)| !preset::OF_THE_ROUTE.contains(&key.as_str()));
            }
            fill(route, &keys, at, &from, &mut self.defaults);
        } else {
            self.problems.push(Finding::new(from, format!("invalid preset: {TOO_LARGE}")));
        }
    }

    /// Puts the rules of a preset in place of the word `preset` in `access`.
    fn rules_of_preset(&mut self, route: &mut Node, preset: Option<&Node>, at: &KeyPath) {
        let is_word = |item: &Node| matches!(&item.value, Value::Text(word) if word == "preset");
        let Some(Value::List(written)) = route.child("access").map(|access| &access.value) else {
            return;
        };
        if !written.iter().any(is_word) {
            return;
        }
        let mut rules = Vec::with_capacity(written.len());
        for item in written {
            if !is_word(item) {
                rules.push(item.clone());
                continue;
            }
            let more = preset.map(|preset| preset::rules(preset, route, item)).unwrap_or_default();
            if more.is_empty() && (preset.is_some() || route.child("preset").is_none()) {
                let message = "invalid rule `preset`: the route has no preset with rules; remove it, or write a rule";
                self.problems.push(Finding::located(at.key("access"), item.position, message));
            }
            let size = more.iter().map(|rule| rule.extent().0).sum();
            if self.affords(size) {
                rules.extend(more);
            }
        }
        if let Value::Map(keys) = &mut route.value
            && let Some((_, access)) = keys.iter_mut().find(|(key, _)| key == "access")
        {
            access.value = Value::List(rules);
        }
    }
}
