//! One JSON object, read once into a flat list of its values.
//!
//! Text without escapes stays where it is, in the text of the object; a value is a node of the list. A reader that needs a few
//! members of a token pays for no tree of them all.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::value::{Array, ClaimValue, Object};
use super::{MAX_DEPTH, NO_OBJECT, NUMBER, Name, TWICE, number, utf8, with};

/// One JSON object, as strict as [`parse_object`](super::parse_object) reads it.
#[derive(Clone, Default)]
pub(crate) struct Document {
    text: String,
    /// The texts that have escapes, without them.
    unescaped: String,
    /// The object, each value before those within it, each member's name before its value.
    nodes: Vec<Node>,
}

/// A value or a name.
#[derive(Clone, Copy, Debug)]
enum Node {
    Null,
    Bool(bool),
    Whole(u64),
    Negative(i64),
    Fraction(f64),
    /// A part of the text.
    Text(Place),
    /// A part of the texts that had escapes.
    Unescaped(Place),
    /// The number of elements, and the node after the last one.
    Array(Place),
    /// The number of members, and the node after the last one.
    Object(Place),
}

/// Start and length of a text; or number of parts, and the node after them.
type Place = (u32, u32);

impl Document {
    /// Reads one JSON object.
    ///
    /// The error is the parser's message; it names position and cause and quotes no values.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        utf8(&bytes)?;
        let text = String::from_utf8(bytes).unwrap_or_default();
        let mut built = Self { nodes: Vec::with_capacity(96), ..Self::default() };
        let mut names = Vec::with_capacity(32);
        let reader =
            Reader { text: &text, built: &mut built, names: &mut names, levels: MAX_DEPTH };
        with(&text, |deserializer| reader.deserialize(deserializer))?;
        if !matches!(built.nodes.first(), Some(Node::Object(_))) {
            return Err(NO_OBJECT.to_owned());
        }
        built.text = text;
        Ok(built)
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
            None | Some(Node::Null) => ClaimValue::Null,
            Some(Node::Bool(value)) => ClaimValue::Bool(*value),
            Some(Node::Whole(value)) => ClaimValue::Number((*value).into()),
            Some(Node::Negative(value)) => ClaimValue::Number((*value).into()),
            Some(Node::Fraction(value)) => {
                Number::from_f64(*value).map_or(ClaimValue::Null, ClaimValue::Number)
            }
            Some(Node::Text(_) | Node::Unescaped(_)) => ClaimValue::Text(self.text(at)),
            Some(Node::Array((len, _))) => ClaimValue::Array(Array::new(self, at + 1, *len)),
            Some(Node::Object((len, _))) => ClaimValue::Object(Object::new(self, at + 1, *len)),
        }
    }

    /// The text or name at this node.
    pub(super) fn text(&self, at: usize) -> &str {
        self.nodes.get(at).map_or("", |node| self.text_of(&self.text, *node))
    }

    /// Whether the name at this node is `name`.
    pub(super) fn is_named(&self, at: usize, name: &str) -> bool {
        match self.nodes.get(at) {
            Some(Node::Text((_, len)) | Node::Unescaped((_, len))) => {
                *len as usize == name.len() && self.text(at) == name
            }
            _ => false,
        }
    }

    /// The node after the value at this one and all within it.
    pub(super) fn after(&self, at: usize) -> usize {
        match self.nodes.get(at) {
            Some(Node::Array((_, after)) | Node::Object((_, after))) => *after as usize,
            _ => at + 1,
        }
    }

    /// `text` is that of the object, which is still borrowed while it is read.
    fn text_of<'d>(&'d self, text: &'d str, node: Node) -> &'d str {
        let (from, (start, len)) = match node {
            Node::Text(place) => (text, place),
            Node::Unescaped(place) => (self.unescaped.as_str(), place),
            _ => return "",
        };
        let start = start as usize;
        from.get(start..start + len as usize).unwrap_or_default()
    }

    fn push_text(&mut self, text: &str) -> Result<Node, TooLong> {
        let place = (position(self.unescaped.len())?, position(text.len())?);
        self.unescaped.push_str(text);
        self.nodes.push(Node::Unescaped(place));
        Ok(Node::Unescaped(place))
    }

    fn push_number(&mut self, number: &Number) {
        let whole =
            number.as_u64().map(Node::Whole).or_else(|| number.as_i64().map(Node::Negative));
        let node = whole.or_else(|| number.as_f64().map(Node::Fraction));
        self.nodes.push(node.unwrap_or(Node::Null));
    }

    fn push_value(&mut self, value: &Value) -> Result<(), TooLong> {
        match value {
            Value::Null => self.nodes.push(Node::Null),
            Value::Bool(value) => self.nodes.push(Node::Bool(*value)),
            Value::Number(number) => self.push_number(number),
            Value::String(text) => drop(self.push_text(text)?),
            Value::Array(values) => {
                let at = self.open();
                values.iter().try_for_each(|value| self.push_value(value))?;
                self.close(at, values.len(), Node::Array)?;
            }
            Value::Object(members) => self.push_object(members)?,
        }
        Ok(())
    }

    fn push_object(&mut self, members: &Map<String, Value>) -> Result<(), TooLong> {
        let at = self.open();
        for (name, value) in members {
            self.push_text(name)?;
            self.push_value(value)?;
        }
        self.close(at, members.len(), Node::Object)
    }

    /// Leaves a place for the node of an array or object.
    fn open(&mut self) -> usize {
        self.nodes.push(Node::Null);
        self.nodes.len() - 1
    }

    fn close(&mut self, at: usize, len: usize, node: fn(Place) -> Node) -> Result<(), TooLong> {
        let place = (position(len)?, position(self.nodes.len())?);
        if let Some(open) = self.nodes.get_mut(at) {
            *open = node(place);
        }
        Ok(())
    }
}

impl TryFrom<&Map<String, Value>> for Document {
    type Error = TooLong;

    fn try_from(members: &Map<String, Value>) -> Result<Self, TooLong> {
        let mut built = Self::default();
        built.push_object(members)?;
        Ok(built)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.members().fmt(f)
    }
}

/// A text of 4 GiB or more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is too long")]
pub(crate) struct TooLong;

fn position(of: usize) -> Result<u32, TooLong> {
    u32::try_from(of).map_err(|_| TooLong)
}

/// Appends the value that it reads to a document.
struct Reader<'t, 'd> {
    text: &'t str,
    built: &'d mut Document,
    /// The names of the objects that are open.
    names: &'d mut Vec<Node>,
    /// Levels of arrays and objects that may follow.
    levels: usize,
}

impl<'t> Reader<'t, '_> {
    /// The reader of a value within.
    fn within(&mut self, levels: usize) -> Reader<'t, '_> {
        Reader { text: self.text, built: self.built, names: self.names, levels }
    }

    fn deeper<E: Error>(&self) -> Result<usize, E> {
        self.levels.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))
    }

    /// A text that is a slice of the whole one.
    fn push_slice(&mut self, slice: &'t str) -> Result<Node, TooLong> {
        let start = (slice.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        match start.filter(|start| start + slice.len() <= self.text.len()) {
            Some(start) => {
                let node = Node::Text((position(start)?, position(slice.len())?));
                self.built.nodes.push(node);
                Ok(node)
            }
            None => self.built.push_text(slice),
        }
    }

    fn push(self, node: Node) {
        self.built.nodes.push(node);
    }

    /// Whether no two of the names from `first` on are the same.
    fn distinct(&self, first: usize) -> bool {
        /// Up to here comparing each with each other is faster than sorting.
        const FEW: usize = 24;
        let names = self.names.get(first..).unwrap_or_default();
        let text = |node: &Node| self.built.text_of(self.text, *node);
        if names.len() > FEW {
            let mut sorted: Vec<&str> = names.iter().map(text).collect();
            sorted.sort_unstable();
            return sorted.windows(2).all(|pair| pair.first() != pair.last());
        }
        let mut rest = names.iter();
        while let Some(name) = rest.next() {
            let name = text(name);
            if rest.clone().any(|other| text(other) == name) {
                return false;
            }
        }
        true
    }
}

impl<'t> DeserializeSeed<'t> for Reader<'t, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Reader<'t, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(Node::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(Node::Whole(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Node::Negative(value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom("number out of range"));
        }
        self.push(Node::Fraction(value));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(mut self, value: &'t str) -> Result<(), E> {
        self.push_slice(value).map(drop).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.built.push_text(value).map(drop).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let levels = self.deeper()?;
        let at = self.built.open();
        let mut len = 0;
        while sequence.next_element_seed(self.within(levels))?.is_some() {
            len += 1;
        }
        self.built.close(at, len, Node::Array).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut access: A) -> Result<(), A::Error> {
        let levels = self.deeper()?;
        let at = self.built.open();
        let first = self.names.len();
        while let Some(name) = access.next_key_seed(Name)? {
            // Borrowed: a text that spells the name with escapes is not a number.
            if matches!(name, Cow::Borrowed(NUMBER)) {
                let value = number(&access.next_value::<String>()?)?;
                self.built.nodes.truncate(at);
                return self.built.push_value(&value).map_err(A::Error::custom);
            }
            let name = match name {
                Cow::Borrowed(name) => self.push_slice(name),
                Cow::Owned(name) => self.built.push_text(&name),
            };
            self.names.push(name.map_err(A::Error::custom)?);
            access.next_value_seed(self.within(levels))?;
        }
        if !self.distinct(first) {
            return Err(A::Error::custom(TWICE));
        }
        let len = self.names.len() - first;
        self.names.truncate(first);
        self.built.close(at, len, Node::Object).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests;
