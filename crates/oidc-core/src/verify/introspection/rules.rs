//! Rules for an answer before a token is accepted (RFC 7662 §2.2, §4). Pure.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::foreign_text::quoted;
use crate::refusal::TokenRefusal;
use crate::token::{AccessToken, Claims};
use crate::verify::{Validation, Verified};

/// An answer of the introspection endpoint.
pub(super) enum Answer {
    Active(Map<String, Value>),
    Inactive,
}

impl Answer {
    /// The error describes the answer's problem, not the token's.
    pub(super) fn read(members: Map<String, Value>) -> Result<Self, String> {
        match members.get("active") {
            Some(Value::Bool(true)) => Ok(Self::Active(members)),
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(_) => Err("its `active` is neither true nor false".to_owned()),
            None => Err("it holds no `active`".to_owned()),
        }
    }
}

/// The token of an answer, if it is valid here.
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
        validation.check_access_token_issuer(&claims)?;
    }
    if audience_required || !claims.audience.is_empty() {
        validation.check_audience(&claims)?;
    }
    validation.check_times(&claims, now)?;
    validation.check_binding(&claims)?;
    Ok(Verified::introspected(validation.named(claims)?, validation.issuer()))
}

/// Refresh and ID tokens are active too: refuses them by `token_type` (RFC 6749 §5.1) and
/// Keycloak's `typ`.
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Answer, judge};
    use crate::verify::Validation;

    /// Values that a member may have, must not have, or that resemble the expected ones.
    fn value() -> impl Strategy<Value = Value> {
        let values = [
            json!(null),
            json!(true),
            json!(false),
            json!("true"),
            json!(0),
            json!(-1),
            json!(2_000_000_000_u64),
            json!(1e300),
            json!(""),
            json!("hub"),
            json!(["hub"]),
            json!(["hub", 1]),
            json!({}),
            json!([]),
            json!("Bearer"),
            json!("Refresh"),
            json!("https://id.example"),
            json!("https://id.example/"),
        ];
        proptest::sample::select(values.to_vec())
    }

    proptest! {
        #[test]
        fn only_an_active_token_for_here_counts(
            members in proptest::collection::hash_map(
                proptest::sample::select(vec![
                    "active", "aud", "iss", "sub", "exp", "nbf", "iat", "typ", "token_type", "scope",
                ]),
                value(),
                0..10,
            ),
        ) {
            let good = json!({"active": true, "aud": "hub", "sub": "s", "iss": "https://id.example"});
            let Value::Object(mut answer) = good else { unreachable!() };
            answer.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
            let validation = Validation::new("https://id.example".parse().unwrap(), "hub");
            let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            let said = Value::Object(answer.clone());
            let Ok(answer) = Answer::read(answer) else {
                prop_assert!(!said["active"].is_boolean());
                return Ok(());
            };
            if let Ok(token) = judge(answer, &validation, true, now) {
                prop_assert_eq!(&said["active"], &json!(true));
                prop_assert!(said["aud"] == "hub" || said["aud"] == json!(["hub"]));
                prop_assert!(said["iss"] == "https://id.example" || said["iss"].is_null());
                prop_assert!(!token.subject().is_empty());
                prop_assert!(said["typ"] != "Refresh" && said["token_type"] != "Refresh");
                prop_assert!(token.expires_at.is_none_or(|ends| ends > now));
            }
        }
    }
}
