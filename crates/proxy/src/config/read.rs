//! Reads the tree into the typed configuration, and reports all problems in one run.
//!
//! Serde stops at the first value it cannot read. Here that value is noted and left out, or replaced if its map requires it.
//! Reading then starts again, until it yields a configuration that lacks only the noted values. That configuration is never
//! used: it only allows the later checks to run.

use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::{Finding, KeyPath, Step};
use super::read_error::{Cause, ReadError};
use super::skipped::Skipped;
use super::tree::{Node, Value};

/// Number of problems after which reading stops.
const ENOUGH: usize = 200;

/// Result of reading a tree.
pub(super) struct Reading<T> {
    /// The value, unless too much of it could not be read.
    pub(super) value: Option<T>,
    /// Problems of the tree.
    pub(super) findings: Vec<Finding>,
    /// Parts that are missing in `value`, or replaced.
    pub(super) skipped: Skipped,
}

/// Reads a value of a type.
pub(super) fn read<'de, T: Deserialize<'de>>(root: &'de Node, mut skipped: Skipped) -> Reading<T> {
    let mut findings = Vec::new();
    while findings.len() < ENOUGH {
        let reader = Reader { node: root, at: KeyPath::root(), skipped: &skipped };
        let error = match T::deserialize(reader) {
            Ok(value) => return Reading { value: Some(value), findings, skipped },
            Err(error) => error,
        };
        let at = error.at.clone().unwrap_or_default();
        if let Cause::Missing { key } = error.cause {
            let absent = at.key(key);
            if !skipped.touch(&absent) {
                findings.push(Finding::new(at.clone(), format!("missing `{key}`; add it")));
            }
            if skipped.replaced.insert(absent) {
                continue;
            }
        } else if skipped.replaced.contains(&at) {
            // The replacement does not fit either: its whole map is left out, without a second problem.
            if !skipped.leave_out(at.parent()) {
                break;
            }
            continue;
        } else if !skipped.within(&at) {
            if let Cause::UnknownKey { nearest: Some(meant), .. } = &error.cause
                && let Some(parent) = at.parent()
            {
                skipped.meant.insert(parent.key(meant));
            }
            let message = error.without_secrets();
            findings
                .push(Finding { position: error.position, ..Finding::new(at.clone(), message) });
        }
        if !skipped.leave_out(Some(at)) {
            break;
        }
    }
    Reading { value: None, findings, skipped }
}

/// A node as a serde deserializer.
#[derive(Clone)]
struct Reader<'de, 'g> {
    node: &'de Node,
    at: KeyPath,
    skipped: &'g Skipped,
}

impl<'de> Reader<'de, '_> {
    fn list<V: Visitor<'de>>(self, items: &'de [Node], visitor: V) -> Result<V::Value, ReadError> {
        let Self { at, skipped, .. } = self;
        visitor.visit_seq(Items { items: items.iter().enumerate(), at: &at, skipped })
    }

    fn map<V: Visitor<'de>>(
        self,
        entries: &'de [(String, Node)],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Self { at, skipped, .. } = self;
        let absent = skipped
            .replaced
            .iter()
            .filter(|gap| gap.parent().as_ref() == Some(&at))
            .filter_map(|gap| match gap.steps().last() {
                Some(Step::Key(name)) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        visitor.visit_map(Entries {
            entries: entries.iter(),
            absent,
            pending: None,
            at: &at,
            skipped,
        })
    }

    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => self.list(items, visitor),
            Value::Map(entries) => self.map(entries, visitor),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let at = self.at.clone();
        self.any(visitor).map_err(|error| error.within(&at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let at = self.at.clone();
        visitor.visit_newtype_struct(self).map_err(|error| error.within(&at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let at = self.at.clone();
        let chosen = match &self.node.value {
            Value::Text(name) => Choice { name, content: None },
            Value::Map(entries) => match entries.as_slice() {
                [(name, content)] if !self.skipped.left_out.contains(&at.key(name)) => {
                    let content = Reader { node: content, at: at.key(name), skipped: self.skipped };
                    Choice { name, content: Some(content) }
                }
                _ => return Err(ReadError::new(Cause::NotOneChoice { variants }).within(&at)),
            },
            _ => return Err(ReadError::new(Cause::NoChoice { variants }).within(&at)),
        };
        visitor.visit_enum(chosen).map_err(|error| error.within(&at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de, 'g> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    at: &'g KeyPath,
    skipped: &'g Skipped,
}

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        for (index, node) in self.items.by_ref() {
            let at = self.at.item(index);
            if !self.skipped.left_out.contains(&at) {
                let reader = Reader { node, at: at.clone(), skipped: self.skipped };
                return seed.deserialize(reader).map(Some).map_err(|error| error.within(&at));
            }
        }
        Ok(None)
    }
}

struct Entries<'de, 'g> {
    entries: std::slice::Iter<'de, (String, Node)>,
    absent: Vec<&'g str>,
    pending: Option<Pending<'de>>,
    at: &'g KeyPath,
    skipped: &'g Skipped,
}

enum Pending<'de> {
    Written(&'de str, &'de Node),
    Absent(String),
}

impl<'de> de::MapAccess<'de> for Entries<'de, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        for (name, node) in self.entries.by_ref() {
            let at = self.at.key(name);
            if self.skipped.left_out.contains(&at) || self.absent.contains(&name.as_str()) {
                continue;
            }
            self.pending = Some(Pending::Written(name, node));
            let key = StrDeserializer::<ReadError>::new(name);
            return seed
                .deserialize(key)
                .map(Some)
                .map_err(|error| ReadError { position: node.key, ..error }.within(&at));
        }
        let Some(name) = self.absent.pop() else { return Ok(None) };
        self.pending = Some(Pending::Absent(name.to_owned()));
        seed.deserialize(StrDeserializer::<ReadError>::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        match self.pending.take() {
            Some(Pending::Written(name, node)) => {
                let at = self.at.key(name);
                let reader = Reader { node, at: at.clone(), skipped: self.skipped };
                seed.deserialize(reader).map_err(|error| error.within(&at))
            }
            Some(Pending::Absent(name)) => {
                seed.deserialize(StandIn).map_err(|error| error.within(&self.at.key(&name)))
            }
            None => {
                Err(ReadError::new(Cause::Custom("invalid map: a value has no key".to_owned())))
            }
        }
    }
}

/// Replaces a missing value: a text that is also a URL and a path, or an empty map.
struct StandIn;

impl<'de> Deserializer<'de> for StandIn {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str("https://missing.invalid")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_map(de::value::MapDeserializer::<_, ReadError>::new(std::iter::empty::<(
            &str,
            &str,
        )>()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct enum identifier ignored_any
    }
}

/// One variant of a choice: a word, or a word with settings.
struct Choice<'de, 'g> {
    name: &'de str,
    content: Option<Reader<'de, 'g>>,
}

impl<'de, 'g> de::EnumAccess<'de> for Choice<'de, 'g> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let name: StrDeserializer<'_, ReadError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'de, '_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.content {
            None => Ok(()),
            Some(content) => {
                let cause = Cause::SettingsOfAWord { word: self.name.to_owned() };
                Err(ReadError::new(cause).within(&content.at))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        match self.content {
            Some(content) => {
                let at = content.at.clone();
                seed.deserialize(content).map_err(|error| error.within(&at))
            }
            None => seed.deserialize(NoSettings { word: self.name }),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::new(Cause::NeedsSettings { word: self.name.to_owned() }))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ReadError> {
        Err(ReadError::new(Cause::NeedsSettings { word: self.name.to_owned() }))
    }
}

/// The settings of a word that was written alone, as in `store: embedded`: all defaults.
struct NoSettings<'de> {
    word: &'de str,
}

impl<'de> Deserializer<'de> for NoSettings<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ReadError> {
        Err(ReadError::new(Cause::NeedsSettings { word: self.word.to_owned() }))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let word = self.word.to_owned();
        StandIn.deserialize_struct(name, fields, visitor).map_err(|error| match error.cause {
            Cause::Missing { .. } => ReadError::new(Cause::NeedsSettings { word }),
            _ => error,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
