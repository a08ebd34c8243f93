//! `defaults`: keys that every route has unless it writes them itself.
//!
//! Before the file is read as types, they are added to each route. The type here only checks them, so that a mistake is reported
//! where it is written, also when no route needs the key.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::route::RouteConfig;

/// Keys of a route that are its own, and that no default gives.
pub(super) const OF_A_ROUTE: [&str; 3] = ["match", "upstream", "access"];

/// Keys of every route that does not write them itself.
///
/// A loaded configuration has them in its routes, and nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteDefaults;

impl<'de> Deserialize<'de> for RouteDefaults {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DefaultsVisitor)
    }
}

struct DefaultsVisitor;

impl<'de> Visitor<'de> for DefaultsVisitor {
    type Value = RouteDefaults;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys of a route, such as `{ sign_in: challenge }`")
    }

    fn visit_unit<E: Error>(self) -> Result<RouteDefaults, E> {
        Ok(RouteDefaults)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteDefaults, A::Error> {
        let keys = WithMatch { keys: map, state: State::Before };
        RouteConfig::deserialize(MapAccessDeserializer::new(keys)).map(|_| RouteDefaults)
    }
}

/// The keys, and before them the `match` that a route must have.
struct WithMatch<A> {
    keys: A,
    state: State,
}

enum State {
    Before,
    Value,
    Keys,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithMatch<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.state {
            State::Before => {
                self.state = State::Value;
                seed.deserialize(StrDeserializer::new("match")).map(Some)
            }
            State::Value | State::Keys => self.keys.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.state {
            State::Before | State::Value => {
                self.state = State::Keys;
                let empty = std::iter::empty::<(&str, &str)>();
                seed.deserialize(serde::de::value::MapDeserializer::new(empty))
            }
            State::Keys => self.keys.next_value_seed(seed),
        }
    }
}

impl JsonSchema for RouteDefaults {
    fn schema_name() -> Cow<'static, str> {
        "RouteDefaults".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = RouteConfig::json_schema(generator);
        schema.remove("required");
        let description = "Keys of every route that does not write them itself.";
        schema.insert("description".to_owned(), description.into());
        if let Some(keys) = schema.get_mut("properties").and_then(|keys| keys.as_object_mut()) {
            keys.retain(|key, _| !OF_A_ROUTE.contains(&key.as_str()));
        }
        schema
    }
}
