//! Decisions about authorization requests: reads a plain, signed or pushed request, issues the code, and makes the response.
//!
//! Both the endpoint and [`DevIssuer::sign_in`](crate::DevIssuer::sign_in) use it.

use url::Url;

use crate::authorization_request::{AuthorizationRequest, Refusal};
use crate::authorization_response::ResponseTarget;
use crate::faults::Endpoint;
use crate::params::Params;
use crate::provider::Provider;
use crate::request_object;
use crate::sessions::Session;

/// Reads a request: the pushed one that `request_uri` names, the signed one in `request`, or the parameters themselves.
pub(crate) fn read(provider: &Provider, params: Params) -> Result<AuthorizationRequest, Refusal> {
    AuthorizationRequest::read(&provider.registry, &resolve(provider, params)?)
}

/// The client's URL with a code for this session.
pub(crate) fn grant(
    provider: &Provider,
    request: &AuthorizationRequest,
    session: &Session,
) -> Result<Url, Refusal> {
    let code = provider.codes.issue(request.code_grant(session), provider.clock.now());
    let parameters = [("session_state", session.id.as_str()), ("code", &code)];
    response(provider, &request.target, &parameters)
        .map_err(|error| Refusal::Page(format!("The answer could not be signed: {error}.")))
}

/// URL that sends the refusal to the client; `Err` has the text for a page.
pub(crate) fn refusal_url(provider: &Provider, refusal: Refusal) -> Result<Url, String> {
    match refusal {
        Refusal::Page(why) => Err(why),
        Refusal::Response { target, error, description } => {
            let parameters = [("error", error), ("error_description", &*description)];
            response(provider, &target, &parameters).map_err(|error| error.to_string())
        }
    }
}

fn response(
    provider: &Provider,
    target: &ResponseTarget,
    parameters: &[(&str, &str)],
) -> Result<Url, jsonwebtoken::errors::Error> {
    let issuer = provider.stated_issuer(Endpoint::Authorization);
    let sign = |claims: &_| provider.sign(claims, "JWT");
    target.url(parameters, &issuer, provider.clock.seconds(), sign)
}

fn resolve(provider: &Provider, params: Params) -> Result<Params, Refusal> {
    let Some(uri) = params.value("request_uri") else {
        let must_push = params
            .value("client_id")
            .and_then(|id| provider.registry.client(id))
            .is_some_and(|client| client.require_par);
        return match must_push {
            true => Err(Refusal::Page("This client must push its requests first (PAR).".into())),
            false => request_object::resolve(provider, params)
                .map_err(|why| Refusal::Page(format!("invalid_request_object: {why}"))),
        };
    };
    let client = params.value("client_id").unwrap_or_default();
    provider.pushed_requests.take(uri, client, provider.clock.now()).ok_or_else(|| {
        Refusal::Page("request_uri is unknown, used, expired, or another client's.".to_owned())
    })
}
