//! Token exchange ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)), by Keycloak's rules: a client
//! trades an access token that was meant for it for one meant for another service.
//!
//! The new token speaks for the same person, ends no later than the session, and has no refresh token.

use serde_json::Value;

use crate::client::DevClient;
use crate::endpoints::token::{Grant, TokenResponse};
use crate::jws;
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::scope::Scope;
use crate::tokens::Entitlement;

pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) fn redeem(
    provider: &Provider,
    client: DevClient,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    if client.is_public() {
        let why = "Public client is not allowed to exchange token";
        return Err(OAuthError::UnauthorizedClient(why));
    }
    check_types(params)?;
    let subject_token = params.value("subject_token");
    let subject_token = subject_token.ok_or_else(|| OAuthError::missing("subject_token"))?;
    let claims = provider
        .live_access_token(subject_token)
        .ok_or_else(|| OAuthError::InvalidRequest("Invalid token".to_owned()))?;
    let is_own = jws::text(&claims, "azp") == Some(client.id.as_str());
    if !is_own && !jws::has_audience(&claims, &client.id) {
        return Err(OAuthError::AccessDenied("Client is not within the token audience"));
    }
    let audience = params.values("audience");
    let known = |name: &String| provider.registry.is_audience(name);
    if let Some(unknown) = audience.iter().find(|name| !known(name)) {
        return Err(OAuthError::InvalidTarget(unknown.clone()));
    }
    let scope = wanted_scope(&client, params, jws::text(&claims, "scope").unwrap_or_default())?;
    let audience = (!audience.is_empty()).then_some(audience);
    let entitled = match jws::text(&claims, "sid") {
        Some(sid) => for_person(provider, client, scope, sid, audience)?,
        None => Entitlement {
            grant: Grant::TokenExchange,
            audience,
            user: machine_behind(provider, &claims)?,
            ..Entitlement::of_machine(client, scope)
        },
    };
    Ok(provider.issue(&entitled, None)?)
}

fn check_types(params: &Params) -> Result<(), OAuthError> {
    let refuse = |what: &str| Err(OAuthError::InvalidRequest(what.to_owned()));
    if params.value("subject_token_type") != Some(ACCESS_TOKEN) {
        return refuse("subject_token_type must be an access token");
    }
    if params.value("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN) {
        return refuse("requested_token_type unsupported");
    }
    if params.value("actor_token").is_some() {
        return refuse("actor_token is not supported");
    }
    if params.value("resource").is_some() {
        return refuse("resource is not supported, name an audience");
    }
    Ok(())
}

/// What is asked for, or else what the subject token has. `openid` falls away: no ID token comes of it.
fn wanted_scope(client: &DevClient, params: &Params, had: &str) -> Result<Scope, OAuthError> {
    match params.value("scope") {
        Some(wanted) => client.grant_scope(wanted).map_err(OAuthError::InvalidScope),
        None => {
            let mut scope = Scope::default();
            Scope::parse(had)
                .words()
                .filter(|word| *word != "openid")
                .for_each(|word| scope.add(word));
            Ok(scope)
        }
    }
}

fn for_person(
    provider: &Provider,
    client: DevClient,
    scope: Scope,
    sid: &str,
    audience: Option<Vec<String>>,
) -> Result<Entitlement, OAuthError> {
    let session = provider.sessions.live(sid, provider.clock.now());
    let session = session.ok_or(OAuthError::InvalidGrant("Session not active"))?;
    let user = provider.registry.user(&session.username);
    let user = user.ok_or(OAuthError::InvalidGrant("User not found"))?;
    // Takes part from now on: its tokens are active while the session lives, and it learns of logout.
    provider.sessions.attach(sid, &client.id);
    let session = Some(session.mark());
    let grant = Grant::TokenExchange;
    Ok(Entitlement { user, client, scope, session, nonce: None, grant, audience })
}

fn machine_behind(
    provider: &Provider,
    claims: &jws::Claims,
) -> Result<crate::user::User, OAuthError> {
    claims
        .get("client_id")
        .and_then(Value::as_str)
        .and_then(|id| provider.registry.client(id))
        .map(|client| client.service_account())
        .ok_or(OAuthError::InvalidGrant("User not found"))
}
