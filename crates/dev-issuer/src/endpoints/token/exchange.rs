//! Token exchange ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)), by Keycloak's rules: a client
//! exchanges an access token for it for one for another service.
//!
//! The new token is about the same person, and is active no longer than the session. A client that asks for a refresh
//! token gets one in that session too, as where Keycloak allows it ("same session").

use serde_json::{Value, json};

use crate::client::DevClient;
use crate::endpoints::token::Requester;
use crate::grant::Grant;
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::scope::Scope;
use crate::sessions::Link;
use crate::token_response::TokenResponse;
use crate::tokens::Entitlement;

pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";

pub(super) fn redeem(
    provider: &Provider,
    requester: Requester,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    let Requester { client, key } = requester;
    if client.is_public() {
        let why = "Public client is not allowed to exchange token";
        return Err(OAuthError::UnauthorizedClient(why));
    }
    check_types(params)?;
    let subject_token = params.value("subject_token");
    let subject_token = subject_token.ok_or_else(|| OAuthError::missing("subject_token"))?;
    let claims = usable_by(provider, &client, subject_token)?;
    let actor = actor(provider, &client, &claims, params)?;
    let mut audience = params.values("audience");
    let known = |name: &String| provider.registry.is_audience(name);
    if let Some(unknown) = audience.iter().find(|name| !known(name)) {
        return Err(OAuthError::InvalidTarget(unknown.clone()));
    }
    audience.extend(provider.resources(params)?);
    let scope = wanted_scope(&client, params, jws::text(&claims, "scope").unwrap_or_default())?;
    let audience = (!audience.is_empty()).then_some(audience);
    let (entitled, link) = match jws::text(&claims, "sid") {
        Some(sid) => for_person(provider, client, scope, sid)?,
        None => {
            let entitled = Entitlement {
                grant: Grant::TokenExchange,
                user: service_account(provider, &claims)?,
                ..Entitlement::of_machine(client, scope)
            };
            (entitled, None)
        }
    };
    let entitled = Entitlement { audience, actor, key, ..entitled };
    let link = link.filter(|_| params.value("requested_token_type") == Some(REFRESH_TOKEN));
    Ok(provider.issue(&entitled, link.as_ref())?)
}

/// The claims of an active access token that was issued to this client, or is meant for it.
fn usable_by(provider: &Provider, client: &DevClient, token: &str) -> Result<Claims, OAuthError> {
    let claims = provider
        .live_access_token(token)
        .ok_or_else(|| OAuthError::InvalidRequest("Invalid token".to_owned()))?;
    let is_own = jws::text(&claims, "azp") == Some(client.id.as_str());
    match is_own || jws::has_audience(&claims, &client.id) {
        true => Ok(claims),
        false => Err(OAuthError::AccessDenied("Client is not within the token audience")),
    }
}

/// `act` (§4.1): the present actor, with the earlier actors nested inside. Without an actor's token the
/// chain stays as it was. `may_act` (§4.4) of the subject's token names the only allowed actor.
fn actor(
    provider: &Provider,
    client: &DevClient,
    subject: &Claims,
    params: &Params,
) -> Result<Option<Value>, OAuthError> {
    let before = subject.get("act");
    let Some(token) = params.value("actor_token") else { return Ok(before.cloned()) };
    let claims = usable_by(provider, client, token)?;
    let sub = jws::text(&claims, "sub").unwrap_or_default();
    let allowed = subject.get("may_act").and_then(|may| may.get("sub")).and_then(Value::as_str);
    if allowed.is_some_and(|allowed| allowed != sub) {
        return Err(OAuthError::AccessDenied("Actor is not the one in may_act"));
    }
    let mut actor = json!({ "sub": sub, "client_id": jws::text(&claims, "azp") });
    if let (Some(members), Some(before)) = (actor.as_object_mut(), before) {
        members.insert("act".to_owned(), before.clone());
    }
    Ok(Some(actor))
}

fn check_types(params: &Params) -> Result<(), OAuthError> {
    let refuse = |what: &str| Err(OAuthError::InvalidRequest(what.to_owned()));
    if params.value("subject_token_type") != Some(ACCESS_TOKEN) {
        return refuse("subject_token_type must be an access token");
    }
    let known = |wanted| matches!(wanted, ACCESS_TOKEN | REFRESH_TOKEN);
    if !params.value("requested_token_type").is_none_or(known) {
        return refuse("requested_token_type unsupported");
    }
    match (params.value("actor_token"), params.value("actor_token_type")) {
        (None, None) | (Some(_), Some(ACCESS_TOKEN)) => {}
        (None, Some(_)) => return refuse("actor_token_type without actor_token"),
        (Some(_), _) => return refuse("actor_token_type must be an access token"),
    }
    Ok(())
}

/// The requested scope, or else the subject token's without `openid`, as an exchange gives no ID token.
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
) -> Result<(Entitlement, Option<Link>), OAuthError> {
    let session = provider.sessions.live(sid, provider.clock.now());
    let session = session.ok_or(OAuthError::InvalidGrant("Session not active"))?;
    let user = provider.registry.user(&session.username);
    let user = user.ok_or(OAuthError::InvalidGrant("User not found"))?;
    // The client joins the session: its tokens are active while the session lives, and it gets logout
    // tokens.
    let link = provider.sessions.attach(sid, &client.id);
    let mark = session.mark();
    Ok((Entitlement::of_person(user, client, scope, mark, Grant::TokenExchange), link))
}

fn service_account(provider: &Provider, claims: &Claims) -> Result<crate::user::User, OAuthError> {
    claims
        .get("client_id")
        .and_then(Value::as_str)
        .and_then(|id| provider.registry.client(id))
        .map(|client| client.service_account())
        .ok_or(OAuthError::InvalidGrant("User not found"))
}
