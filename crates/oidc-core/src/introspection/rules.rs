//! What an answer must say before a token counts (RFC 7662 §2.2, §4). Pure.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::claims::Claims;
use crate::refusal::{TokenRefusal, quoted};
use crate::tokens::{AccessToken, Verified};
use crate::validation::Validation;

/// An answer of the introspection endpoint.
pub(super) enum Answer {
    Active(Map<String, Value>),
    Inactive,
}

impl Answer {
    /// The error says what is wrong with the answer, not with the token.
    pub(super) fn read(members: Map<String, Value>) -> Result<Self, String> {
        match members.get("active") {
            Some(Value::Bool(true)) => Ok(Self::Active(members)),
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(_) => Err("its `active` is neither true nor false".to_owned()),
            None => Err("it holds no `active`".to_owned()),
        }
    }
}

/// What an answer says that the issuer signed (RFC 9701 §5).
#[derive(Debug)]
pub(crate) struct IntrospectionResponse(Map<String, Value>);

impl IntrospectionResponse {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// The token behind an answer, if it counts here.
pub(super) fn judge(
    answer: Answer,
    validation: &Validation,
    audience_required: bool,
    now: SystemTime,
) -> Result<Verified<AccessToken>, TokenRefusal> {
    let Answer::Active(members) = answer else { return Err(TokenRefusal::Inactive) };
    check_kind(&members)?;
    let claims = Claims::from_members(members)?;
    if claims.issuer.is_some() {
        validation.check_issuer(&claims)?;
    }
    if audience_required || !claims.audience.is_empty() {
        validation.check_audience(&claims)?;
    }
    validation.check_times(&claims, now)?;
    let subject = claims.subject.clone().ok_or(TokenRefusal::MissingClaim { claim: "sub" })?;
    Ok(Verified::introspected(AccessToken::new(claims, subject)))
}

/// Refresh and ID tokens are active too: `token_type` (RFC 6749 §5.1) and Keycloak's `typ` must not
/// say that it is one.
fn check_kind(members: &Map<String, Value>) -> Result<(), TokenRefusal> {
    for (member, kinds) in [("token_type", ["bearer", "dpop"]), ("typ", ["bearer", "dpop"])] {
        let found = match members.get(member) {
            None | Some(Value::Null) => continue,
            Some(Value::String(found)) => found,
            Some(_) => {
                return Err(TokenRefusal::WrongType {
                    expected: "an access token",
                    found: format!("{member} that is no text"),
                });
            }
        };
        if !kinds.iter().any(|kind| found.eq_ignore_ascii_case(kind)) {
            return Err(TokenRefusal::WrongType {
                expected: "an access token",
                found: format!("{member} {}", quoted(found)),
            });
        }
    }
    Ok(())
}
