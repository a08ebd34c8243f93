//! `start`: begins a login (OpenID Connect Core 1.0 §3.1.2.1); `sign_in`: the page to begin it from.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use oidc_core::login::{LoginError, LoginRequest, PendingLogin};
use serde::{Deserialize, Serialize};

use crate::{
    config::PushedAuthorization,
    endpoints::{Call, Endpoints, login_refusal, parameter, return_to::sanitize},
    identify::issuers::IssuerClient,
    metric,
    refusal::Refusal,
    respond::{pages, see_other},
};

/// Time limit for one step of a login at the provider.
const PATIENCE: Duration = Duration::from_secs(8);

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
}

impl Endpoints {
    pub(super) async fn start(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let return_to = self.return_to(&call)?;
        let named = parameter(call.query(), "issuer")?;
        let Some(issuer) = self.issuer(named.as_deref()) else {
            return Ok(sign_in_page(&call, return_to));
        };
        let mut request = LoginRequest::new(self.own_url(call.request.host(), "callback")?)
            .with_scopes(issuer.scopes.iter().cloned());
        request = match issuer.pushed_authorization {
            PushedAuthorization::Auto => request,
            PushedAuthorization::Required => request.with_required_pushed_request(),
            PushedAuthorization::Never => request.without_pushed_request(),
        };
        request = issuer.with_own_parameters(request);
        let admitted = self.throttle.login(issuer.name(), call.request.client_ip()).await?;
        let (url, pending) = in_time(issuer, issuer.client().begin_login(request)).await?;
        drop(admitted);
        let state = pending.state().to_owned();
        let (name, iss) = (issuer.name().to_owned(), issuer.url().to_owned());
        let transaction = Transaction { issuer: name, iss, pending, return_to };
        let cookies = self
            .cookies
            .begin_login(call.request.headers(), &state, &transaction, self.clock.now())
            .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
        metric::login(issuer.name(), "started");
        call.notes.set_cookies(cookies);
        Ok(see_other(url.as_str(), StatusCode::FOUND, &call.context))
    }

    pub(super) async fn sign_in(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let return_to = self.return_to(&call)?;
        Ok(sign_in_page(&call, return_to))
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
    pub(super) fn return_to(&self, call: &Call) -> Result<String, Refusal> {
        let target = parameter(call.query(), "rd")?.unwrap_or_default();
        Ok(sanitize(&target, &self.origin(call.request.host())))
    }
}

fn sign_in_page(call: &Call, return_to: String) -> Response<Body> {
    let page = pages::SignIn { heading_to: None, return_to, notice: None };
    page.into_response(&call.context, StatusCode::OK)
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
