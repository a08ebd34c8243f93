//! `start`: begins a login (OpenID Connect Core 1.0 §3.1.2.1); `sign_in`: the page to begin it from.
//!
//! The login returns to `rd`. A trusted proxy that holds a request may send it here instead, and describe it as in a forward-auth
//! question: the login then returns to that request's address, and a program gets 401, not a redirect.

use std::{net::IpAddr, time::Duration};

use access_policy::StepUp;
use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, header};
use http_canonical::CanonicalHost;
use oidc_core::login::{LoginError, LoginRequest, PendingLogin};
use serde::{Deserialize, Serialize};
use url::Url;
use web_sessions::{BeginError, CookieError, SetCookies};

use crate::{
    config::PushedAuthorization,
    endpoints::{
        Call, Endpoints, login_refusal, parameter,
        return_to::{COOKIE_LIMIT, HOME, LIMIT, ReturnTo},
    },
    identify::issuers::IssuerClient,
    listen::CanonicalRequest,
    metric,
    refusal::Refusal,
    respond::{pages, see_other},
};

/// Time limit for one step of a login at the provider.
const PATIENCE: Duration = Duration::from_secs(8);

/// The longest list of levels on a link, in bytes.
const LONGEST_LEVELS: usize = 500;

/// State kept between the redirect to the provider and the way back, sealed in a cookie of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// The issuer's name in the configuration.
    pub(crate) issuer: String,
    /// Identifier (`iss`) of the issuer that has this name now. Empty in a state of a version that did not keep it.
    #[serde(default)]
    pub(crate) iss: String,
    /// State, nonce and PKCE verifier.
    pub(crate) pending: PendingLogin,
    /// Path and query to come back to.
    pub(crate) return_to: String,
    /// Whether the address asked for was too long to be kept.
    #[serde(default)]
    pub(crate) too_long: bool,
    /// Accepted levels of this sign-in (`acr_values`); any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) levels: Vec<String>,
}

/// The visit of a browser that begins a login, as far as the login needs it.
#[derive(Debug)]
pub(crate) struct Visit {
    host: CanonicalHost,
    client_ip: Option<IpAddr>,
    headers: HeaderMap,
}

impl Visit {
    /// The visit that a request belongs to, or that a proxy asks about.
    pub(crate) fn of(request: &CanonicalRequest, question: bool) -> Self {
        let cookies = request.headers().get_all(header::COOKIE).iter();
        let host = match request.question() {
            Ok(asked) if question => &asked.host,
            _ => request.host(),
        };
        Self {
            host: host.clone(),
            client_ip: request.client_ip(),
            headers: cookies.map(|cookie| (header::COOKIE, cookie.clone())).collect(),
        }
    }
}

impl Endpoints {
    pub(super) async fn start(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let origin = self.origin(call.request.host());
        let mut status = StatusCode::OK;
        let return_to = match ReturnTo::of_query(call.query(), &origin, self.longest())? {
            Some(return_to) => return_to,
            None => match self.held(&call)? {
                Some(address) => {
                    status = StatusCode::UNAUTHORIZED;
                    ReturnTo::read(address.as_bytes(), &origin, self.longest())
                }
                None => ReturnTo::default(),
            },
        };
        let named = parameter(call.query(), "issuer")?;
        let stronger = step_up(call.query())?;
        let Some(issuer) = self.issuer(named.as_deref()) else {
            return Ok(sign_in_page(&call, return_to, status, stronger));
        };
        let visit = Visit::of(&call.request, false);
        let (url, cookies) = self.begin(issuer, &visit, return_to, stronger).await?;
        call.notes.set_cookies(cookies);
        Ok(see_other(url.as_str(), StatusCode::FOUND, &call.context))
    }

    /// Begins a login for a navigation whose address is too long for the link to `start`. `None`: the user has to choose an
    /// issuer first.
    pub(crate) async fn begin_at_once(
        &self,
        visit: &Visit,
        address: &str,
        level: StepUp,
    ) -> Option<Result<(Url, SetCookies), Refusal>> {
        let issuer = self.issuer(None)?;
        let origin = self.origin(&visit.host);
        let return_to = ReturnTo::read(address.as_bytes(), &origin, self.longest());
        Some(self.begin(issuer, visit, return_to, level).await)
    }

    /// Begins a login at an issuer; the browser's next address, and the cookies of the login.
    async fn begin(
        &self,
        issuer: &IssuerClient,
        visit: &Visit,
        return_to: ReturnTo,
        stronger: StepUp,
    ) -> Result<(Url, SetCookies), Refusal> {
        let mut request = LoginRequest::new(self.own_url(&visit.host, "callback")?)
            .with_scopes(issuer.scopes.iter().cloned());
        request = match issuer.pushed_authorization {
            PushedAuthorization::Auto => request,
            PushedAuthorization::Required => request.with_required_pushed_request(),
            PushedAuthorization::Never => request.without_pushed_request(),
        };
        request = issuer.with_own_parameters(request);
        if !stronger.acr_values.is_empty() {
            request = request.with_acr_values(stronger.acr_values.iter().cloned());
        }
        if let Some(max_age) = stronger.max_age {
            request = request.with_max_age(max_age);
        }
        let admitted = self.throttle.login(issuer.name(), visit.client_ip).await?;
        let (url, pending) = in_time(issuer, issuer.client().begin_login(request)).await?;
        drop(admitted);
        let state = pending.state().to_owned();
        let mut transaction = Transaction {
            issuer: issuer.name().to_owned(),
            iss: issuer.url().to_owned(),
            pending,
            return_to: return_to.address,
            too_long: return_to.too_long,
            levels: stronger.acr_values,
        };
        let (headers, now) = (&visit.headers, self.clock.now());
        let cookies = match self.logins.begin(headers, &state, &transaction, now).await {
            // Long names of the issuer leave less room in a cookie.
            Err(BeginError::Cookie(CookieError::TooLarge { .. })) => {
                HOME.clone_into(&mut transaction.return_to);
                transaction.too_long = true;
                self.logins.begin(headers, &state, &transaction, now).await
            }
            begun => begun,
        }
        .map_err(|error| match error {
            BeginError::Store(error) => error.into(),
            BeginError::Cookie(error) => Refusal::Internal { reason: error.to_string() },
        })?;
        metric::login(issuer.name(), "started");
        Ok((url, cookies))
    }

    /// The longest address that a login keeps.
    fn longest(&self) -> usize {
        if self.logins.keeps_records() { LIMIT } else { COOKIE_LIMIT }
    }

    pub(super) async fn sign_in(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let return_to = self.return_to(&call)?;
        Ok(sign_in_page(&call, return_to, StatusCode::OK, StepUp::default()))
    }

    /// Address of the request that a trusted proxy holds while it sends the browser here.
    ///
    /// # Errors
    ///
    /// [`Refusal::LoginNeeded`] for a request that must not be redirected: a program's, or a form.
    fn held(&self, call: &Call) -> Result<Option<String>, Refusal> {
        let Ok(question) = call.request.question() else { return Ok(None) };
        if question.host.name() != call.request.host().name() || self.is_own(&question.path) {
            return Ok(None);
        }
        let route = self.routes.choose(&question.host, &question.path)?;
        let return_to = question.path_and_query();
        let redirect = route.sends_to_sign_in(question.websocket, call.request.headers());
        if redirect && call.context.safe {
            return Ok(Some(return_to));
        }
        Err(Refusal::LoginNeeded {
            route: route.name.clone(),
            redirect: false,
            return_to,
            level: None,
        })
    }

    /// The issuer a login goes to: the one named, or the only one that offers a login.
    fn issuer(&self, named: Option<&str>) -> Option<&IssuerClient> {
        match named {
            Some(name) => {
                let named = self.issuers.named(name).filter(|issuer| issuer.offers_login());
                named.map(|issuer| &**issuer)
            }
            None => {
                let mut issuers = self.issuers.iter().filter(|issuer| issuer.offers_login());
                let only = issuers.next()?;
                issuers.next().is_none().then_some(only)
            }
        }
    }

    /// The `rd` parameter, limited to the own origin.
    pub(super) fn return_to(&self, call: &Call) -> Result<ReturnTo, Refusal> {
        let origin = self.origin(call.request.host());
        Ok(ReturnTo::of_query(call.query(), &origin, LIMIT)?.unwrap_or_default())
    }
}

/// The sign-in that a link asks for (OpenID Connect Core 1.0 §3.1.2.1: `acr_values`, `max_age`).
///
/// # Errors
///
/// [`Refusal::Malformed`] for a value that no rule writes.
fn step_up(query: &[u8]) -> Result<StepUp, Refusal> {
    let malformed = |name: &str| Refusal::Malformed {
        status: StatusCode::BAD_REQUEST,
        reason: format!("the parameter `{name}` has a value that is not allowed").into(),
    };
    let levels = parameter(query, "acr_values")?.unwrap_or_default();
    if levels.len() > LONGEST_LEVELS || !levels.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(malformed("acr_values"));
    }
    let max_age = parameter(query, "max_age")?
        .map(|seconds| seconds.parse().map_err(|_| malformed("max_age")))
        .transpose()?;
    Ok(StepUp {
        acr_values: levels.split_ascii_whitespace().map(str::to_owned).collect(),
        max_age: max_age.map(|seconds: u32| Duration::from_secs(seconds.into())),
    })
}

fn sign_in_page(
    call: &Call,
    return_to: ReturnTo,
    status: StatusCode,
    level: StepUp,
) -> Response<Body> {
    let notice = return_to.too_long.then(|| {
        "The address you asked for is too long to be kept while you sign in. You will arrive at the start page."
            .to_owned()
    });
    let page = pages::SignIn { heading_to: None, return_to: return_to.address, notice, level };
    page.into_response(&call.context, status)
}

/// Limits a step of a login at the provider to `PATIENCE`: a slow provider ends in a page that says so.
pub(super) async fn in_time<T>(
    issuer: &IssuerClient,
    step: impl Future<Output = Result<T, LoginError>>,
) -> Result<T, Refusal> {
    let Ok(answer) = tokio::time::timeout(PATIENCE, step).await else {
        metric::login(issuer.name(), "provider_unavailable");
        return Err(Refusal::ProviderUnavailable {
            issuer: issuer.name().to_owned(),
            reason: format!("no answer within {PATIENCE:?}"),
        });
    };
    answer.map_err(|error| login_refusal::of_login(issuer, &error))
}
