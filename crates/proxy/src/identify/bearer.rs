//! Bearer tokens: the `Authorization` header to an identity ([RFC 6750 §2.1]).
//!
//! Tokens in the query or the body are never read (RFC 9700 §4.3.2). A token is verified once and remembered until it expires or
//! the issuer's keys change; what was read from its claims is remembered with it.
//!
//! [RFC 6750 §2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::AUTHORIZATION};
use oidc_core::{AccessToken, Secret, TokenRefusal, Validation, Verified, Verifier};
use serde::Deserialize;

use crate::{
    identify::{
        Caller, Credential, Identity,
        issuers::{IssuerClient, Issuers},
    },
    observe,
    respond::Refusal,
};

/// The token of a `Bearer` header; other schemes are the application's own affair.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Verifies a token with the issuer it names.
///
/// # Errors
///
/// [`Refusal::BadCredentials`] with the check that failed.
pub async fn identify(issuers: &Issuers, token: &str) -> Result<Caller, Refusal> {
    for (issuer, verifier) in issuers.bearer() {
        if let Some(verified) = verifier.cached(token) {
            issuer.tokens_remembered.increment(1);
            return Ok(caller(issuer, verifier.validation(), token, &verified));
        }
    }
    if let Some((issuer, introspection)) = issuers.introspecting()
        && !is_jwt(token)
    {
        return match introspection.access_token(token).await {
            Ok(verified) => {
                observe::token_verified(issuer.name(), "introspected");
                Ok(caller(issuer, introspection.validation(), token, &verified))
            }
            Err(refusal) => {
                observe::token_verified(issuer.name(), refusal.code());
                Err(refusal.into())
            }
        };
    }
    let (issuer, verifier) = choose(issuers, token)?;
    match verifier.access_token(token).await {
        Ok(verified) => {
            observe::token_verified(issuer.name(), "verified");
            Ok(caller(issuer, verifier.validation(), token, &verified))
        }
        Err(refusal) => {
            observe::token_verified(issuer.name(), refusal.code());
            Err(refusal.into())
        }
    }
}

/// Three parts between dots (RFC 7515 §3.1); anything else is for its issuer to read.
fn is_jwt(token: &str) -> bool {
    token.split('.').count() == 3
}

fn caller(
    issuer: &IssuerClient,
    validation: &Validation,
    token: &str,
    verified: &Arc<Verified<AccessToken>>,
) -> Caller {
    let expires_at = verified.expires_at.unwrap_or(std::time::UNIX_EPOCH);
    Caller {
        identity: Identity::Known(
            verified.derive(|token| issuer.claims().read(issuer.name(), token)),
        ),
        credential: Credential::Bearer {
            token: Secret::from(token),
            good_until: expires_at + validation.leeway(),
        },
        cookies: Vec::new(),
    }
}

/// The issuer whose rules judge a token. With several, `iss` chooses among those configured before any key is looked at: a token
/// cannot make the gateway fetch anything.
fn choose<'a>(
    issuers: &'a Issuers,
    token: &str,
) -> Result<(&'a IssuerClient, &'a Verifier), Refusal> {
    let mut accepted = issuers.bearer();
    let first = accepted.next();
    let Some(only) = first else {
        return Err(Refusal::Internal { reason: "no issuer takes bearer tokens".to_owned() });
    };
    if accepted.next().is_none() {
        return Ok(only);
    }
    let found = unverified_issuer(token)?;
    issuers.bearer().find(|(issuer, _)| issuer.url() == found).ok_or_else(|| {
        let expected: Vec<&str> = issuers.bearer().map(|(issuer, _)| issuer.url()).collect();
        TokenRefusal::WrongIssuer {
            expected: expected.join(", "),
            found: found.chars().take(200).collect(),
        }
        .into()
    })
}

fn unverified_issuer(token: &str) -> Result<String, TokenRefusal> {
    #[derive(Deserialize)]
    struct Named {
        iss: String,
    }
    /// Above this no token is taken, so none is decoded.
    const LIMIT: usize = 16 * 1024;
    if token.len() > LIMIT {
        return Err(TokenRefusal::TooLarge { limit: LIMIT });
    }
    let malformed =
        |reason: &str| TokenRefusal::Malformed { part: "payload", reason: reason.to_owned() };
    let payload = token.split('.').nth(1).ok_or_else(|| malformed("not a compact JWS"))?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed("not base64url"))?;
    let named: Named = serde_json::from_slice(&bytes).map_err(|_| malformed("no `iss` text"))?;
    Ok(named.iss)
}
