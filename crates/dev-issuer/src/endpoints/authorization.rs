//! The authorization endpoint ([OpenID Connect Core 1.0 §3.1.2], [RFC 6749 §4.1], PKCE by [RFC 7636]).
//!
//! Only `response_type=code`, only with PKCE S256. Before the redirect URI is known to be the client's,
//! an error is shown on a page here; after that it is sent to the client, with `state` and `iss`.
//!
//! [OpenID Connect Core 1.0 §3.1.2]: https://openid.net/specs/openid-connect-core-1_0.html#AuthorizationEndpoint
//! [RFC 6749 §4.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1
//! [RFC 7636]: https://www.rfc-editor.org/rfc/rfc7636

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use crate::client::DevClient;
use crate::codes::CodeGrant;
use crate::endpoints::{login, see_other};
use crate::forms::Purpose;
use crate::pages;
use crate::params::Params;
use crate::pkce::Challenge;
use crate::provider::Provider;
use crate::request_object;
use crate::scope::Scope;
use crate::sessions::Session;
use crate::way_back::{ResponseMode, WayBack};

/// A valid request: the client is known, and the redirect URI is registered for it.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: DevClient,
    way_back: WayBack,
    /// As it was sent: the token request must repeat it exactly.
    redirect_uri_sent: String,
    nonce: Option<String>,
    code_challenge: Challenge,
    scope: Scope,
    pub(crate) login_hint: Option<String>,
    force_login: bool,
    never_ask: bool,
    max_age: Option<Duration>,
    dpop_key: Option<String>,
}

/// Reason a sign-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// No such person at this provider.
    #[error("there is no user {0:?} here; add it first")]
    UnknownUser(String),
    /// No such client at this provider.
    #[error("there is no client {0:?} here; add it first")]
    UnknownClient(String),
    /// The text is not a URL.
    #[error("the authorization URL cannot be parsed")]
    Url(#[source] url::ParseError),
    /// The provider would show an error page.
    #[error("the authorization request is refused: {0}")]
    Refused(String),
    /// The client would be sent back with this error.
    #[error("the client would be sent back with an error, to {0}")]
    SentBack(String),
    /// The client may not ask for this scope.
    #[error("the client may not ask for scope {0:?}: allow it with `DevClient::scope`")]
    Scope(String),
    /// A token could not be signed.
    #[error("a token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// Reason a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Shown on a page and not sent to the redirect URI, such as for an unknown client.
    Page(String),
    /// Sent back to the client.
    Back { way: Box<WayBack>, error: &'static str, description: String },
}

pub(crate) async fn get(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(&provider, Params::parse(query.unwrap_or_default().as_bytes()), &headers)
}

pub(crate) async fn post(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&provider, Params::parse(&body), &headers)
}

fn answer(provider: &Provider, params: Params, headers: &HeaderMap) -> Response {
    let request = match AuthorizationRequest::read(provider, params) {
        Ok(request) => request,
        Err(refusal) => return refusal.into_response(provider),
    };
    let session = provider
        .cookies
        .session(headers)
        .and_then(|cookie| provider.sessions.with_cookie(&cookie, provider.clock.now()));
    match session {
        Some(session) if !request.needs_login(provider, &session) => {
            match request.grant(provider, &session) {
                Ok(url) => see_other(url.as_str()),
                Err(refusal) => refusal.into_response(provider),
            }
        }
        _ if request.never_ask => request
            .back("login_required", "Nobody is signed in, and prompt=none forbids to ask")
            .into_response(provider),
        _ => login::show(provider, headers, Purpose::Login(Box::new(request)), None),
    }
}

impl AuthorizationRequest {
    pub(crate) fn read(provider: &Provider, params: Params) -> Result<Self, Refusal> {
        Self::read_pushed(provider, unfold(provider, params)?)
    }

    /// Reads the parameters of a complete request: a pushed one, or one that need not be pushed.
    pub(crate) fn read_pushed(provider: &Provider, params: Params) -> Result<Self, Refusal> {
        let (client, redirect_uri, redirect_uri_sent) = returning(provider, &params)?;
        let mode = ResponseMode::named(params.value("response_mode"));
        let way_back = WayBack {
            redirect_uri,
            client: client.id.clone(),
            state: params.value("state").map(str::to_owned),
            mode: mode.unwrap_or(ResponseMode::Query),
        };
        let back = |error, description: &str| Refusal::Back {
            way: Box::new(way_back.clone()),
            error,
            description: description.to_owned(),
        };
        let invalid = |description| back("invalid_request", description);

        if let Some(name) = params.repeated() {
            return Err(invalid(&format!("Parameter {name} came more than once")));
        }
        match params.value("response_type") {
            Some("code") => {}
            Some(_) => return Err(back("unsupported_response_type", "Only code is supported")),
            None => return Err(invalid("Missing parameter: response_type")),
        }
        if mode.is_none() {
            return Err(invalid("Unsupported response_mode"));
        }
        if params.value("request").is_some() {
            return Err(back("request_not_supported", "This client has no key for requests"));
        }
        let code_challenge = Challenge::read(&params).map_err(invalid)?;
        let code_challenge = code_challenge
            .ok_or_else(|| invalid("Missing parameter: code_challenge (PKCE is required)"))?;
        let prompts: Vec<&str> = params.value("prompt").unwrap_or("").split(' ').collect();
        let never_ask = prompts.contains(&"none");
        if never_ask && prompts.len() > 1 {
            return Err(invalid("Invalid parameter: prompt, none stands alone"));
        }
        let max_age = match params.value("max_age").map(str::parse) {
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Err(_)) => return Err(invalid("Invalid parameter: max_age")),
            None => None,
        };
        let scope = client
            .grant_scope(params.value("scope").unwrap_or(""))
            .map_err(|word| back("invalid_scope", &format!("Invalid scopes: {word}")))?;
        Ok(Self {
            nonce: params.value("nonce").map(str::to_owned),
            dpop_key: params.value("dpop_jkt").map(str::to_owned),
            login_hint: params.value("login_hint").map(str::to_owned),
            force_login: prompts.contains(&"login"),
            never_ask,
            max_age,
            scope,
            code_challenge,
            client,
            way_back,
            redirect_uri_sent,
        })
    }

    fn needs_login(&self, provider: &Provider, session: &Session) -> bool {
        let age = provider.clock.now().duration_since(session.auth_time).unwrap_or_default();
        let gone = provider.registry.user(&session.username).is_none();
        self.force_login || gone || self.max_age.is_some_and(|limit| age > limit)
    }

    /// The URL of the client with a code for this session.
    pub(crate) fn grant(&self, provider: &Provider, session: &Session) -> Result<Url, Refusal> {
        let grant = CodeGrant {
            client: self.client.id.clone(),
            redirect_uri: self.redirect_uri_sent.clone(),
            code_challenge: self.code_challenge.clone(),
            nonce: self.nonce.clone(),
            scope: self.scope.clone(),
            session: session.id.clone(),
            key: self.dpop_key.clone(),
        };
        let code = provider.codes.issue(grant, provider.clock.now());
        let answer = [("session_state", session.id.as_str()), ("code", &code)];
        self.way_back.with(provider, &answer).map_err(unsigned)
    }

    fn back(&self, error: &'static str, description: &str) -> Refusal {
        Refusal::Back {
            way: Box::new(self.way_back.clone()),
            error,
            description: description.to_owned(),
        }
    }
}

impl Refusal {
    /// URL that sends the error back to the client; `Err` has the text for a page.
    pub(crate) fn location(self, provider: &Provider) -> Result<Url, String> {
        match self {
            Self::Page(why) => Err(why),
            Self::Back { way, error, description } => {
                let answer = [("error", error), ("error_description", &*description)];
                way.with(provider, &answer).map_err(|error| error.to_string())
            }
        }
    }

    pub(crate) fn into_response(self, provider: &Provider) -> Response {
        match self.location(provider) {
            Ok(url) => see_other(url.as_str()),
            Err(why) => pages::refused("This sign-in request cannot be served", &why),
        }
    }
}

/// The pushed request behind `request_uri`, the signed one in `request`, or the parameters themselves.
fn unfold(provider: &Provider, params: Params) -> Result<Params, Refusal> {
    let Some(uri) = params.value("request_uri") else {
        let must_push = params
            .value("client_id")
            .and_then(|id| provider.registry.client(id))
            .is_some_and(|client| client.require_par);
        return match must_push {
            true => Err(Refusal::Page("This client must push its requests first (PAR).".into())),
            false => request_object::unfold(provider, params)
                .map_err(|why| Refusal::Page(format!("invalid_request_object: {why}"))),
        };
    };
    let client = params.value("client_id").unwrap_or_default();
    provider.pushed.take(uri, client, provider.clock.now()).ok_or_else(|| {
        Refusal::Page("request_uri is unknown, used, expired, or another client's.".to_owned())
    })
}

fn unsigned(error: jsonwebtoken::errors::Error) -> Refusal {
    Refusal::Page(format!("The answer could not be signed: {error}."))
}

/// The client and its redirect URI. Nothing is sent to a URI that is not registered for the client.
fn returning(provider: &Provider, params: &Params) -> Result<(DevClient, Url, String), Refusal> {
    let id = params.value("client_id");
    let id = id.ok_or_else(|| Refusal::Page("The parameter client_id is missing.".to_owned()))?;
    let client = provider
        .registry
        .client(id)
        .ok_or_else(|| Refusal::Page(format!("No client is registered under {id:?}.")))?;
    let sent = params.value("redirect_uri");
    let sent = sent.ok_or_else(|| Refusal::Page("redirect_uri is missing.".to_owned()))?;
    if !client.may_return_to(sent) {
        return Err(Refusal::Page(format!("{sent:?} is not a redirect URI of client {id:?}.")));
    }
    let url = Url::parse(sent)
        .map_err(|error| Refusal::Page(format!("redirect_uri cannot be parsed: {error}.")))?;
    Ok((client, url, sent.to_owned()))
}
