//! Strict JSON that parsers cannot read differently (RFC 8259; RFC 7519 §4: duplicate names are
//! refused).
//!
//! An object at the top, UTF-8, no member twice at any depth, nothing after the end, bounded depth.
//!
//! A program may build `serde_json` with its feature `arbitrary_precision`, which delivers a number as an object with one
//! member of a reserved name. Text that holds this name is refused, so such an object is always a number.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

mod document;
mod value;
pub(crate) use document::Document;
pub use value::{ClaimArray, ClaimObject, ClaimValue};

/// Nesting limit of arrays and objects.
const MAX_DEPTH: usize = 32;

/// Reads one JSON object with arrays and objects nested at most `deepest` levels.
///
/// A member that is repeated at any depth is refused: two readers could take different values.
///
/// ```
/// # use oidc_core::strict_json;
/// let message = strict_json(br#"{ "method": "tools/list" }"#, 32)?;
/// assert_eq!(message["method"], "tools/list");
/// assert!(strict_json(br#"{ "method": "a", "method": "b" }"#, 32).is_err());
/// # Ok::<(), oidc_core::NotStrictJson>(())
/// ```
///
/// # Errors
///
/// [`NotStrictJson`]
pub fn strict_json(bytes: &[u8], deepest: usize) -> Result<Map<String, Value>, NotStrictJson> {
    read(bytes, Strict { levels: deepest, repeats: false })
        .map_err(|reason| NotStrictJson { reason })
}

/// Text that is not one JSON object, or that two readers could read differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotStrictJson {
    /// Position and cause; it quotes no value.
    pub reason: String,
}

/// Reads one JSON object.
///
/// The error is the parser's message; it names position and cause and quotes no values.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    read(bytes, Strict { levels: MAX_DEPTH, repeats: false })
}

/// Like [`parse_object`], but a member of the top object may be repeated with the same value, which
/// is not ambiguous either.
#[cfg(feature = "login")]
pub(crate) fn parse_object_with_repeats(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    read(bytes, Strict { levels: MAX_DEPTH, repeats: true })
}

/// Like [`parse_object`], member by member, for a reader that keeps only a few of them.
///
/// Values passed to `take` are valid only when this returns `Ok`.
pub(crate) fn read_members(bytes: &[u8], take: impl FnMut(&str, Value)) -> Result<(), String> {
    let text = utf8(bytes)?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(NO_OBJECT.to_owned());
    }
    with(text, |deserializer| deserializer.deserialize_map(Members { take }))
}

fn read(bytes: &[u8], strict: Strict) -> Result<Map<String, Value>, String> {
    match with(utf8(bytes)?, |deserializer| strict.deserialize(deserializer))? {
        Value::Object(members) => Ok(members),
        _ => Err(NO_OBJECT.to_owned()),
    }
}

const NO_OBJECT: &str = "it is not a JSON object";

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    match text.contains(NUMBER) {
        true => Err("it holds a name that is reserved for numbers".to_owned()),
        false => Ok(text),
    }
}

/// Name of the only member of a number under `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// The number with these digits, as it is without `arbitrary_precision`.
fn number<E: Error>(digits: &str) -> Result<Value, E> {
    if let Ok(whole) = digits.parse::<u64>() {
        return Ok(Value::Number(whole.into()));
    }
    if let Ok(whole) = digits.parse::<i64>() {
        return Ok(Value::Number(whole.into()));
    }
    let broken = digits.parse().ok().and_then(Number::from_f64);
    broken.map(Value::Number).ok_or_else(|| E::custom("number out of range"))
}

/// Reads `text` to its end.
fn with<'t, T>(
    text: &'t str,
    read: impl FnOnce(&mut Text<'t>) -> Result<T, serde_json::Error>,
) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = read(&mut deserializer).map_err(|error| {
        format!("it is not strict JSON: {}", crate::foreign_text::bounded(&error.to_string()))
    })?;
    deserializer.end().map_err(|_| "something follows the JSON object".to_owned())?;
    Ok(value)
}

type Text<'t> = serde_json::Deserializer<serde_json::de::StrRead<'t>>;

#[derive(Clone, Copy)]
struct Strict {
    /// Levels of arrays and objects that may follow.
    levels: usize,
    repeats: bool,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, repeats: false }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key_seed(Name)? {
            // Borrowed: a text that spells the name with escapes is not a number.
            if matches!(name, Cow::Borrowed(NUMBER)) {
                return number(&access.next_value::<String>()?);
            }
            let value = access.next_value_seed(inner)?;
            match members.entry(name.into_owned()) {
                Entry::Vacant(place) => drop(place.insert(value)),
                Entry::Occupied(former) if self.repeats && *former.get() == value => {}
                Entry::Occupied(_) => return Err(A::Error::custom(TWICE)),
            }
        }
        Ok(Value::Object(members))
    }
}

const TWICE: &str = "a member is repeated";

/// The object at the top; passes each member on as it is read.
struct Members<F> {
    take: F,
}

impl<'de, F: FnMut(&str, Value)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let inner = Strict { levels: MAX_DEPTH - 1, repeats: false };
        let mut names: Vec<Cow<'de, str>> = Vec::new();
        while let Some(name) = access.next_key_seed(Name)? {
            (self.take)(&name, access.next_value_seed(inner)?);
            names.push(name);
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(A::Error::custom(TWICE));
        }
        Ok(())
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
    use super::{parse_object, read_members};

    #[test]
    fn an_ordinary_object_is_read() {
        for good in [
            r#"{}"#,
            r#" {"a":1,"b":[1,2.5,-3,null,true,"x"],"c":{"a":1}} "#,
            r#"{"n":1234567890123}"#,
        ] {
            let read = parse_object(good.as_bytes()).unwrap();
            let mut members = serde_json::Map::new();
            let taken = read_members(good.as_bytes(), |name, value| {
                members.insert(name.to_owned(), value);
            });
            assert_eq!((taken, &members), (Ok(()), &read), "{good}");
        }
    }

    #[test]
    fn text_with_two_readings_is_refused() {
        for bad in [
            &br#"{"a":1,"a":1}"#[..],
            br#"{"a":1,"\u0061":2}"#,
            br#"{"x":{"a":1,"a":2}}"#,
            br#"{"x":[{"a":1,"a":2}]}"#,
            br#"{"a":1}{}"#,
            br#"{"a":1}x"#,
            br#"{"a":1,}"#,
            br#"{'a':1}"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e999}"#,
            br#"{"a":01}"#,
            br#"[]"#,
            br#""a""#,
            b"",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
            br#"{"a":"\ud800"}"#,
        ] {
            assert!(parse_object(bad).is_err(), "{}", String::from_utf8_lossy(bad));
            assert!(read_members(bad, |_, _| {}).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[cfg(feature = "login")]
    #[test]
    fn equal_repeated_members_are_read_where_allowed() {
        let read = super::parse_object_with_repeats;
        assert_eq!(read(br#"{"a":"x","b":1,"a":"x"}"#).unwrap().len(), 2);
        for bad in [r#"{"a":1,"a":2}"#, r#"{"a":1,"a":"1"}"#, r#"{"x":{"a":1,"a":1}}"#] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_may_arrive_with_its_digits() {
        use serde::de::DeserializeSeed as _;
        use serde::de::value::{BorrowedStrDeserializer, MapDeserializer};

        use super::{MAX_DEPTH, NUMBER, Strict};

        type Failure = serde::de::value::Error;
        let read = |digits: &'static str| {
            let member = (BorrowedStrDeserializer::<Failure>::new(NUMBER), digits);
            let number = MapDeserializer::new(std::iter::once(member));
            Strict { levels: MAX_DEPTH - 1, repeats: false }.deserialize(number)
        };
        for digits in ["0", "18446744073709551615", "-3", "2.5", "1e3"] {
            let plain: serde_json::Value = serde_json::from_str(digits).unwrap();
            assert_eq!(read(digits).unwrap(), plain, "{digits}");
        }
        assert!(read("1e999").is_err());
        for forged in [
            r#"{"exp":{"$serde_json::private::Number":"9999999999"}}"#,
            r#"{"exp":"$serde_json::private::Number"}"#,
        ] {
            assert!(parse_object(forged.as_bytes()).is_err(), "{forged}");
        }
        let escaped = r#"{"exp":{"\u0024serde_json::private::Number":"9999999999"}}"#;
        assert!(parse_object(escaped.as_bytes()).unwrap()["exp"].is_object());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        for (depth, good) in [(31, true), (32, false), (100_000, false)] {
            assert_eq!(parse_object(nested(depth).as_bytes()).is_ok(), good, "{depth}");
            assert_eq!(read_members(nested(depth).as_bytes(), |_, _| {}).is_ok(), good, "{depth}");
        }
    }
}
