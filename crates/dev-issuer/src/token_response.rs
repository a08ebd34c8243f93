//! Successful answer of the token endpoint ([RFC 6749 §5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).

use std::fmt;

use serde_json::{Value, json};

/// A successful answer ([RFC 6749 §5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
#[derive(Clone)]
pub struct TokenResponse {
    /// The access token: a JWT, or an opaque token for clients that get those.
    pub access_token: String,
    /// The ID token, if `openid` was requested on behalf of a person.
    pub id_token: Option<String>,
    /// The refresh token; machines get none.
    pub refresh_token: Option<String>,
    /// `Bearer`, or `DPoP` for tokens that are bound to a key.
    pub token_type: &'static str,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// Seconds until the refresh token expires; 0 without one.
    pub refresh_expires_in: u64,
    /// The granted scope.
    pub scope: String,
    /// The single sign-on session, also in `sid`.
    pub session_state: Option<String>,
}

impl TokenResponse {
    pub(crate) fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.access_token,
            "expires_in": self.expires_in,
            "refresh_expires_in": self.refresh_expires_in,
            "token_type": self.token_type,
            "not-before-policy": 0,
            "scope": self.scope,
        });
        let optional = [
            ("id_token", &self.id_token),
            ("refresh_token", &self.refresh_token),
            ("session_state", &self.session_state),
        ];
        if let Value::Object(body) = &mut body {
            for (name, value) in optional {
                if let Some(value) = value {
                    body.insert(name.to_owned(), json!(value));
                }
            }
        }
        body
    }
}

/// Leaves out the tokens, which are secrets.
impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
