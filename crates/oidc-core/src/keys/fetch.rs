//! Fetches one set of keys from the provider's `jwks_uri`.
//!
//! A JWK Set that can be read replaces the previous set, even without usable keys: then the
//! provider withdrew its keys. Without a previous set, such a set is a failure, because it means a
//! configuration mistake on one side. An answer that cannot be read changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

use super::{Announced, JwkSet, SkippedKey};
use crate::fresh::{Failure, Fetched};
use crate::http;
use crate::issuer::Issuer;
use crate::misconfigured::IssuerMisconfigured;
use crate::provider::{Provider, ProviderError, ProviderMetadata};

/// A set without a usable key is fetched again after this time, so that a new key is noticed soon
/// even when no token asks for it.
const EMPTY_MAX_AGE: Duration = Duration::from_secs(30);

/// Limit on the skipped keys in a reason.
const NAMED: usize = 5;

/// The keys that the provider publishes now; `previous` again if they are the same.
pub(super) async fn fetch(
    provider: &Provider,
    previous: Option<Arc<JwkSet>>,
) -> Result<Fetched<JwkSet>, Failure> {
    let outcome = fetch_once(provider, previous.as_deref()).await;
    let code = outcome.as_ref().map_or_else(|failure| failure.code, |_| "ok");
    Span::current().record("outcome", code);
    if let Err(failure) = &outcome {
        tracing::warn!(issuer = %provider.issuer(), reason = failure.reason, "keys could not be fetched");
    }
    let keys = outcome?;
    for skipped in keys.skipped() {
        tracing::debug!(issuer = %provider.issuer(), kid = skipped.kid.as_deref().unwrap_or_default(), reason = skipped.reason, "key skipped");
    }
    if keys.is_empty() {
        let skipped = reasons(keys.skipped());
        tracing::warn!(
            issuer = %provider.issuer(),
            skipped,
            "the issuer publishes no usable key any more: its tokens are refused until it does"
        );
    }
    // The same keys keep their generation, so that tokens verified with them stay remembered.
    let keys = match previous {
        Some(previous) if previous.judges_alike(&keys) => previous,
        _ => {
            if let Some(mistake) = keys.announced.mistake(provider.issuer()) {
                tracing::warn!(issuer = %provider.issuer(), reason = %mistake, "no algorithm in common with the issuer");
            }
            let kids = keys.kids().collect::<Vec<_>>().join(", ");
            tracing::info!(issuer = %provider.issuer(), generation = keys.generation(), kids, "keys changed");
            Arc::new(keys)
        }
    };
    let empty = keys.is_empty();
    let fetched = Fetched::new(keys);
    Ok(if empty { fetched.again_after(EMPTY_MAX_AGE) } else { fetched })
}

async fn fetch_once(provider: &Provider, previous: Option<&JwkSet>) -> Result<JwkSet, Failure> {
    // Not `metadata()`: it fails at once while discovery backs off, and two back-offs in a row
    // would double the time until a recovery is noticed. Not `refresh_now()`: it would send two
    // requests to the provider in each step.
    let metadata = match provider.current() {
        Some(metadata) => metadata,
        None => provider.next_metadata().await.map_err(|error| Failure {
            retry_after: error.retry_after(),
            ..failure("no_metadata", error.to_string(), mistake_of(error))
        })?,
    };
    let issuer = provider.issuer();
    let Some(uri) = &metadata.jwks_uri else {
        let remedy = "have the provider announce its key set, or introspect its tokens";
        return Err(mistaken(issuer, "no_key_set", "it is missing".to_owned(), remedy));
    };
    let answer = match http::get(provider.http().as_ref(), uri.as_str()).await {
        Ok(answer) => answer,
        Err(error) => {
            // `jwks_uri` may have changed: fetch the metadata again before the next attempt.
            if matches!(error, http::FetchError::Status { status: 404 | 410, .. }) {
                let _ = provider.refresh_now().await;
            }
            let mistake = IssuerMisconfigured::of_fetch(issuer, "jwks_uri", &error);
            let failure = failure(error.code(), error.to_string(), mistake);
            return Err(Failure { retry_after: error.retry_after(), ..failure });
        }
    };
    let keys = JwkSet::parse(answer.body())
        .map_err(|error| Failure::new("invalid_key_set", error.to_string()))?;
    if previous.is_none() && keys.is_empty() {
        let problem = format!("{uri} holds no usable key ({})", reasons(keys.skipped()));
        let remedy = "have the provider publish the public key that it signs with";
        return Err(mistaken(issuer, "no_usable_key", problem, remedy));
    }
    let announced = announced(provider, &metadata, &keys, previous).await;
    Ok(keys.announcing(announced))
}

/// A failure that lasts until the member `jwks_uri`, or the document there, is corrected.
fn mistaken(issuer: &Issuer, code: &'static str, problem: String, remedy: &'static str) -> Failure {
    let (issuer, member) = (issuer.clone(), "jwks_uri");
    let mistake = Box::new(IssuerMisconfigured { issuer, member, problem, remedy });
    failure(code, String::new(), Some(mistake))
}

/// A failure whose reason is the mistake, if there is one.
fn failure(
    code: &'static str,
    reason: String,
    mistake: Option<Box<IssuerMisconfigured>>,
) -> Failure {
    let reason = mistake.as_ref().map_or(reason, ToString::to_string);
    Failure { code, reason, retry_after: None, mistake }
}

fn mistake_of(error: ProviderError) -> Option<Box<IssuerMisconfigured>> {
    match error {
        ProviderError::Misconfigured(mistake) => Some(mistake),
        ProviderError::Unavailable(_) => None,
    }
}

/// The algorithms that the issuer announces for its tokens. If a new key does not fit them, the
/// metadata is older than the key and is fetched again.
async fn announced(
    provider: &Provider,
    metadata: &ProviderMetadata,
    keys: &JwkSet,
    previous: Option<&JwkSet>,
) -> Announced {
    let announced = Announced::of(&metadata.id_token_signing_alg_values_supported);
    let changed = previous.is_some_and(|previous| !previous.same_keys(keys));
    if !changed || !keys.exceeds(&announced) {
        return announced;
    }
    match provider.refresh_now().await {
        Ok(newer) => Announced::of(&newer.id_token_signing_alg_values_supported),
        Err(_) => announced,
    }
}

/// Reasons the keys of a set are not used, for a log line or an error.
fn reasons(skipped: &[SkippedKey]) -> String {
    if skipped.is_empty() {
        return "it holds none at all".to_owned();
    }
    let named = skipped.iter().take(NAMED).map(|SkippedKey { kid, reason }| match kid {
        Some(kid) => format!("{kid}: {reason}"),
        None => format!("one without kid: {reason}"),
    });
    let named = named.collect::<Vec<_>>().join("; ");
    match skipped.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}
