//! Reads the facts about an issuer with what was given: public documents, requests of the gateway's own client, and `GET` requests
//! with an administrator's token.
//!
//! Changes nothing at the issuer. A pushed login, which expires unused, and an access token of the client's own are all that
//! it leaves there.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use cli_auth::with_causes;
use http::{Request, header};
use oidc_core::client::{Grant, TokenEndpoint, TokenEndpointError};
use oidc_core::provider::ProviderMetadata;
use oidc_core::verify::dangerous_unverified_claims;
use oidc_core::{Clock as _, Secret, SystemClock};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::facts::{Facts, OwnToken};
use super::needs::Needs;
use crate::assemble;
use crate::commands::check::{Credential, PushedLogin, credential, push_login};
use crate::config::{Config, IssuerConfig, OutboundConfig, PushedAuthorization};

mod administrator;

pub(super) use administrator::{Administrator, Credential as AdministratorCredential};

/// Reads what the issuer shows to the public and to the gateway's client.
pub(super) async fn facts(needs: &Needs, issuer: &IssuerConfig, config: &Config) -> Facts {
    let mut facts = Facts::default();
    match metadata(needs, issuer).await {
        Ok((metadata, clock_ahead)) => {
            facts.keycloak = is_keycloak(&metadata);
            facts.algorithms.clone_from(&metadata.id_token_signing_alg_values_supported);
            facts.clock_ahead = clock_ahead;
            if issuer.offers_login()
                && let Err(error) = as_client(needs, issuer, config, &metadata, &mut facts).await
            {
                facts.client_refused = Some(error);
            }
        }
        Err(reason) => facts.unreachable = Some(reason),
    }
    facts
}

/// The metadata, and the seconds by which the issuer's clock is ahead.
async fn metadata(
    needs: &Needs,
    issuer: &IssuerConfig,
) -> Result<(Arc<ProviderMetadata>, Option<i64>), String> {
    let http = assemble::http(&needs.name, issuer).map_err(|error| with_causes(&error))?;
    let provider = assemble::provider(issuer, Arc::clone(&http), &str::to_owned);
    let provider = provider.map_err(|error| with_causes(&error))?;
    let metadata = provider.refresh_now().await.map_err(|error| with_causes(&error))?;
    let Some(keys) = &metadata.jwks_uri else { return Ok((metadata, None)) };
    let request = Request::get(keys.as_str()).body(Bytes::new());
    let request = request.map_err(|error| with_causes(&error))?;
    let before = SystemClock.now();
    let Ok(answer) = http.send(request).await else { return Ok((metadata, None)) };
    let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let ahead = date.and_then(imf_date).map(|date| ahead(date, before, SystemClock.now()));
    Ok((metadata, ahead))
}

/// Seconds by which a time is outside the interval in which it was written. `Date` is cut to seconds.
fn ahead(date: SystemTime, before: SystemTime, after: SystemTime) -> i64 {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let (date, before, after) = (seconds(date), seconds(before), seconds(after));
    (date - after).max(0) + (date - before).min(0)
}

/// A date of RFC 9110 §5.6.7, in the form that servers must write.
fn imf_date(text: &str) -> Option<SystemTime> {
    let date = text.ends_with(" GMT").then(|| OffsetDateTime::parse(text, &Rfc2822));
    Some(date?.ok()?.into())
}

/// Whether the paths of the endpoints are Keycloak's.
fn is_keycloak(metadata: &ProviderMetadata) -> bool {
    let endpoint = metadata.token_endpoint.as_ref().map(url::Url::as_str).unwrap_or_default();
    metadata.issuer.as_str().contains("/realms/")
        && endpoint.ends_with("/protocol/openid-connect/token")
}

async fn as_client(
    needs: &Needs,
    issuer: &IssuerConfig,
    config: &Config,
    metadata: &ProviderMetadata,
    facts: &mut Facts,
) -> Result<(), String> {
    let clock = Arc::new(SystemClock) as Arc<_>;
    let client = assemble::issuer_client(&needs.name, issuer, Default::default(), &clock, None)
        .map_err(|error| with_causes(&error))?;
    let pushes = metadata.pushed_authorization_request_endpoint.is_some()
        && issuer.pushed_authorization != PushedAuthorization::Never;
    if pushes && !needs.redirect_uris.is_empty() {
        facts.logins_pushed = true;
        for uri in &needs.redirect_uris {
            match push_login(&client, issuer, uri).await {
                PushedLogin::Taken => {}
                PushedLogin::ClientRefused(error) => return Err(with_causes(&error)),
                PushedLogin::Refused(_) => drop(facts.redirect_uris_refused.insert(uri.clone())),
                PushedLogin::Failed(reason) => return Err(reason),
            }
        }
    } else if needs.authenticates {
        match credential(&client).await {
            Credential::Accepted | Credential::Unproved(_) => {}
            Credential::Refused(error) => return Err(with_causes(&error)),
            Credential::Failed(reason) => return Err(reason),
        }
    }
    if !needs.authenticates {
        return Ok(());
    }
    facts.own_token = own_token(&needs.client, client.client().token_endpoint(), facts).await;
    if let Some(outbound) = &config.outbound {
        others(needs, outbound, client.client().token_endpoint(), facts).await?;
    }
    Ok(())
}

/// Asks for a token of the client's own, and reads it.
async fn own_token(name: &str, endpoint: &TokenEndpoint, facts: &mut Facts) -> Option<OwnToken> {
    let grant = Grant::ClientCredentials { scope: None, audience: None, resource: Vec::new() };
    match endpoint.request(grant).await {
        Ok(set) => Some(contents(&set.access_token)),
        // Keycloak's words; it has the same code for a wrong secret.
        Err(
            TokenEndpointError::OAuth { description: Some(words), .. }
            | TokenEndpointError::InvalidClient { description: Some(words), .. },
        ) if words.contains("service account") => {
            facts.without_service_account.insert(name.to_owned());
            None
        }
        Err(_) => None,
    }
}

/// Asks as the other clients of `outbound` too.
async fn others(
    needs: &Needs,
    outbound: &OutboundConfig,
    own: &TokenEndpoint,
    facts: &mut Facts,
) -> Result<(), String> {
    for (name, target) in &outbound.targets {
        let Some(client) = target.client.as_ref().filter(|_| target.issuer == needs.name) else {
            continue;
        };
        let place = format!("outbound.targets.{name}.client.auth");
        let auth = assemble::client_auth(&client.auth, &place);
        let auth = auth.map_err(|error| with_causes(&error))?;
        let endpoint = TokenEndpoint::new(own.provider().clone(), client.id.clone(), auth);
        own_token(&client.id, &endpoint, facts).await;
    }
    Ok(())
}

/// Facts of a token; those of an opaque one are empty.
fn contents(token: &Secret) -> OwnToken {
    let header = token.expose().split('.').next().unwrap_or_default();
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok();
    let header: Option<Value> = header.and_then(|json| serde_json::from_slice(&json).ok());
    let text = |name: &str| Some(header.as_ref()?.get(name)?.as_str()?.to_owned());
    let claims = dangerous_unverified_claims(token.expose());
    let lifetime = claims.as_ref().and_then(|claims| {
        Some(claims.expires_at?.duration_since(claims.issued_at?).ok()?.as_secs())
    });
    let audience = claims.iter().flat_map(|claims| claims.audience.iter()).map(str::to_owned);
    OwnToken {
        algorithm: text("alg").unwrap_or_default(),
        kind: text("typ"),
        lifetime,
        audience: audience.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{ahead, imf_date};

    #[test]
    fn a_date_within_the_exchange_is_no_difference() {
        let at = |seconds| UNIX_EPOCH + Duration::from_millis(seconds);
        for (date, before, after, expected) in [
            (1_000_000, 1_000_900, 1_003_000, 0),
            (1_003_000, 1_000_900, 1_003_100, 0),
            (1_063_000, 1_000_900, 1_003_100, 60),
            (940_000, 1_000_900, 1_003_100, -60),
        ] {
            assert_eq!(ahead(at(date), at(before), at(after)), expected, "{date}");
        }
        let date = imf_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date, UNIX_EPOCH + Duration::from_secs(784_111_777));
        for wrong in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 EST",
            "Sun, 06 Nov 1994 08:49:37 CET",
        ] {
            assert_eq!(imf_date(wrong), None, "{wrong}");
        }
    }
}
