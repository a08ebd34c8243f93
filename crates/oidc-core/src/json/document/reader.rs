//! Writes the values of a text into the list of a document.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Node, Place};

/// Name of the only member of a number under `arbitrary_precision`.
pub(super) const NUMBER: &str = "$serde_json::private::Number";

pub(super) const TWICE: &str = "a member is repeated";

/// A text of 4 GiB or more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is too long")]
pub(crate) struct TooLong;

pub(super) fn position(of: usize) -> Result<u32, TooLong> {
    u32::try_from(of).map_err(|_| TooLong)
}

/// The parts of a document while its text is still borrowed.
pub(super) struct Builder<'t> {
    text: &'t str,
    /// The texts that are no part of `text`; they will stand behind it.
    pub(super) unescaped: String,
    pub(super) nodes: Vec<Node>,
    /// The names of the objects that are open.
    names: Vec<Place>,
}

impl<'t> Builder<'t> {
    pub(super) fn over(text: &'t str) -> Self {
        // A value of a token takes 12 bytes of text or more.
        let (nodes, names) = (Vec::with_capacity(4 + text.len() / 12), Vec::with_capacity(32));
        Self { text, unescaped: String::new(), nodes, names }
    }

    /// The place of a slice of the text.
    fn slice(&mut self, slice: &'t str) -> Result<Place, TooLong> {
        let start = (slice.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        match start.filter(|start| start + slice.len() <= self.text.len()) {
            Some(start) => Place::of(start, slice.len()),
            None => self.keep(slice),
        }
    }

    /// The place of a text that is no part of the whole one.
    fn keep(&mut self, text: &str) -> Result<Place, TooLong> {
        let place = Place::of(self.text.len() + self.unescaped.len(), text.len())?;
        self.unescaped.push_str(text);
        Ok(place)
    }

    fn text_at(&self, place: Place) -> Option<&str> {
        match (place.start as usize).checked_sub(self.text.len()) {
            Some(start) => self.unescaped.get(start..)?.get(..place.len as usize),
            None => place.in_text(self.text),
        }
    }

    /// Whether no two of the names from `first` on are the same.
    fn distinct(&self, first: usize) -> bool {
        /// Up to here comparing each with each other is faster than sorting.
        const FEW: usize = 24;
        let names = self.names.get(first..).unwrap_or_default();
        if names.len() > FEW {
            let mut sorted: Vec<_> = names.iter().map(|name| self.text_at(*name)).collect();
            sorted.sort_unstable();
            return sorted.windows(2).all(|pair| pair.first() != pair.last());
        }
        let mut rest = names.iter();
        while let Some(name) = rest.next() {
            let same = |other: &&Place| {
                other.len == name.len && self.text_at(**other) == self.text_at(*name)
            };
            if rest.clone().any(|other| same(&other)) {
                return false;
            }
        }
        true
    }

    fn push_value(&mut self, value: &Value) -> Result<(), TooLong> {
        let node = match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(*value),
            Value::Number(number) => node_of(number),
            Value::String(text) => Node::Text(self.keep(text)?),
            Value::Array(values) => {
                let at = self.open(Node::Null);
                values.iter().try_for_each(|value| self.push_value(value))?;
                return self.close(at, Node::Array, values.len());
            }
            Value::Object(members) => return self.push_object(members),
        };
        self.nodes.push(node);
        Ok(())
    }

    pub(super) fn push_object(&mut self, members: &Map<String, Value>) -> Result<(), TooLong> {
        let at = self.open(Node::Null);
        for (name, value) in members {
            let name = self.keep(name)?;
            let member = self.open(Node::Name(name, 0));
            self.push_value(value)?;
            self.end_member(member, name)?;
        }
        self.close(at, Node::Object, members.len())
    }

    /// Pushes a node that is set when what follows it is known.
    fn open(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn end_member(&mut self, at: usize, name: Place) -> Result<(), TooLong> {
        let after = position(self.nodes.len())?;
        self.set(at, Node::Name(name, after));
        Ok(())
    }

    fn close(&mut self, at: usize, node: fn(u32, u32) -> Node, len: usize) -> Result<(), TooLong> {
        let node = node(position(len)?, position(self.nodes.len())?);
        self.set(at, node);
        Ok(())
    }

    fn set(&mut self, at: usize, node: Node) {
        if let Some(open) = self.nodes.get_mut(at) {
            *open = node;
        }
    }
}

/// The number with these digits, as it is without the feature `arbitrary_precision` of `serde_json`.
fn number<E: Error>(digits: &str) -> Result<Node, E> {
    let whole = digits.parse().map(Node::Whole).or_else(|_| digits.parse().map(Node::Negative));
    let finite = |value: &f64| value.is_finite();
    let fraction = || digits.parse().ok().filter(finite).map(Node::Fraction);
    whole.ok().or_else(fraction).ok_or_else(|| E::custom(OUT_OF_RANGE))
}

const OUT_OF_RANGE: &str = "number out of range";

fn node_of(number: &Number) -> Node {
    let whole = number.as_u64().map(Node::Whole).or_else(|| number.as_i64().map(Node::Negative));
    whole.or_else(|| number.as_f64().map(Node::Fraction)).unwrap_or(Node::Null)
}

/// Appends the value that it reads to a document.
pub(super) struct Reader<'t, 'd> {
    pub(super) built: &'d mut Builder<'t>,
    /// Levels of arrays and objects that may follow.
    pub(super) levels: usize,
    /// Whether members of the object that is read may be repeated.
    pub(super) repeats: bool,
}

impl<'t> Reader<'t, '_> {
    /// The reader of a value within.
    fn within(&mut self, levels: usize) -> Reader<'t, '_> {
        Reader { built: self.built, levels, repeats: false }
    }

    fn deeper<E: Error>(&self) -> Result<usize, E> {
        self.levels.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))
    }

    fn push(self, node: Node) {
        self.built.nodes.push(node);
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
            return Err(E::custom(OUT_OF_RANGE));
        }
        self.push(Node::Fraction(value));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'t str) -> Result<(), E> {
        let place = self.built.slice(value).map_err(E::custom)?;
        self.push(Node::Text(place));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let place = self.built.keep(value).map_err(E::custom)?;
        self.push(Node::Text(place));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let levels = self.deeper()?;
        let at = self.built.open(Node::Null);
        let mut len = 0;
        while sequence.next_element_seed(self.within(levels))?.is_some() {
            len += 1;
        }
        self.built.close(at, Node::Array, len).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut access: A) -> Result<(), A::Error> {
        let levels = self.deeper()?;
        let at = self.built.open(Node::Null);
        let first = self.built.names.len();
        while let Some(name) = access.next_key_seed(Name)? {
            // Borrowed: a text that spells the name with escapes is not a number.
            if matches!(name, Cow::Borrowed(NUMBER)) {
                let digits = access.next_value::<String>()?;
                self.built.set(at, number(&digits)?);
                return Ok(());
            }
            let name = match name {
                Cow::Borrowed(name) => self.built.slice(name),
                Cow::Owned(name) => self.built.keep(&name),
            };
            let name = name.map_err(A::Error::custom)?;
            self.built.names.push(name);
            let member = self.built.open(Node::Name(name, 0));
            access.next_value_seed(self.within(levels))?;
            self.built.end_member(member, name).map_err(A::Error::custom)?;
        }
        if !self.repeats && !self.built.distinct(first) {
            return Err(A::Error::custom(TWICE));
        }
        let len = self.built.names.len() - first;
        self.built.names.truncate(first);
        self.built.close(at, Node::Object, len).map_err(A::Error::custom)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeSeed as _;
    use serde::de::value::{BorrowedStrDeserializer, MapDeserializer};

    use super::{Builder, NUMBER, Reader};
    use crate::json::Document;

    #[test]
    fn a_number_may_arrive_with_its_digits() {
        type Failure = serde::de::value::Error;
        let read = |digits: &'static str| {
            let member = (BorrowedStrDeserializer::<Failure>::new(NUMBER), digits);
            let number = MapDeserializer::new(std::iter::once(member));
            let mut built = Builder::over("");
            Reader { built: &mut built, levels: 3, repeats: false }.deserialize(number)?;
            let document = Document { text: String::new(), nodes: built.nodes };
            Ok::<_, Failure>(document.value(0).to_value())
        };
        for digits in ["0", "18446744073709551615", "-3", "2.5", "1e3"] {
            let plain: serde_json::Value = serde_json::from_str(digits).unwrap();
            assert_eq!(read(digits).unwrap(), plain, "{digits}");
        }
        assert!(read("1e999").is_err());
    }
}
