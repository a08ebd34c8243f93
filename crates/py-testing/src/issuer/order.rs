//! Reads what Python says about a person or a token into the types of `dev-issuer`.

use dev_issuer::{Algorithm, Mint, Product, UnknownAlgorithm, UnknownProduct, User};
use py_values::{Span, Texts};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value, json};

use super::json;

pub(super) fn person(
    username: &str,
    password: Option<&str>,
    subject: Option<&str>,
    name: Option<&str>,
    email: Option<&str>,
) -> User {
    let mut user = User::new(username, password.unwrap_or(username));
    if let Some(subject) = subject {
        user = user.subject(subject);
    }
    if let Some(name) = name {
        user = user.name(name);
    }
    if let Some(email) = email {
        user = user.email(email);
    }
    user
}

/// A token on order: `kind` is `access`, `id`, `refresh`, `logout` or `service`; the options are keyword arguments of
/// `doorward.testing.Issuer.mint`, those left out absent.
pub(super) fn token(kind: &str, about: &str, options: &Bound<'_, PyDict>) -> PyResult<Mint> {
    let mut order = match kind {
        "access" => Mint::access(about),
        "id" => Mint::id(about),
        "refresh" => Mint::refresh(about),
        "logout" => Mint::logout(about),
        "service" => Mint::service(about),
        other => return Err(PyValueError::new_err(format!("unknown kind of token {other:?}"))),
    };
    for (name, value) in options {
        let name: String = name.extract()?;
        order = apply(order, &name, &value)?;
    }
    Ok(order)
}

fn apply(order: Mint, option: &str, value: &Bound<'_, PyAny>) -> PyResult<Mint> {
    Ok(match option {
        "client" => order.client(value.extract::<String>()?),
        "audience" => order.audience(value.extract::<Texts>()?.0),
        "scope" => order.scope(value.extract::<Texts>()?.0.join(" ")),
        "issuer" => order.issuer(value.extract::<String>()?),
        "expires_in" => order.expires_in(value.extract::<Span>()?.0),
        "not_before_in" => order.not_before_in(value.extract::<Span>()?.0),
        "expired" if value.is_truthy()? => order.expired(),
        "wrong_key" if value.is_truthy()? => order.wrong_key(),
        "unsigned" if value.is_truthy()? => order.unsigned(),
        "hmac_with_public_key" if value.is_truthy()? => order.hmac_with_public_key(),
        "expired" | "wrong_key" | "unsigned" | "hmac_with_public_key" => order,
        "algorithm" => order.algorithm(signed_with(&value.extract::<String>()?)?),
        "roles" => order.claim("realm_access", roles_of(value)?),
        "client_roles" => {
            let mut at = Map::new();
            for (client, roles) in value.cast::<PyDict>()? {
                at.insert(client.extract()?, roles_of(&roles)?);
            }
            order.claim("resource_access", at)
        }
        "groups" => order.claim("groups", value.extract::<Texts>()?.0),
        "claims" => {
            let mut order = order;
            for (name, value) in value.cast::<PyDict>()? {
                order = order.claim(name.extract::<String>()?, json::from_python(&value)?);
            }
            order
        }
        "header" => {
            let mut order = order;
            for (name, value) in value.cast::<PyDict>()? {
                order = order.header(name.extract::<String>()?, json::from_python(&value)?);
            }
            order
        }
        "without" => value.extract::<Texts>()?.0.into_iter().fold(order, Mint::without),
        other => return Err(PyValueError::new_err(format!("unknown option of mint {other:?}"))),
    })
}

/// Roles as Keycloak writes them, in the realm and at a client alike.
fn roles_of(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(json!({ "roles": value.extract::<Texts>()?.0 }))
}

pub(super) fn in_product(name: &str) -> PyResult<Product> {
    name.parse().map_err(|error: UnknownProduct| PyValueError::new_err(error.to_string()))
}

pub(super) fn signed_with(name: &str) -> PyResult<Algorithm> {
    name.parse().map_err(|error: UnknownAlgorithm| PyValueError::new_err(error.to_string()))
}
