//! Reads a successful answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core 1.0 §3.1.3.3).
//!
//! Strict where a value is used as a credential or decides how it is used; lenient where providers
//! differ and no check needs the value. Errors name the member and never its value.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::{LONGEST, TokenEndpointError, TokenSet, TokenType};
use crate::client::grant::ACCESS_TOKEN;
use crate::jose;
use crate::json;
use crate::secret::Secret;
use crate::token::Scope;

impl TokenSet {
    /// Reads the body of a successful answer; `bound` if a proof of possession was sent.
    pub(crate) fn parse(
        body: &[u8],
        now: SystemTime,
        bound: bool,
    ) -> Result<Self, TokenEndpointError> {
        let members = json::parse_object(body)
            .map_err(|reason| TokenEndpointError::InvalidResponse { reason })?;
        let issued_token_type = text(&members, "issued_token_type")?.map(str::to_owned);
        let token_type = token_type(&members, issued_token_type.as_deref(), bound)?;
        let access_token = text(&members, "access_token")?;
        let access_token = Secret::from(
            access_token.ok_or_else(|| invalid("access_token", "is missing or empty"))?,
        );
        let after = |lifetime: Duration| now + lifetime.min(LONGEST);
        let secret = |name| Ok::<_, TokenEndpointError>(text(&members, name)?.map(Secret::from));
        let expires_at = members.get("expires_in").and_then(seconds).map(after);
        // Keycloak writes 0 for a refresh token that does not expire (offline_access).
        let refresh_expires_in = members
            .get("refresh_expires_in")
            .and_then(seconds)
            .filter(|lifetime| !lifetime.is_zero());
        Ok(Self {
            expires_at: expires_at.or_else(|| jose::unverified_expiry(access_token.expose())),
            access_token,
            refresh_token: secret("refresh_token")?,
            id_token: secret("id_token")?,
            refresh_expires_at: refresh_expires_in.map(after),
            scope: scope(&members),
            token_type,
            issued_token_type,
        })
    }
}

fn invalid(member: &'static str, problem: &'static str) -> TokenEndpointError {
    TokenEndpointError::InvalidMember { member, problem }
}

/// A text, if it is present and not empty.
fn text<'m>(
    members: &'m Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'m str>, TokenEndpointError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(name, "is not a string")),
    }
}

/// A number of seconds, whole or not, also as a text. Of any other form, or negative, it says nothing.
pub(in crate::client) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let seconds = seconds.is_finite().then_some(seconds)?;
    Duration::try_from_secs_f64(seconds.min(LONGEST.as_secs_f64())).ok()
}

/// Words, or a list of texts. Of any other form, it says nothing.
fn scope(members: &Map<String, Value>) -> Option<Scope> {
    match members.get("scope")? {
        Value::String(words) => Some(Scope::from(words.as_str())).filter(|_| !words.is_empty()),
        Value::Array(words) => words.iter().map(|word| word.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// `token_type` (RFC 6749 §5.1), which must be of the kind that was requested (RFC 9449 §5). Without
/// one, the token is a bearer token, unless a bound one was requested.
fn token_type(
    members: &Map<String, Value>,
    issued: Option<&str>,
    bound: bool,
) -> Result<TokenType, TokenEndpointError> {
    let invalid = |problem| Err(invalid("token_type", problem));
    let Some(name) = text(members, "token_type")? else {
        return match bound {
            false => Ok(TokenType::Bearer),
            true => invalid("is missing, though a proof of possession was sent"),
        };
    };
    if name.eq_ignore_ascii_case("bearer") {
        return if bound { Err(TokenEndpointError::NotBound) } else { Ok(TokenType::Bearer) };
    }
    if name.eq_ignore_ascii_case("dpop") {
        return match bound {
            true => Ok(TokenType::DPoP),
            false => invalid("is DPoP, though no proof of possession was sent"),
        };
    }
    match name.eq_ignore_ascii_case("n_a") {
        true if issued.is_some_and(|issued| issued != ACCESS_TOKEN) => Ok(TokenType::NotApplicable),
        true => invalid("is N_A for an access token"),
        false => invalid("is neither `Bearer` nor `DPoP`"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};

    use super::super::{TokenEndpointError, TokenSet, TokenType};

    fn read(change: Value, bound: bool) -> Result<TokenSet, TokenEndpointError> {
        let mut answer = json!({"access_token": "opaque", "token_type": "Bearer"});
        for (name, value) in change.as_object().unwrap() {
            answer[name] = value.clone();
        }
        TokenSet::parse(answer.to_string().as_bytes(), SystemTime::UNIX_EPOCH, bound)
    }

    fn lifetime(expires_in: Value) -> Option<u64> {
        let tokens = read(json!({ "expires_in": expires_in }), false).unwrap();
        Some(tokens.expires_at?.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn a_lifetime_may_be_a_number_or_a_text() {
        for written in [json!(300), json!("300"), json!(300.0), json!("300.5"), json!(" 300 ")] {
            assert_eq!(lifetime(written.clone()), Some(300), "{written}");
        }
        for unknown in [json!(null), json!(""), json!("soon"), json!(-1), json!([300])]
            .into_iter()
            .chain([json!("NaN"), json!("inf")])
        {
            assert_eq!(lifetime(unknown.clone()), None, "{unknown}");
        }
        assert_eq!(lifetime(json!(1e300)), Some(super::LONGEST.as_secs()));
    }

    #[test]
    fn optional_members_may_be_null_or_empty() {
        for absent in [json!(null), json!("")] {
            let answer = json!({
                "token_type": absent, "refresh_token": absent, "id_token": absent, "scope": absent,
                "refresh_expires_in": absent, "issued_token_type": absent,
            });
            let tokens = read(answer, false).unwrap();
            assert_eq!(tokens.token_type, TokenType::Bearer);
            assert!(tokens.refresh_token.is_none() && tokens.id_token.is_none());
            assert!(tokens.scope.is_none() && tokens.refresh_expires_at.is_none());
        }
    }

    #[test]
    fn a_scope_may_be_a_list() {
        for written in [json!("openid email"), json!(["openid", "email"])] {
            let tokens = read(json!({ "scope": written }), false).unwrap();
            assert!(tokens.scope.is_some_and(|scope| scope.contains("email")));
        }
    }

    #[test]
    fn a_bound_token_must_say_that_it_is_bound() {
        for absent in [json!(null), json!("")] {
            let error = read(json!({ "token_type": absent }), true).unwrap_err();
            let expected = TokenEndpointError::InvalidMember {
                member: "token_type",
                problem: "is missing, though a proof of possession was sent",
            };
            assert_eq!(error.to_string(), expected.to_string());
        }
        assert!(matches!(read(json!({}), true), Err(TokenEndpointError::NotBound)));
    }

    #[test]
    fn a_credential_of_another_type_is_named_and_lasting() {
        for (member, value) in [
            ("access_token", json!(1)),
            ("access_token", json!(null)),
            ("refresh_token", json!({"secret": "hunter2"})),
            ("id_token", json!(["hunter2"])),
            ("token_type", json!(7)),
            ("token_type", json!("mac")),
        ] {
            let error = read(json!({ (member): value }), false).unwrap_err();
            assert!(!error.is_temporary(), "{error}");
            assert!(error.to_string().contains(member), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_unknown_lifetime_is_read_from_the_token_itself() {
        // {"alg":"none"}.{"exp":300}
        let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjMwMH0.x";
        let tokens = read(json!({ "access_token": token }), false).unwrap();
        assert_eq!(tokens.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(300)));
    }
}
