//! `backchannel_logout`: the provider says that a session ended (OpenID Connect Back-Channel Logout 1.0 §2.5).

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use moka::policy::EvictionPolicy;
use oidc_core::token::LogoutToken;
use oidc_core::{TokenRefusal, Verified};
use web_sessions::{Ended, SessionStore, StoreError, Which, sha256};

use crate::{
    endpoints::{Call, Endpoints, parameter, read_form},
    identify::issuers::IssuerClient,
    metric,
    refusal::Refusal,
    respond::{AnswerContext, problem},
    throttle::Finished,
};

/// The `jti` of logout tokens already processed, so that none is processed twice (§2.6): by this process, or by any that shares
/// its store.
#[derive(Debug, Clone)]
pub struct SeenLogoutTokens {
    here: Finished,
    store: Arc<dyn SessionStore>,
}

impl SeenLogoutTokens {
    /// Remembers tokens here, and in the store if several processes share it.
    pub fn new(store: Arc<dyn SessionStore>) -> Self {
        Self { here: Finished::evicting(EvictionPolicy::default()), store }
    }

    /// Whether this token is new; remembers it.
    async fn first_time(&self, issuer: &str, jwt_id: &str) -> Result<bool, StoreError> {
        let name = format!("{issuer} {jwt_id}");
        if !self.here.first_time(&name) {
            return Ok(false);
        }
        let Some(shared) = self.store.shared() else { return Ok(true) };
        let first = shared.first_use(&sha256(name.as_bytes()), Finished::LIFETIME).await;
        // The provider sends it again, and it must then be processed.
        first.inspect_err(|_| self.here.forget(&name))
    }

    async fn forget(&self, issuer: &str, jwt_id: &str) {
        let name = format!("{issuer} {jwt_id}");
        self.here.forget(&name);
        if let Some(shared) = self.store.shared()
            && let Err(error) = shared.forget_use(&sha256(name.as_bytes())).await
        {
            tracing::warn!(issuer, %error, "a logout token that failed counts as used; the provider must send a new one");
        }
    }
}

impl Endpoints {
    pub(super) async fn backchannel_logout(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let context = Arc::clone(&call.context);
        let form = read_form(call.request.into_body().body).await?;
        let token = parameter(&form, "logout_token")?.unwrap_or_default();
        let mut unchecked = None;
        for issuer in self.issuers.iter().filter(|issuer| issuer.offers_login()) {
            match issuer.client().verifier().logout_token(&token).await {
                Ok(verified) => return self.obey(issuer, &verified, &context).await,
                Err(refusal) if may_hold_later(&refusal, &token, issuer) => {
                    unchecked = Some(Refusal::ProviderUnavailable {
                        issuer: issuer.name().to_owned(),
                        reason: refusal.to_string(),
                    });
                }
                Err(_) => {}
            }
        }
        // The token could not be checked; the provider may send it again and have it accepted.
        if let Some(refusal) = unchecked {
            return Err(refusal);
        }
        metric::logout("unknown", "bad_token");
        Ok(bad_token(&context))
    }

    async fn obey(
        &self,
        issuer: &Arc<IssuerClient>,
        token: &Verified<LogoutToken>,
        context: &AnswerContext,
    ) -> Result<Response<Body>, Refusal> {
        if !self.seen_logout_tokens.first_time(issuer.name(), token.jwt_id()).await? {
            metric::logout(issuer.name(), "replayed");
            return Ok(problem(
                StatusCode::BAD_REQUEST,
                "replayed_logout_token",
                "this logout token was already used",
                context,
            ));
        }
        let ended = match self.end_named(issuer, token).await {
            Ok(ended) => ended,
            Err(refusal) => {
                // The provider may send it again, and it must then be processed.
                self.seen_logout_tokens.forget(issuer.name(), token.jwt_id()).await;
                return Err(refusal);
            }
        };
        if ended.ids.is_empty() && !ended.spared.is_empty() {
            self.seen_logout_tokens.forget(issuer.name(), token.jwt_id()).await;
            tracing::warn!(
                issuer = issuer.name(),
                algorithm = token.algorithm().map(oidc_core::token::Algorithm::as_str),
                sessions = ended.spared.len(),
                "refused a logout token that is not signed as the ID tokens of the sessions it names"
            );
            metric::logout(issuer.name(), "bad_token");
            return Ok(bad_token(context));
        }
        tracing::info!(
            issuer = issuer.name(),
            sessions = ended.ids.len(),
            "signed out by the provider"
        );
        metric::logout(issuer.name(), "by_provider");
        Ok(Response::new(Body::empty()))
    }

    /// Ends the sessions that the token names and whose ID token is signed with the same algorithm (§2.6): those of its `sid`, and
    /// of its subject those that it may mean, because their ID token had no `sid` (§2.4, §2.7).
    async fn end_named(
        &self,
        issuer: &Arc<IssuerClient>,
        token: &Verified<LogoutToken>,
    ) -> Result<Ended, Refusal> {
        let issuer = issuer.name().to_owned();
        let (named, unnamed) = match (token.session_id(), token.subject()) {
            (Some(sid), subject) => (
                Which::ProviderSession { issuer: issuer.clone(), sid: sid.to_owned() },
                subject.map(|subject| Which::Unnamed { issuer, subject: subject.to_owned() }),
            ),
            (None, Some(subject)) => (Which::Subject { issuer, subject: subject.to_owned() }, None),
            (None, None) => return Ok(Ended::default()),
        };
        let mut ended = self.sessions.end_signed(&named, token.algorithm()).await?;
        if let Some(unnamed) = unnamed {
            let more = self.sessions.end_signed(&unnamed, token.algorithm()).await?;
            ended.ids.extend(more.ids);
            ended.spared.extend(more.spared);
        }
        Ok(ended)
    }
}

/// Whether the same token may be accepted later: its keys could not be fetched, or not at this moment for an unknown `kid`, because
/// tokens of others have just caused a fetch.
fn may_hold_later(refusal: &TokenRefusal, token: &str, issuer: &IssuerClient) -> bool {
    refusal.is_unavailable()
        || matches!(refusal, TokenRefusal::UnknownKey { .. })
            && oidc_core::verify::unverified_issuer(token).is_some_and(|iss| iss == issuer.url())
}

fn bad_token(context: &AnswerContext) -> Response<Body> {
    problem(StatusCode::BAD_REQUEST, "bad_logout_token", "the logout token is not good", context)
}
