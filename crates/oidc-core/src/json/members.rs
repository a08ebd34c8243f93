//! The members of one JSON object: checked at once, each built when it is first read.
//!
//! A verifier needs a few claims of a token and most callers need few of the others, so the tree of
//! all of them is built only for a caller that asks for it. The text is judged as strictly as
//! [`parse_object`](super::parse_object) judges it, before any of it is used.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{MAX_DEPTH, NUMBER, Name, Strict, distinct, number, object, utf8, with};

/// The members of an object that is valid as a whole.
#[derive(Clone, Default)]
pub(crate) struct Members {
    text: Box<str>,
    /// In the order of the text; empty if the tree was given instead of a text.
    parts: Vec<Part>,
    whole: OnceLock<Map<String, Value>>,
}

/// The place of a member in the text, and its value once it was read.
#[derive(Clone)]
struct Part {
    name: Range<u32>,
    value: Range<u32>,
    built: OnceLock<Value>,
}

impl Members {
    /// Reads one JSON object.
    ///
    /// The error is the parser's message; it names position and cause and quotes no values.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(utf8(error.as_bytes()).err().unwrap_or_default()),
        };
        utf8(text.as_bytes())?;
        object(&text)?;
        let Some(parts) = with(&text, |deserializer| deserializer.deserialize_map(Top(&text)))?
        else {
            return super::parse_object(text.as_bytes()).map(Self::from);
        };
        Ok(Self { text: text.into_boxed_str(), parts, whole: OnceLock::new() })
    }

    /// The value of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        match self.whole.get() {
            Some(whole) => whole.get(name),
            None => self.part(name).map(|part| part.built.get_or_init(|| self.read(part))),
        }
    }

    /// Whether there is a member of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self.whole.get() {
            Some(whole) => whole.contains_key(name),
            None => self.part(name).is_some(),
        }
    }

    /// Passes the name of each member on, with the value of those for which `wanted` answers yes.
    pub(crate) fn each<E>(
        &self,
        wanted: impl Fn(&str) -> bool,
        mut take: impl FnMut(&str, Value) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.parts.is_empty() {
            let whole = self.all().iter().filter(|(name, _)| wanted(name));
            return whole.into_iter().try_for_each(|(name, value)| take(name, value.clone()));
        }
        for part in &self.parts {
            let name = self.slice(&part.name);
            if wanted(name) {
                take(name, self.read(part))?;
            }
        }
        Ok(())
    }

    /// All members.
    pub(crate) fn all(&self) -> &Map<String, Value> {
        self.whole.get_or_init(|| {
            let value = |part: &Part| match part.built.get() {
                Some(value) => value.clone(),
                None => self.read(part),
            };
            self.parts.iter().map(|part| (self.slice(&part.name).to_owned(), value(part))).collect()
        })
    }

    fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| self.slice(&part.name) == name)
    }

    fn read(&self, part: &Part) -> Value {
        let text = self.slice(&part.value);
        if let Some(plain) = plain(text) {
            return Value::String(plain.to_owned());
        }
        let strict = Strict { levels: MAX_DEPTH - 1, repeats: false };
        // The whole text was read by the same rules, so there is no error.
        with(text, |deserializer| strict.deserialize(deserializer)).unwrap_or_default()
    }

    fn slice(&self, place: &Range<u32>) -> &str {
        self.text.get(place.start as usize..place.end as usize).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for Members {
    fn from(whole: Map<String, Value>) -> Self {
        Self { whole: OnceLock::from(whole), ..Self::default() }
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().fmt(f)
    }
}

/// The object at the top, whose text this is: the places of its members, or `None` if a name is
/// written with escapes.
struct Top<'t>(&'t str);

impl<'t> Visitor<'t> for Top<'t> {
    type Value = Option<Vec<Part>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut parts, mut names) = (Vec::with_capacity(32), Vec::with_capacity(32));
        let mut plain = true;
        while let Some(name) = access.next_key_seed(Name)? {
            let value = access.next_value::<&'t RawValue>()?.get();
            check(value).map_err(A::Error::custom)?;
            match (&name, self.place(value)) {
                (Cow::Borrowed(name), Some(value)) if plain => {
                    let place =
                        self.place(name).map(|name| Part { name, value, built: OnceLock::new() });
                    plain = place.is_some();
                    parts.extend(place);
                }
                _ => plain = false,
            }
            names.push(name);
        }
        distinct(&mut names)?;
        Ok(plain.then_some(parts))
    }
}

impl Top<'_> {
    /// The place of a slice of the text.
    fn place(&self, slice: &str) -> Option<Range<u32>> {
        let start = (slice.as_ptr() as usize).checked_sub(self.0.as_ptr() as usize)?;
        let end = start.checked_add(slice.len()).filter(|end| *end <= self.0.len())?;
        Some(u32::try_from(start).ok()?..u32::try_from(end).ok()?)
    }
}

/// Refuses what a value that the parser passed over may still have wrong: a member twice, too deep
/// nesting, a number out of range, half a surrogate pair.
fn check(value: &str) -> Result<(), String> {
    match value.as_bytes() {
        [b't' | b'f' | b'n', ..] => Ok(()),
        _ if plain(value).is_some() => Ok(()),
        _ => {
            let mut deserializer = serde_json::Deserializer::from_str(value);
            Checked { levels: MAX_DEPTH - 1 }.deserialize(&mut deserializer).map_err(|error| {
                let text = error.to_string();
                // The position is within the value; the parser of the whole text adds its own.
                text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
            })
        }
    }
}

/// The content of a string that is written without escapes.
fn plain(value: &str) -> Option<&str> {
    let content = value.strip_prefix('"')?.strip_suffix('"')?;
    (!content.as_bytes().contains(&b'\\')).then_some(content)
}

/// Reads a value as [`Strict`] does and keeps nothing of it.
#[derive(Clone, Copy)]
struct Checked {
    levels: usize,
}

impl Checked {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let Strict { levels, .. } = Strict { levels: self.levels, repeats: false }.deeper()?;
        Ok(Self { levels })
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        Strict { levels: self.levels, repeats: false }.visit_f64(value).map(drop)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while sequence.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Vec::new();
        while let Some(name) = access.next_key_seed(Name)? {
            // Borrowed: a text that spells the name with escapes is not a number.
            if matches!(name, Cow::Borrowed(NUMBER)) {
                return number(&access.next_value::<String>()?).map(drop);
            }
            access.next_value_seed(inner)?;
            names.push(name);
        }
        distinct(&mut names)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::parse_object;
    use super::Members;

    fn parse(text: &[u8]) -> Result<Members, String> {
        Members::parse(text.to_vec())
    }

    #[test]
    fn members_are_those_of_the_whole_tree() {
        for text in [
            r#"{}"#,
            r#" {"a":1,"b":[1,2.5,-3,null,true,"x"],"c":{"a":1,"b":{"a":"\u00e9"}}} "#,
            r#"{"a":"with \"escapes\" \ud83d\ude00","é":"é","":{}}"#,
            r#"{"\u0061":1,"b":{"c":2}}"#,
            r#"{"n":18446744073709551615,"m":-9223372036854775808,"f":1.5e3}"#,
        ] {
            let whole = parse_object(text.as_bytes()).unwrap();
            let members = parse(text.as_bytes()).unwrap();
            for (name, value) in &whole {
                assert_eq!(members.get(name), Some(value), "{text}");
                assert!(members.contains(name));
            }
            assert_eq!((members.get("absent"), members.contains("absent")), (None, false));
            assert_eq!(members.all(), &whole, "{text}");
            assert_eq!(members.get("b"), whole.get("b"));
            assert_eq!(members, Members::from(whole.clone()));
            assert_eq!(format!("{members:?}"), format!("{whole:?}"));
        }
    }

    #[test]
    fn only_wanted_members_are_passed_on() {
        let members = parse(br#"{"a":1,"b":"x","c":[true]}"#).unwrap();
        for members in [&members, &Members::from(members.all().clone())] {
            let mut taken = Vec::new();
            let all = members.each(
                |name| name != "b",
                |name, value| {
                    taken.push((name.to_owned(), value));
                    Ok::<_, String>(())
                },
            );
            assert_eq!(all, Ok(()));
            assert_eq!(taken, [("a".to_owned(), json!(1)), ("c".to_owned(), json!([true]))]);
            assert_eq!(members.each(|_| true, |name, _| Err(name.to_owned())), Err("a".to_owned()));
        }
    }

    #[test]
    fn texts_are_refused_as_for_the_whole_tree() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        let (deep, deeper) = (nested(31), nested(32));
        let many = |last: &str| {
            let names: String = (0..100).map(|n| format!("\"a{n}\":0,")).collect();
            format!("{{{names}\"{last}\":0}}")
        };
        for text in [
            &br#"{"a":1,"a":1}"#[..],
            br#"{"a":1,"\u0061":2}"#,
            br#"{"x":{"a":1,"a":2}}"#,
            br#"{"x":{"a":1,"\u0061":2}}"#,
            br#"{"x":[{"a":1,"a":2}]}"#,
            br#"{"a":1}{}"#,
            br#"{"a":1}x"#,
            br#"{"a":1,}"#,
            br#"{'a':1}"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e999}"#,
            br#"{"a":[1e999]}"#,
            br#"{"a":-1e999}"#,
            br#"{"a":01}"#,
            br#"{"a":nul}"#,
            br#"{"a":truee}"#,
            br#"{"a":"\x"}"#,
            b"{\"a\":\"\x01\"}",
            br#"[]"#,
            br#""a""#,
            b"",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
            br#"{"a":"\ud800"}"#,
            br#"{"a":["\udc00\ud800"]}"#,
            br#"{"\ud800":1}"#,
            br#"{"exp":{"$serde_json::private::Number":"9999999999"}}"#,
            many("a7").as_bytes(),
            deep.as_bytes(),
            deeper.as_bytes(),
            nested(100_000).as_bytes(),
        ] {
            let shown = String::from_utf8_lossy(text.get(..60).unwrap_or(text));
            let (whole, members) = (parse_object(text), parse(text));
            assert_eq!(whole.is_err(), members.is_err(), "{shown}");
            assert_eq!(whole.is_ok(), text == deep.as_bytes(), "{shown}");
        }
        assert_eq!(parse(many("a100").as_bytes()).unwrap().all().len(), 101);
    }

    #[test]
    fn a_value_is_built_once() {
        let members = parse(br#"{"a":{"b":"c"},"d":1}"#).unwrap();
        let first: *const Value = members.get("a").unwrap();
        assert!(std::ptr::eq(first, members.get("a").unwrap()));
    }
}
