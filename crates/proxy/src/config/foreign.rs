//! YAML of other programs, for `doorward migrate`: read within the bounds of a configuration, without its meaning.

use serde_json::Value as Json;

use super::problem::{Place, Position};
use super::tree::{Node, Tree, Value};

/// Reads the one document of a text.
///
/// # Errors
///
/// The place and the reason of the first problem. The reason quotes no value of the text.
pub fn read_yaml(name: &str, text: &str) -> Result<Json, String> {
    let tree = Tree::read(text, 0).map_err(|finding| vec![finding]);
    let (root, findings) = match tree {
        Ok(tree) => (tree.root, tree.findings),
        Err(findings) => (empty(), findings),
    };
    match findings.into_iter().next() {
        None => Ok(json(root)),
        Some(finding) => {
            let position = finding.position.unwrap_or(Position::START);
            let Place { file, line, column } = position.place(&[name.to_owned()]);
            Err(format!("{file}:{line}:{column}: {}", finding.message))
        }
    }
}

fn empty() -> Node {
    Node { position: Position::START, key: None, value: Value::Null }
}

fn json(node: Node) -> Json {
    match node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Integer(value) => value.into(),
        Value::Float(value) => value.into(),
        Value::Text(text) => text.into(),
        Value::List(items) => items.into_iter().map(json).collect(),
        Value::Map(entries) => entries.into_iter().map(|(key, node)| (key, json(node))).collect(),
    }
}
