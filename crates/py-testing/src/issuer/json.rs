//! Python values as JSON.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use serde_json::{Map, Number, Value};

/// Deeper values are refused: they would exhaust the stack.
const DEEPEST: usize = 64;

/// Converts `value` as Python's `json` module would write it.
///
/// # Errors
/// `TypeError` for what JSON does not have, `ValueError` for numbers it cannot write.
pub(super) fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(value, 0)
}

fn read(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > DEEPEST {
        return Err(PyValueError::new_err(format!("nested deeper than {DEEPEST} levels")));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::String(text.to_str()?.to_owned()));
    }
    if value.is_instance_of::<PyInt>() {
        let whole = value.extract::<i64>().map(Number::from);
        let whole = whole.or_else(|_| value.extract::<u64>().map(Number::from));
        return whole
            .map(Value::Number)
            .map_err(|_| PyValueError::new_err("an integer of more than 64 bits"));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        let finite = Number::from_f64(number.value());
        return finite
            .map(Value::Number)
            .ok_or_else(|| PyValueError::new_err("JSON has neither NaN nor infinity"));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let mut members = Map::new();
        for (name, value) in dict {
            members.insert(name.extract()?, read(&value, depth + 1)?);
        }
        return Ok(Value::Object(members));
    }
    if value.hasattr("__iter__")? {
        let items = value.try_iter()?.map(|item| read(&item?, depth + 1));
        return Ok(Value::Array(items.collect::<PyResult<_>>()?));
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("JSON has no {kind}")))
}
