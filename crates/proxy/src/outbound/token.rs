//! `GET /token`: a token for a program that calls a service itself.

use std::time::SystemTime;

use http::{HeaderValue, Response, header};
use m2m::AccessToken;
use url::form_urlencoded;

use super::refused::Refused;
use crate::listen::Body;

/// The tokens that a query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Those of the target with this audience.
    Audience(String),
    /// Those of the target with this name.
    Target(String),
}

impl Asked {
    /// Reads a query: exactly one parameter, `audience` or `target`.
    pub(super) fn of(query: Option<&str>) -> Result<Self, Refused> {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let (Some((name, value)), None) = (pairs.next(), pairs.next()) else {
            return Err(Refused::Query("it must have one parameter"));
        };
        if value.is_empty() {
            return Err(Refused::Query("the parameter has no value"));
        }
        match &*name {
            "audience" => Ok(Self::Audience(value.into_owned())),
            "target" => Ok(Self::Target(value.into_owned())),
            _ => Err(Refused::Query("unknown parameter")),
        }
    }
}

/// The answer with a token (RFC 6749 §5.1).
pub(super) fn answer(token: &AccessToken, now: SystemTime) -> Response<Body> {
    let left = |at: SystemTime| at.duration_since(now).unwrap_or_default().as_secs();
    let mut document = serde_json::json!({
        "access_token": token.secret().expose(),
        "token_type": token.token_type().as_str(),
    });
    if let (Some(expires_at), Some(members)) = (token.expires_at(), document.as_object_mut()) {
        members.insert("expires_in".to_owned(), left(expires_at).into());
    }
    let mut response = Response::new(Body::from(document.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_target_in_one_way() {
        let audience = Asked::of(Some("audience=https%3A%2F%2Fchurn")).unwrap();
        assert_eq!(audience, Asked::Audience("https://churn".to_owned()));
        assert_eq!(Asked::of(Some("target=churn")).unwrap(), Asked::Target("churn".to_owned()));
        for query in [
            None,
            Some(""),
            Some("audience="),
            Some("audience"),
            Some("scope=admin"),
            Some("audience=a&audience=b"),
            Some("audience=a&target=b"),
            Some("audience=a&scope=admin"),
        ] {
            assert!(Asked::of(query).is_err(), "{query:?}");
        }
    }
}
