//! Bearer tokens: finds the identity of a token.
//!
//! A verified token is remembered, together with the identity read from it, until it expires or the issuer's keys change.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use access_policy::Caller;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http_canonical::ClientCertificate;
use metrics::Counter;
use oidc_core::dpop::DpopChecker;
use oidc_core::observer::{Event, Observer};
use oidc_core::verify::{PresentationRefusal, Presented};
use oidc_core::{AccessToken, Clock, Issuer, Secret, TokenRefusal, Verified, Verifier};

use crate::{
    identify::{
        Credential, Sender,
        authorization::Carrier,
        issuers::{Accepts, IssuerClient, Issuers},
    },
    metric,
    refusal::Refusal,
    throttle::Throttle,
};

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

/// The way in which a token came.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'r> {
    /// The field it came in.
    pub carrier: Carrier,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The certificate whose key the client proved to hold.
    pub certificate: Option<&'r ClientCertificate>,
}

/// Verifies a token with the issuer it names, or an opaque token by asking the only issuer that is configured for those; and that
/// its sender holds the key it is bound to, if it is.
///
/// # Errors
///
/// [`Refusal::BadCredentials`] with the failed check; [`Refusal::Unproven`] for a bound token without its proof;
/// [`Refusal::TooMany`] before an issuer is asked too often.
pub async fn identify(
    issuers: &Issuers,
    verifier: &Verifier,
    throttle: &Throttle,
    proofs: &DpopChecker,
    presented: Presented<'_>,
    sent: Sent<'_>,
) -> Result<Sender, Refusal> {
    let Sent { carrier, client, certificate } = sent;
    let token = presented.token();
    let presented = match certificate {
        Some(certificate) => presented.with_certificate(certificate.der()),
        None => presented,
    };
    let verified = match verifier.recall_presented(&presented) {
        Ok(verified) => verified,
        Err(unproven) => {
            let asked = verifier.asked_about(token);
            let verify = verifier.verify_presented(unproven, proofs);
            Box::pin(throttle.token(token, asked, client, verify)).await?
        }
    };
    let issuer = of(issuers, &verified)?;
    let known = verified.derive(|token| issuer.claims().read(token));
    // RFC 7662 §2.2: `exp` is optional in an answer to introspection.
    let good_until = verified.expires_at.map(|expires_at| expires_at + issuer.leeway);
    let token = Secret::from(token);
    Ok(Sender::known(known, Credential::Bearer { token, good_until, carrier }))
}

/// The present identity of a token that opened a stream; its sender proved then to hold the key it is bound to.
///
/// # Errors
///
/// Those of [`identify`], but for the proof.
pub(super) async fn again(
    issuers: &Issuers,
    verifier: &Verifier,
    throttle: &Throttle,
    token: &str,
) -> Result<Caller, Refusal> {
    let verified = match verifier.recall(token) {
        Ok(verified) => verified,
        Err(_) => {
            let asked = verifier.asked_about(token);
            let verify = async {
                let verified = verifier.dangerous_without_possession(token).await;
                verified.map_err(PresentationRefusal::from)
            };
            Box::pin(throttle.token(token, asked, None, verify)).await?
        }
    };
    let issuer = of(issuers, &verified)?;
    Ok(Caller::Known(verified.derive(|token| issuer.claims().read(token))))
}

fn of<'i>(
    issuers: &'i Issuers,
    verified: &Verified<AccessToken>,
) -> Result<&'i IssuerClient, Refusal> {
    issuers.of(verified).ok_or_else(|| Refusal::Internal {
        reason: "a token was accepted from an issuer that is not configured".to_owned(),
    })
}

/// Verifies the bearer tokens that `accepts` says of each of these issuers; `None` if none of them accepts any. Each verifier
/// has a memory of its own: what it accepted counts for no other audience.
pub(super) fn verifier<'i>(
    issuers: &'i BTreeMap<String, Arc<IssuerClient>>,
    accepts: impl Fn(&'i IssuerClient) -> Option<&'i Accepts>,
    clock: &Arc<dyn Clock>,
) -> Option<Verifier> {
    let mut accepted = issuers
        .values()
        .filter_map(|issuer| Some((accepts(issuer)?.rules.clone(), Arc::clone(&issuer.keys))));
    let (rules, keys) = accepted.next()?;
    let verifier = accepted
        .fold(Verifier::new(rules, keys), |verifier, (rules, keys)| {
            verifier.with_issuer(rules, keys)
        })
        .with_clock(Arc::clone(clock))
        .with_observer(counting(issuers));
    let mut asked = issuers.values().filter_map(|issuer| accepts(issuer)?.introspection.clone());
    Some(match asked.next() {
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
