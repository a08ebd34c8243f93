//! The values of a document, as a reader sees them.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::document::Document;

/// The value of a claim. It borrows from the claims; [`ClaimValue::to_value`] copies it.
///
/// ```
/// let claims = oidc_core::Claims::parse(br#"{"department":"risk","realm_access":{"roles":["analyst"]}}"#)?;
/// assert_eq!(claims.get("department").and_then(|value| value.as_str()), Some("risk"));
/// let access = claims.get("realm_access").ok_or("no access")?;
/// assert_eq!(access.to_value(), serde_json::json!({"roles": ["analyst"]}));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub enum ClaimValue<'c> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(&'c str),
    /// An array.
    Array(ClaimArray<'c>),
    /// An object.
    Object(ClaimObject<'c>),
}

/// The elements of an array that are left to read.
#[derive(Clone)]
pub struct ClaimArray<'c> {
    document: &'c Document,
    at: usize,
    left: u32,
}

/// The members of an object that are left to read, in the order of the text.
#[derive(Clone)]
pub struct ClaimObject<'c> {
    document: &'c Document,
    at: usize,
    left: u32,
}

pub(crate) use ClaimArray as Array;
pub(crate) use ClaimObject as Object;

impl<'c> ClaimValue<'c> {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&'c str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `true` or `false`, if it is one of them.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is a whole one from 0 to 2⁶⁴ − 1.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The number, if it is one; a whole one may lose its last digits.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<ClaimArray<'c>> {
        match self {
            Self::Array(elements) => Some(elements.clone()),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<ClaimObject<'c>> {
        match self {
            Self::Object(members) => Some(members.clone()),
            _ => None,
        }
    }

    /// The member of this name, if it is an object that has one.
    pub fn get(&self, name: &str) -> Option<Self> {
        self.as_object()?.get(name)
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The value as `serde_json` has it.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String((*text).to_owned()),
            Self::Array(elements) => elements.clone().map(|element| element.to_value()).collect(),
            Self::Object(members) => Value::Object(members.to_map()),
        }
    }
}

impl<'c> Array<'c> {
    pub(super) fn new(document: &'c Document, at: usize, left: u32) -> Self {
        Self { document, at, left }
    }
}

impl<'c> Object<'c> {
    pub(super) fn new(document: &'c Document, at: usize, left: u32) -> Self {
        Self { document, at, left }
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<ClaimValue<'c>> {
        self.position(name).map(|at| self.document.value(at))
    }

    /// Whether there is a member of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// The members as `serde_json` has them.
    pub fn to_map(&self) -> Map<String, Value> {
        self.clone().map(|(name, value)| (name.to_owned(), value.to_value())).collect()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.document.find(self.at, self.left, name)
    }
}

impl<'c> Iterator for Array<'c> {
    type Item = ClaimValue<'c>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.document.value(self.at);
        self.at = self.document.after(self.at);
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<'c> Iterator for Object<'c> {
    type Item = (&'c str, ClaimValue<'c>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (name, after) = self.document.name(self.at)?;
        let value = self.document.value(self.at + 1);
        self.at = after;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Array<'_> {}
impl ExactSizeIterator for Object<'_> {}

impl PartialEq<Value> for ClaimValue<'_> {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Text(own), Value::String(other)) => own == other,
            _ => self.to_value() == *other,
        }
    }
}

/// Objects are equal in any order of their members.
impl PartialEq for ClaimValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        *self == other.to_value()
    }
}

impl PartialEq for Object<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_map() == other.to_map()
    }
}

impl fmt::Debug for ClaimValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => text.fmt(f),
            Self::Array(elements) => elements.fmt(f),
            Self::Object(members) => members.fmt(f),
        }
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
