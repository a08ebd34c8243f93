//! Bearer tokens: reads the `Authorization` header and finds the identity ([RFC 6750 §2.1]).
//!
//! Tokens in the query or the body are never read (RFC 9700 §4.3.2). A verified token is remembered, together with the identity
//! read from it, until it expires or the issuer's keys change.
//!
//! [RFC 6750 §2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header::AUTHORIZATION};
use metrics::Counter;
use oidc_core::observer::{Event, Observer};
use oidc_core::{Clock, Issuer, Secret, TokenRefusal, Verifier};

use crate::{
    identify::{
        Credential, Sender,
        issuers::{IssuerClient, Issuers},
    },
    metric,
    refusal::Refusal,
    throttle::Throttle,
};

/// Content of the `Authorization` header for the `Bearer` scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'h> {
    /// No bearer token; other schemes belong to the application.
    Nothing,
    /// A token.
    Token(&'h str),
    /// A value that a lenient server could take for a bearer token, but that is malformed by RFC 6750 §2.1.
    Malformed,
}

/// Reads the `Authorization` header. Servers behind the gateway differ in how they trim and compare. Every value that begins
/// with `bearer`, in any case and before any separator, is therefore a token or malformed.
pub fn presented(headers: &HeaderMap) -> Presented<'_> {
    const SCHEME: &[u8] = b"bearer";
    let Some(value) = headers.get(AUTHORIZATION) else { return Presented::Nothing };
    let bytes = value.as_bytes();
    let start = bytes.iter().position(u8::is_ascii_alphanumeric).unwrap_or(bytes.len());
    let (before, rest) = bytes.split_at(start);
    let Some((scheme, rest)) = rest.split_at_checked(SCHEME.len()) else {
        return Presented::Nothing;
    };
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Presented::Nothing;
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = std::str::from_utf8(rest.get(spaces..).unwrap_or_default());
    match token {
        Ok(token) if before.is_empty() && spaces > 0 && is_token68(token) => {
            Presented::Token(token)
        }
        _ => Presented::Malformed,
    }
}

/// [RFC 9110 §11.2](https://www.rfc-editor.org/rfc/rfc9110#section-11.2)
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    !body.is_empty() && body.bytes().all(plain)
}

/// The refusal of [`Presented::Malformed`].
pub(super) fn malformed() -> TokenRefusal {
    let reason = "`Authorization` is not `Bearer`, one space and a token".to_owned();
    TokenRefusal::Malformed { part: "token", reason }
}

/// The refusal of a configured issuer's token where no issuer has an audience.
pub(super) fn no_audience() -> TokenRefusal {
    let reason =
        "the gateway accepts no bearer tokens; set `issuers.NAME.audience` to have them verified";
    TokenRefusal::InvalidClaim { claim: "aud", reason }
}

/// Whether a refused token is of no configured issuer, and so belongs to an application: a JWT that names another issuer, or an
/// opaque token while no issuer is asked about those.
pub(super) fn is_foreign(issuers: &Issuers, token: &str) -> bool {
    if token.split('.').count() == 3 {
        oidc_core::verify::unverified_issuer(token).is_some_and(|iss| !issuers.is_configured(&iss))
    } else {
        !issuers.introspects() && !has_claims(token)
    }
}

/// Whether the second part holds claims, as in a JWT. Libraries that decode without verifying split at the dots and do not
/// count the parts, so that they accept a JWT with a part too many or too few.
fn has_claims(token: &str) -> bool {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );
    let Some(payload) = token.split('.').nth(1) else { return false };
    let payload = payload.trim_end_matches('=').replace('+', "-").replace('/', "_");
    LENIENT.decode(payload).is_ok_and(|claims| claims.trim_ascii_start().starts_with(b"{"))
}

/// Verifies a token with the issuer it names, or an opaque token by asking the only issuer that is configured for those.
///
/// # Errors
///
/// [`Refusal::BadCredentials`] with the failed check; [`Refusal::TooMany`] before an issuer is asked too often.
pub async fn identify(
    issuers: &Issuers,
    throttle: &Throttle,
    client: Option<IpAddr>,
    token: &str,
) -> Result<Sender, Refusal> {
    let Some(verifier) = issuers.bearer() else {
        return Err(Refusal::Internal { reason: "no issuer accepts bearer tokens".to_owned() });
    };
    let verified = match verifier.recall(token) {
        Ok(verified) => verified,
        Err(unverified) => {
            let asked = verifier.asked_about(token);
            let verify = verifier.verify(unverified);
            Box::pin(throttle.token(token, asked, client, verify)).await?
        }
    };
    let issuer = issuers.of(&verified).ok_or_else(|| Refusal::Internal {
        reason: "a token was accepted from an issuer that is not configured".to_owned(),
    })?;
    let known = verified.derive(|token| issuer.claims().read(token));
    // RFC 7662 §2.2: `exp` is optional in an answer to introspection.
    let good_until = verified.expires_at.map(|expires_at| expires_at + issuer.leeway);
    Ok(Sender::known(known, Credential::Bearer { token: Secret::from(token), good_until }))
}

/// Verifies the bearer tokens of all these issuers; `None` if none of them has an audience.
pub(super) fn verifier(
    issuers: &BTreeMap<String, Arc<IssuerClient>>,
    clock: &Arc<dyn Clock>,
) -> Option<Verifier> {
    let mut accepted = issuers
        .values()
        .filter_map(|issuer| Some((issuer.bearer.clone()?, Arc::clone(&issuer.keys))));
    let (rules, keys) = accepted.next()?;
    let verifier = accepted
        .fold(Verifier::new(rules, keys), |verifier, (rules, keys)| {
            verifier.with_issuer(rules, keys)
        })
        .with_clock(Arc::clone(clock))
        .with_observer(counting(issuers));
    Some(match issuers.values().find_map(|issuer| issuer.introspection.clone()) {
        Some(introspection) => {
            verifier.with_introspection(introspection.with_observer(counting(issuers)))
        }
        None => verifier,
    })
}

/// Counts results by the issuer's name in the configuration; `unknown` if the issuer of a token was not determined.
fn counting(issuers: &BTreeMap<String, Arc<IssuerClient>>) -> Observer {
    let names: Vec<(String, String, Counter)> = issuers
        .iter()
        .map(|(name, issuer)| (issuer.url.clone(), name.clone(), metric::tokens_remembered(name)))
        .collect();
    Arc::new(move |event| {
        let of = |issuer: &Issuer| names.iter().find(|(url, ..)| url == issuer.as_str());
        let name = |issuer: Option<&Issuer>| {
            issuer.and_then(of).map_or("unknown", |(_, name, _)| name.as_str())
        };
        match event {
            Event::TokenRemembered { issuer, .. } => {
                if let Some((_, _, remembered)) = of(issuer) {
                    remembered.increment(1);
                }
            }
            Event::TokenVerified { issuer, algorithm, .. } => {
                let outcome = if algorithm.is_some() { "verified" } else { "introspected" };
                metric::token_verified(name(Some(issuer)), outcome);
            }
            Event::TokenRefused { issuer, code, .. } => {
                metric::token_verified(name(*issuer), code);
            }
            _ => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())])
    }

    #[test]
    fn a_bearer_token_is_read_in_one_spelling() {
        for value in
            ["Bearer e30.e30.x", "bearer e30.e30.x", "BEARER e30.e30.x", "Bearer  e30.e30.x"]
        {
            assert_eq!(presented(&of(value.as_bytes())), Presented::Token("e30.e30.x"), "{value}");
        }
        assert_eq!(presented(&of(b"Bearer a+/~-_==")), Presented::Token("a+/~-_=="));
    }

    #[test]
    fn lookalikes_of_a_bearer_token_are_malformed() {
        for value in [
            &b"Bearer"[..],
            b"bearer\tx",
            b"Bearer\t x",
            b"Bearer \tx",
            b"Bearer x\xff",
            b"\xa0Bearer x",
            b"\"Bearer x\"",
            b"Bearer,x",
            b"Bearer:x",
            b"Bearer=x",
            b"BearerToken x",
            b"Bearer x y",
            b"Bearer x,y",
            b"Bearer x, Basic y",
            b"Bearer \"x\"",
            b"Bearer =",
            b"Bearer x=y",
            b"Bearer t\xc3\xb6ken",
        ] {
            let seen = presented(&of(value)) == Presented::Malformed;
            assert!(seen, "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn other_schemes_are_the_applications() {
        for value in ["Basic dXNlcjpwdw==", "token abc", "Negotiate", "Bea rer x", "Bear x", ""] {
            assert_eq!(presented(&of(value.as_bytes())), Presented::Nothing, "{value}");
        }
        assert_eq!(presented(&HeaderMap::new()), Presented::Nothing);
    }
}
