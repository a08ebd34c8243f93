//! Claims and the request as values of the expression language. A claim is converted when an expression asks for it.

use std::collections::HashMap;

use cel::{
    ExecutionError,
    common::{
        traits::{Container, Indexer},
        types::{
            CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
            MAP_TYPE, Type,
        },
        value::{CowVal, Val},
    },
};
use serde_json::{Map, Value};

use crate::request::AccessRequest;

/// `claims`: its members can be read, and nothing else; it is compared with nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members<'a>(pub(super) &'a Map<String, Value>);

/// The members of `request`.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestMembers<'a>(pub(super) &'a AccessRequest<'a>);

fn boxed(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(values) => {
            Box::new(CelList::from(values.iter().map(boxed).collect::<Vec<_>>()))
        }
        Value::Object(members) => {
            let keys =
                members.iter().map(|(name, value)| (CelMapKey::from(name.as_str()), boxed(value)));
            Box::new(CelMap::from(keys.collect::<HashMap<_, _>>()))
        }
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Box::new(CelInt::from(number)),
            (None, Some(number), _) => Box::new(CelUInt::from(number)),
            (None, None, Some(number)) => Box::new(CelDouble::from(number)),
            (None, None, None) => Box::new(CelNull),
        },
    }
}

fn name_of(index: &dyn Val) -> Result<&str, ExecutionError> {
    let name = index.downcast_ref::<CelString<'_>>().map(|name| name.inner());
    name.ok_or_else(|| ExecutionError::UnexpectedType {
        got: index.get_type().name().to_owned(),
        want: "string".to_owned(),
    })
}

impl<'a> Val for Members<'a> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Members<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = name_of(index)?;
        let value = self.0.get(name).ok_or_else(|| ExecutionError::no_such_key(name))?;
        Ok(CowVal::Owned(boxed(value)))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Container for Members<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.0.contains_key(name_of(key)?))
    }
}

impl Val for RequestMembers<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for RequestMembers<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let text = match name_of(index)? {
            "method" => self.0.method.as_str(),
            "host" => self.0.host,
            name => return Err(ExecutionError::no_such_key(name)),
        };
        Ok(CowVal::owned(CelString::from(text)))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}
