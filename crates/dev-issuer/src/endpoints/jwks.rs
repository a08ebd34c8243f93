//! The published keys ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use crate::faults::{Endpoint, Fault};
use crate::provider::Provider;

pub(crate) async fn show(State(provider): State<Arc<Provider>>) -> Response {
    let mut keys = match provider.faults.active(Endpoint::Jwks) {
        Fault::NoKeys => json!({ "keys": [] }),
        _ => provider.keys.jwk_set(),
    };
    if !provider.dialect.lock().names_keys() {
        let keys = keys.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten();
        keys.filter_map(Value::as_object_mut).for_each(|key| drop(key.remove("kid")));
    }
    ([(CACHE_CONTROL, "no-cache")], Json(keys)).into_response()
}
