//! One JSON object, read once into a flat list of its values.
//!
//! Text without escapes stays where it is, in the text of the object; a value is a node of the list. A reader that needs a few
//! members of a token pays for no tree of them all.

use std::fmt;

use serde::de::DeserializeSeed as _;
use serde_json::{Map, Number, Value};

use super::MAX_DEPTH;
use super::value::{Array, ClaimValue, Object};
use crate::foreign_text::bounded;
#[cfg(feature = "login")]
use reader::TWICE;
use reader::{Builder, NUMBER, Reader, TooLong, position};

mod reader;

/// One JSON object, as strict as [`parse_object`](super::parse_object) reads it.
#[derive(Clone, Default)]
pub(crate) struct Document {
    /// The text that was read, and behind it the texts that have escapes, without them.
    text: String,
    /// The object, each value before those within it, each member's name before its value.
    nodes: Vec<Node>,
}

/// A value, or the name of a member.
#[derive(Clone, Copy, Debug)]
enum Node {
    Null,
    Bool(bool),
    Whole(u64),
    Negative(i64),
    Fraction(f64),
    Text(Place),
    /// A name, and the node after its value.
    Name(Place, u32),
    /// The number of elements, and the node after the last one.
    Array(u32, u32),
    /// The number of members, and the node after the last one.
    Object(u32, u32),
}

/// A part of the text.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    len: u32,
}

impl Place {
    fn of(start: usize, len: usize) -> Result<Self, TooLong> {
        Ok(Self { start: position(start)?, len: position(len)? })
    }

    fn in_text(self, text: &str) -> Option<&str> {
        text.get(self.start as usize..)?.get(..self.len as usize)
    }
}

impl Document {
    /// Reads one JSON object.
    ///
    /// The error is the parser's message; it names position and cause and quotes no values.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        Self::with_levels(bytes, MAX_DEPTH)
    }

    /// Like [`Self::parse`], with arrays and objects nested at most `levels` deep.
    pub(super) fn with_levels(bytes: Vec<u8>, levels: usize) -> Result<Self, String> {
        Self::read(bytes, levels, false)
    }

    /// Like [`Self::parse`], but a member of the object at the top may be repeated with the same value, which is not ambiguous
    /// either. It is kept once.
    #[cfg(feature = "login")]
    pub(crate) fn parse_with_repeats(bytes: Vec<u8>) -> Result<Self, String> {
        let read = Self::read(bytes, MAX_DEPTH, true)?;
        let members = read.members();
        let mut once = Map::new();
        for (name, value) in members.clone() {
            let former = once.insert(name.to_owned(), value.to_value());
            if former.is_some_and(|former| value != former) {
                return Err(format!("it is not strict JSON: {TWICE}"));
            }
        }
        match once.len() == members.len() {
            true => Ok(read),
            false => Self::try_from(&once).map_err(|error| error.to_string()),
        }
    }

    fn read(bytes: Vec<u8>, levels: usize, repeats: bool) -> Result<Self, String> {
        let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        if text.contains(NUMBER) {
            return Err("it holds a name that is reserved for numbers".to_owned());
        }
        let mut built = Builder::over(&text);
        let reader = Reader { built: &mut built, levels, repeats };
        with(&text, |deserializer| reader.deserialize(deserializer))?;
        let Builder { nodes, unescaped, .. } = built;
        if !matches!(nodes.first(), Some(Node::Object(..))) {
            return Err("it is not a JSON object".to_owned());
        }
        text.push_str(&unescaped);
        Ok(Self { text, nodes })
    }

    /// The members of the object, in the order of the text.
    pub(crate) fn members(&self) -> Object<'_> {
        match self.value(0) {
            ClaimValue::Object(members) => members,
            _ => Object::new(self, 0, 0),
        }
    }

    /// The value at this node.
    pub(super) fn value(&self, at: usize) -> ClaimValue<'_> {
        match self.nodes.get(at) {
            None | Some(Node::Null | Node::Name(..)) => ClaimValue::Null,
            Some(Node::Bool(value)) => ClaimValue::Bool(*value),
            Some(Node::Whole(value)) => ClaimValue::Number((*value).into()),
            Some(Node::Negative(value)) => ClaimValue::Number((*value).into()),
            Some(Node::Fraction(value)) => {
                Number::from_f64(*value).map_or(ClaimValue::Null, ClaimValue::Number)
            }
            Some(Node::Text(place)) => {
                ClaimValue::Text(place.in_text(&self.text).unwrap_or_default())
            }
            Some(Node::Array(len, _)) => ClaimValue::Array(Array::new(self, at + 1, *len)),
            Some(Node::Object(len, _)) => ClaimValue::Object(Object::new(self, at + 1, *len)),
        }
    }

    /// The name at this node, and the node after its value.
    pub(super) fn name(&self, at: usize) -> Option<(&str, usize)> {
        match self.nodes.get(at)? {
            Node::Name(place, after) => Some((place.in_text(&self.text)?, *after as usize)),
            _ => None,
        }
    }

    /// The value of the member `name`, of those from this node on; the members end before another kind of node.
    pub(super) fn find(&self, mut at: usize, members: u32, name: &str) -> Option<usize> {
        let wanted = u32::try_from(name.len()).ok()?;
        for _ in 0..members {
            let Node::Name(place, after) = self.nodes.get(at)? else { return None };
            if place.len == wanted && place.in_text(&self.text) == Some(name) {
                return Some(at + 1);
            }
            at = *after as usize;
        }
        None
    }

    /// The node after the value at this one and all within it.
    pub(super) fn after(&self, at: usize) -> usize {
        match self.nodes.get(at) {
            Some(Node::Array(_, after) | Node::Object(_, after)) => *after as usize,
            _ => at + 1,
        }
    }
}

impl TryFrom<&Map<String, Value>> for Document {
    type Error = TooLong;

    fn try_from(members: &Map<String, Value>) -> Result<Self, TooLong> {
        let mut built = Builder::over("");
        built.push_object(members)?;
        Ok(Self { text: built.unescaped, nodes: built.nodes })
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.members().fmt(f)
    }
}

/// Reads `text` to its end.
fn with<'t, T>(
    text: &'t str,
    read: impl FnOnce(&mut Text<'t>) -> Result<T, serde_json::Error>,
) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = read(&mut deserializer)
        .map_err(|error| format!("it is not strict JSON: {}", bounded(&error.to_string())))?;
    deserializer.end().map_err(|_| "something follows the JSON object".to_owned())?;
    Ok(value)
}

type Text<'t> = serde_json::Deserializer<serde_json::de::StrRead<'t>>;

#[cfg(test)]
mod tests;
