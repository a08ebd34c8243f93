//! Bearer tokens: the `Authorization` header to an identity ([RFC 6750 §2.1]).
//!
//! Tokens in the query or the body are never read (RFC 9700 §4.3.2). A token is verified once and remembered until it expires or
//! the issuer's keys change; what was read from its claims is remembered with it.
//!
//! [RFC 6750 §2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use metrics::Counter;
use oidc_core::{Clock, Event, Issuer, Observer, Secret, Verifier};

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

/// Verifies a token with the issuer it names, or by asking the one issuer whose tokens name nobody.
///
/// # Errors
///
/// [`Refusal::BadCredentials`] with the check that failed.
pub async fn identify(issuers: &Issuers, token: &str) -> Result<Caller, Refusal> {
    let Some(verifier) = issuers.bearer() else {
        return Err(Refusal::Internal { reason: "no issuer takes bearer tokens".to_owned() });
    };
    let verified = match verifier.recall(token) {
        Ok(verified) => verified,
        Err(unverified) => verifier.verify(unverified).await?,
    };
    let issuer = issuers.of(&verified).ok_or_else(|| Refusal::Internal {
        reason: "a token was accepted from an issuer that is not configured".to_owned(),
    })?;
    let expires_at = verified.expires_at.unwrap_or(std::time::UNIX_EPOCH);
    Ok(Caller {
        identity: Identity::Known(
            verified.derive(|token| issuer.claims().read(issuer.name(), token)),
        ),
        credential: Credential::Bearer {
            token: Secret::from(token),
            good_until: expires_at + issuer.leeway,
        },
        cookies: Vec::new(),
    })
}

/// Judges the bearer tokens of all these issuers; `None` where none of them has an audience.
pub(super) fn verifier(
    issuers: &BTreeMap<String, Arc<IssuerClient>>,
    clock: &Arc<dyn Clock>,
) -> Option<Verifier> {
    let mut accepted = issuers
        .values()
        .filter_map(|issuer| Some((issuer.bearer.clone()?, Arc::new(issuer.keys.clone()))));
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

/// Counts verdicts by the issuer's name in the configuration; `unknown` where a token did not get as far as that.
fn counting(issuers: &BTreeMap<String, Arc<IssuerClient>>) -> Observer {
    let names: Vec<(String, String, Counter)> = issuers
        .iter()
        .map(|(name, issuer)| (issuer.url.clone(), name.clone(), observe::tokens_remembered(name)))
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
                observe::token_verified(name(Some(issuer)), outcome);
            }
            Event::TokenRefused { issuer, code, .. } => {
                observe::token_verified(name(*issuer), code);
            }
            _ => {}
        }
    })
}
