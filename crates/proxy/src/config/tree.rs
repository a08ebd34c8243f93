//! The YAML file as a tree in which every node has its line and column.
//!
//! Anchors and merge keys are read, within bounds; tags are refused. Duplicate keys are reported; no written value overwrites
//! another.

mod anchors;

use std::collections::BTreeSet;

use saphyr::Scalar;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use self::anchors::Anchors;
pub(super) use self::anchors::COPIED;
use super::problem::{Finding, KeyPath, Position};

/// Deepest nesting that is read; deeper than any real file.
const DEPTH: usize = 32;

/// A written value, with its position.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Start of the value.
    pub(super) position: Position,
    /// Position of its key, if it has one.
    pub(super) key: Option<Position>,
    /// The value.
    pub(super) value: Value,
}

/// A value as written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in their order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a key.
    pub(super) fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// The keys of a map with their values; none of anything else.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The keys of a map; none of anything else.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().iter().map(|(name, _)| name.as_str())
    }

    /// Number of values in this one, itself among them, and the depth of the deepest.
    pub(super) fn extent(&self) -> (usize, usize) {
        let children: Vec<&Node> = match &self.value {
            Value::List(items) => items.iter().collect(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node).collect(),
            _ => Vec::new(),
        };
        let extents = children.into_iter().map(Node::extent);
        let (size, height) =
            extents.fold((0, 0), |(size, height), (other, deep)| (size + other, deep.max(height)));
        (size + 1, height + 1)
    }

    /// Position for messages about this value: the key of a list, a map or an empty value, else the value.
    pub(super) fn reported_at(&self) -> Position {
        match self.value {
            Value::List(_) | Value::Map(_) | Value::Null => self.key.unwrap_or(self.position),
            _ => self.position,
        }
    }

    /// Adds what `defaults` has and this map has not, as if it were written at `position`.
    pub(super) fn fill_in(&mut self, defaults: &Node, position: Position) {
        let (Value::Map(own), Value::Map(others)) = (&mut self.value, &defaults.value) else {
            return;
        };
        for (name, other) in others {
            // Names of header fields are compared without case.
            match own.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, node)) => node.fill_in(other, position),
                None => own.push((name.clone(), other.clone().moved_to(position))),
            }
        }
    }

    /// The same value, as if it were written at `position`.
    pub(super) fn moved_to(mut self, position: Position) -> Self {
        self.position = position;
        self.key = Some(position);
        match &mut self.value {
            Value::List(items) => {
                *items =
                    std::mem::take(items).into_iter().map(|node| node.moved_to(position)).collect();
            }
            Value::Map(entries) => {
                *entries = std::mem::take(entries)
                    .into_iter()
                    .map(|(name, node)| (name, node.moved_to(position)))
                    .collect();
            }
            _ => {}
        }
        self
    }
}

/// A file as far as it could be read.
#[derive(Debug)]
pub(super) struct Tree {
    /// The root.
    pub(super) root: Node,
    /// Problems of parts that were refused; the rest is readable.
    pub(super) findings: Vec<Finding>,
    /// Paths of the parts that were left out.
    pub(super) dropped: Vec<KeyPath>,
}

impl Tree {
    /// Reads the text of a file, whose number its positions get; the error names the position from which it cannot be read as YAML.
    pub(super) fn read(text: &str, file: usize) -> Result<Self, Finding> {
        let parser = Parser::new_from_str(text);
        let mut reader = TreeReader {
            parser,
            file,
            findings: Vec::new(),
            dropped: Vec::new(),
            anchors: Anchors::default(),
        };
        let position = Position::start_of(file);
        let empty = || Node { position, key: None, value: Value::Map(Vec::new()) };
        let root = reader.document()?.unwrap_or_else(empty);
        Ok(Self { root, findings: reader.findings, dropped: reader.dropped })
    }
}

struct TreeReader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    file: usize,
    findings: Vec<Finding>,
    dropped: Vec<KeyPath>,
    anchors: Anchors,
}

impl<'a> TreeReader<'a> {
    fn drop_value(&mut self, at: KeyPath, position: Position, message: &str) {
        self.dropped.push(at.clone());
        self.findings.push(Finding::located(at, position, message));
    }

    fn document(&mut self) -> Result<Option<Node>, Finding> {
        let mut root = None;
        loop {
            let (event, position) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                _ if root.is_some() => {
                    let message = "invalid file: it holds a second document; remove the `---`";
                    return Err(Finding::located(KeyPath::root(), position, message));
                }
                event => {
                    let node = self.node(event, position, KeyPath::root(), 0)?;
                    root = node.filter(|node| !matches!(node.value, Value::Null));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Position), Finding> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, Position::of(span, self.file))),
            Some(Err(error)) => {
                let position = Position::of(Span::empty(*error.marker()), self.file);
                let message = format!("invalid YAML from here on: {}", error.info());
                Err(Finding::located(KeyPath::root(), position, message))
            }
            None => Ok((Event::StreamEnd, Position::start_of(self.file))),
        }
    }

    /// Node that an event begins; `None` if it was refused.
    fn node(
        &mut self,
        event: Event<'a>,
        position: Position,
        at: KeyPath,
        depth: usize,
    ) -> Result<Option<Node>, Finding> {
        if depth > DEPTH {
            return Err(Finding::located(at, position, "invalid file: it is nested too deeply"));
        }
        let (anchor, value) = match event {
            Event::Alias(number) => {
                return match self.anchors.copy(number, position, depth) {
                    Ok(node) => Ok(Some(Node { key: None, ..node })),
                    Err(message) => {
                        self.drop_value(at, position, message);
                        Ok(None)
                    }
                };
            }
            Event::Scalar(text, style, anchor, tag) => {
                match Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref()) {
                    Some(scalar) => (anchor, scalar_value(scalar)),
                    None => {
                        self.drop_value(at, position, "unsupported tag (`!…`); remove it");
                        return Ok(None);
                    }
                }
            }
            Event::SequenceStart(anchor, _) => (anchor, Value::List(self.list(at, depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Value::Map(self.map(at, depth)?)),
            _ => return Err(Finding::located(at, position, "missing value; write one")),
        };
        let node = Node { position, key: None, value };
        self.anchors.keep(anchor, &node);
        Ok(Some(node))
    }

    fn list(&mut self, at: KeyPath, depth: usize) -> Result<Vec<Node>, Finding> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, position) => {
                    items.extend(self.node(event, position, at.item(items.len()), depth + 1)?);
                }
            }
        }
    }

    fn map(&mut self, at: KeyPath, depth: usize) -> Result<Vec<(String, Node)>, Finding> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut merged = None;
        loop {
            let (event, key) = self.next()?;
            let (name, plain) = match event {
                Event::MappingEnd => {
                    // Keys of the map itself come first, wherever the merge key is.
                    if let Some((node, key)) = merged
                        && let Err(message) = anchors::merge(&mut entries, &mut seen, node)
                    {
                        self.drop_value(at, key, message);
                    }
                    return Ok(entries);
                }
                Event::Scalar(name, style, ..) => (name.into_owned(), style == ScalarStyle::Plain),
                other => {
                    self.node(other, key, at.clone(), depth + 1)?;
                    let message = "invalid key: it is not a plain word; quote it";
                    self.findings.push(Finding::located(at.clone(), key, message));
                    let (event, position) = self.next()?;
                    self.node(event, position, at.clone(), depth + 1)?;
                    continue;
                }
            };
            let path = at.key(&name);
            let (event, position) = self.next()?;
            let node = self.node(event, position, path.clone(), depth + 1)?;
            let merges = name == "<<" && plain;
            if merges && merged.is_none() {
                merged = node.map(|node| (node, key));
            } else if merges || !seen.insert(name.clone()) {
                let message = "invalid map: this key occurs twice; keep one of them";
                self.findings.push(Finding::located(path, key, message));
            } else if let Some(node) = node {
                entries.push((name, Node { key: Some(key), ..node }));
            }
        }
    }
}

fn scalar_value(scalar: Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(value),
        Scalar::Integer(value) => Value::Integer(value),
        Scalar::FloatingPoint(value) => Value::Float(value.into_inner()),
        Scalar::String(text) => Value::Text(text.into_owned()),
    }
}
