//! JSON as Python values. Each reading makes new values: nothing that is remembered can be changed by a caller.

use oidc_core::token::{ClaimObject, ClaimValue};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use serde_json::Number;

/// `value` as Python has it.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    value: &ClaimValue<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        ClaimValue::Null => py.None().into_bound(py),
        ClaimValue::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        ClaimValue::Number(number) => return number_to_python(py, number),
        ClaimValue::Text(text) => PyString::new(py, text).into_any(),
        ClaimValue::Array(items) => {
            let list = PyList::empty(py);
            for item in items.clone() {
                list.append(to_python(py, &item)?)?;
            }
            list.into_any()
        }
        ClaimValue::Object(members) => object_to_python(py, members.clone())?.into_any(),
    })
}

/// A JSON object as a `dict`.
pub(crate) fn object_to_python<'py>(
    py: Python<'py>,
    members: ClaimObject<'_>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in members {
        dict.set_item(name, to_python(py, &value)?)?;
    }
    Ok(dict)
}

fn number_to_python<'py>(py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyAny>> {
    if let Some(whole) = number.as_u64() {
        return Ok(whole.into_pyobject(py)?.into_any());
    }
    if let Some(whole) = number.as_i64() {
        return Ok(whole.into_pyobject(py)?.into_any());
    }
    Ok(PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any())
}
