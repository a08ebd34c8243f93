//! Signed answers of an issuer other than tokens, after verification.

use serde_json::{Map, Value};

#[cfg(feature = "login")]
use crate::refusal::TokenRefusal;
#[cfg(feature = "login")]
use crate::token::Claims;

/// Parameters of an answer that the provider signed.
#[cfg(feature = "login")]
#[derive(Debug)]
pub(crate) struct AuthorizationResponse {
    claims: Claims,
}

#[cfg(feature = "login")]
impl AuthorizationResponse {
    /// Returns an error when a parameter is not text.
    pub(crate) fn new(claims: Claims) -> Result<Self, TokenRefusal> {
        for claim in ["state", "code", "error", "error_description"] {
            if claims.member(claim).is_some_and(|value| value.as_str().is_none()) {
                return Err(TokenRefusal::InvalidClaim { claim, reason: "it is not text" });
            }
        }
        Ok(Self { claims })
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.claims.member(name)?.as_str()
    }
}

/// The claims of an answer that the issuer signed (RFC 9701 §5).
#[derive(Debug)]
pub(crate) struct IntrospectionResponse(Map<String, Value>);

impl IntrospectionResponse {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}
