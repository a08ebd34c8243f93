//! Authorization requests ([OpenID Connect Core 1.0 §3.1.2.1], [RFC 6749 §4.1.1]), read from their parameters.
//!
//! Accepts only `response_type=code`, and only with PKCE S256 ([RFC 7636]). No error goes to a redirect URI that is not
//! registered for the client.
//!
//! [OpenID Connect Core 1.0 §3.1.2.1]: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
//! [RFC 6749 §4.1.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1
//! [RFC 7636]: https://www.rfc-editor.org/rfc/rfc7636

use std::time::{Duration, SystemTime};

use url::Url;

use crate::authorization_response::{ResponseMode, ResponseTarget};
use crate::client::DevClient;
use crate::codes::CodeGrant;
use crate::params::Params;
use crate::pkce::Challenge;
use crate::registry::Registry;
use crate::scope::Scope;
use crate::sessions::Session;

/// A valid request: the client is known, and the redirect URI is registered for it.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: DevClient,
    pub(crate) target: ResponseTarget,
    pub(crate) login_hint: Option<String>,
    /// True for `prompt=none`: the provider must not show a page.
    pub(crate) forbids_pages: bool,
    /// As it was sent: the token request must repeat it exactly.
    redirect_uri_sent: String,
    nonce: Option<String>,
    code_challenge: Challenge,
    scope: Scope,
    force_login: bool,
    max_age: Option<Duration>,
    /// `acr_values`: accepted levels of the sign-in, best first.
    acr_values: Vec<String>,
    dpop_key: Option<String>,
    offline: bool,
}

/// Reason a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Shown on a page and not sent to the redirect URI, such as for an unknown client.
    Page(String),
    /// Sent to the client at its redirect URI.
    Response { target: Box<ResponseTarget>, error: &'static str, description: String },
}

impl AuthorizationRequest {
    /// Reads the parameters of a complete request: a pushed one, or one that need not be pushed.
    pub(crate) fn read(registry: &Registry, params: &Params) -> Result<Self, Refusal> {
        let (client, redirect_uri, redirect_uri_sent) = registered(registry, params)?;
        let mode = ResponseMode::named(params.value("response_mode"));
        let target = ResponseTarget {
            redirect_uri,
            client: client.id.clone(),
            state: params.value("state").map(str::to_owned),
            mode: mode.unwrap_or(ResponseMode::Query),
        };
        let refused = |error, description: &str| Refusal::to(&target, error, description);
        let invalid = |description| refused("invalid_request", description);

        if let Some(name) = params.repeated() {
            return Err(invalid(&format!("Parameter {name} came more than once")));
        }
        match params.value("response_type") {
            Some("code") => {}
            Some(_) => return Err(refused("unsupported_response_type", "Only code is supported")),
            None => return Err(invalid("Missing parameter: response_type")),
        }
        if mode.is_none() {
            return Err(invalid("Unsupported response_mode"));
        }
        if params.value("request").is_some() {
            return Err(refused("request_not_supported", "This client has no key for requests"));
        }
        let code_challenge = Challenge::read(params).map_err(invalid)?;
        let code_challenge = code_challenge
            .ok_or_else(|| invalid("Missing parameter: code_challenge (PKCE is required)"))?;
        let prompts: Vec<&str> = params.value("prompt").unwrap_or("").split(' ').collect();
        let forbids_pages = prompts.contains(&"none");
        if forbids_pages && prompts.len() > 1 {
            let why = "Invalid parameter: prompt, none cannot be combined with another value";
            return Err(invalid(why));
        }
        let max_age = match params.value("max_age").map(str::parse) {
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Err(_)) => return Err(invalid("Invalid parameter: max_age")),
            None => None,
        };
        let scope = client
            .grant_scope(params.value("scope").unwrap_or(""))
            .map_err(|word| refused("invalid_scope", &format!("Invalid scopes: {word}")))?;
        Ok(Self {
            nonce: params.value("nonce").map(str::to_owned),
            dpop_key: params.value("dpop_jkt").map(str::to_owned),
            offline: params.value("access_type") == Some("offline"),
            login_hint: params.value("login_hint").map(str::to_owned),
            force_login: prompts.contains(&"login"),
            forbids_pages,
            max_age,
            acr_values: words(params.value("acr_values")),
            scope,
            code_challenge,
            client,
            target,
            redirect_uri_sent,
        })
    }

    /// True if a login at `auth_time` is recent enough for `prompt` and `max_age`.
    pub(crate) fn accepts_login_at(&self, auth_time: SystemTime, now: SystemTime) -> bool {
        let age = now.duration_since(auth_time).unwrap_or_default();
        !self.force_login && self.max_age.is_none_or(|limit| age <= limit)
    }

    /// True if a sign-in of this level is one of those asked for that the provider has; also if it has none of them.
    pub(crate) fn accepts_level(&self, level: &str, levels: &[String]) -> bool {
        self.level(levels).is_none() || self.acr_values.iter().any(|accepted| accepted == level)
    }

    /// The first level asked for that the provider has.
    pub(crate) fn level<'l>(&self, levels: &'l [String]) -> Option<&'l str> {
        let known = |wanted: &String| levels.iter().find(|level| *level == wanted);
        self.acr_values.iter().find_map(known).map(String::as_str)
    }

    /// The grant of a code for this session.
    pub(crate) fn code_grant(&self, session: &Session) -> CodeGrant {
        CodeGrant {
            client: self.client.id.clone(),
            redirect_uri: self.redirect_uri_sent.clone(),
            code_challenge: self.code_challenge.clone(),
            nonce: self.nonce.clone(),
            scope: self.scope.clone(),
            session: session.id.clone(),
            key: self.dpop_key.clone(),
            offline: self.offline,
        }
    }
}

impl Refusal {
    /// A refusal that the client gets at its redirect URI.
    pub(crate) fn to(target: &ResponseTarget, error: &'static str, description: &str) -> Self {
        let (target, description) = (Box::new(target.clone()), description.to_owned());
        Self::Response { target, error, description }
    }
}

fn words(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

/// The client and its redirect URI. Nothing is sent to a URI that is not registered for the client.
fn registered(registry: &Registry, params: &Params) -> Result<(DevClient, Url, String), Refusal> {
    let id = params.value("client_id");
    let id = id.ok_or_else(|| Refusal::Page("The parameter client_id is missing.".to_owned()))?;
    let client = registry
        .client(id)
        .ok_or_else(|| Refusal::Page(format!("No client is registered under {id:?}.")))?;
    let sent = params.value("redirect_uri");
    let sent = sent.ok_or_else(|| Refusal::Page("redirect_uri is missing.".to_owned()))?;
    if !client.has_redirect_uri(sent) {
        return Err(Refusal::Page(format!("{sent:?} is not a redirect URI of client {id:?}.")));
    }
    let url = Url::parse(sent)
        .map_err(|error| Refusal::Page(format!("redirect_uri cannot be parsed: {error}.")))?;
    Ok((client, url, sent.to_owned()))
}
