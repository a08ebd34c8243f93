//! `callback`: the provider sends the browser back with a code (OpenID Connect Core 1.0 §3.1.2.5).
//!
//! Everything is checked before the code is used: the login must have begun in this browser, and `state` and `iss` must match.
//! Every failure shows a page with the reason. Nothing here redirects to sign in again by itself, so there are no loops.

use std::sync::Arc;

use access_policy::Known;
use axum::body::Body;
use http::{Response, StatusCode};
use oidc_core::login::{Login, PendingLogin, callback};
use serde_json::Value;
use web_sessions::{SetCookies, StoreError};

use crate::{
    endpoints::{
        Call, Endpoints, login_refusal,
        return_to::HOME,
        start::{Transaction, in_time},
    },
    identify::issuers::IssuerClient,
    metric,
    refusal::Refusal,
    respond::{pages, see_other},
};

impl Endpoints {
    pub(super) async fn callback(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let headers = call.request.headers();
        let raw_query = call.request.query().unwrap_or_default();
        let now = self.clock.now();
        let begun = match callback::state(raw_query) {
            Some(state) => self.logins.find::<Transaction>(headers, &state, now).await?,
            None => None,
        };
        let Some(begun) = begun else {
            return self.callback_without_login(&call).await;
        };
        let transaction = &begun.transaction;
        let Some(issuer) = self.issuers.named(&transaction.issuer) else {
            return Err(failed("issuer_gone", "The identity provider is no longer configured."));
        };
        let (return_to, too_long) = (transaction.return_to.clone(), transaction.too_long);
        let answer = self.finish(&call, issuer, transaction).await;
        match answer {
            Ok(cookies) => {
                metric::login(issuer.name(), "ok");
                call.notes.set_cookies(self.logins.forget(begun).await);
                call.notes.set_cookies(cookies);
                if too_long {
                    return Ok(arrived(
                        "The address you asked for is too long to be kept while you sign in.",
                        &call,
                    ));
                }
                Ok(see_other(&return_to, StatusCode::FOUND, &call.context))
            }
            Err(Refusal::SignInFailed { reason, code, .. }) => {
                call.notes.set_cookies(self.logins.forget(begun).await);
                Err(Refusal::SignInFailed { reason, code, return_to })
            }
            Err(other) => Err(other),
        }
    }

    async fn finish(
        &self,
        call: &Call,
        issuer: &Arc<IssuerClient>,
        transaction: &Transaction,
    ) -> Result<SetCookies, Refusal> {
        let raw_query = call.request.query().unwrap_or_default();
        let pending = &transaction.pending;
        // RFC 9700 §4.4: the code and the verifier go to the issuer that the browser was sent to, and to no other that has its
        // name since.
        if !transaction.iss.is_empty() && transaction.iss != issuer.url() {
            metric::login(issuer.name(), "issuer_changed");
            let reason = "The identity provider was replaced while you signed in.";
            return Err(failed("issuer_changed", reason));
        }
        let code = issuer
            .client()
            .parse_callback(raw_query, pending)
            .await
            .map_err(|refusal| login_refusal::of_callback(issuer, &refusal))?;
        let exchanged_at = self.clock.now();
        let login = self.redeem(call, issuer, code, pending).await?;
        let record = issuer.record(login, self.clock.now()).await;
        let record = record.map_err(|error| login_refusal::of_user_info(issuer, &error))?;
        strong_enough(issuer, &record.known, &transaction.levels)?;
        let (subject, known) = (record.known.subject.clone(), Arc::clone(&record.known));
        let created = self.sessions.create_since(record, exchanged_at).await;
        let created = created.inspect_err(|error| {
            tracing::warn!(issuer = issuer.name(), %error, "no session was begun");
            if matches!(error, StoreError::TooLarge { .. }) {
                metric::login(issuer.name(), "session_too_large");
            }
        })?;
        let Some((ticket, session)) = created else {
            return Err(login_refusal::ended_meanwhile(issuer));
        };
        // The person's API keys have the identity of this sign-in from now on.
        if let Err(error) = self.api_keys.note_owner(&known, self.clock.now()).await {
            tracing::warn!(issuer = issuer.name(), %error, "identity of an owner of API keys not stored");
        }
        self.end_replaced_session(call).await;
        tracing::info!(issuer = issuer.name(), subject, session = %session.id(), "signed in");
        let cookies = self
            .cookies
            .set_session(call.request.headers(), &ticket, self.lifetime)
            .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
        Ok(cookies)
    }

    /// Exchanges the code, once for each login at all processes that share a store: a cookie that comes back with another code
    /// makes no further token request.
    async fn redeem(
        &self,
        call: &Call,
        issuer: &IssuerClient,
        code: callback::Code,
        pending: &PendingLogin,
    ) -> Result<Login, Refusal> {
        let (finished, state) = (self.throttle.finished(), pending.state());
        if !finished.first_time(state)
            || !self.logins.first_exchange(state).await.inspect_err(|_| finished.forget(state))?
        {
            metric::login(issuer.name(), "login_replayed");
            return Err(failed("login_replayed", "This sign-in was finished before."));
        }
        let outcome = async {
            let admitted = self.throttle.login(issuer.name(), call.request.client_ip()).await?;
            let login = in_time(issuer, issuer.client().finish_login(code, pending)).await?;
            admitted.give_back();
            Ok(login)
        }
        .await;
        // The issuer did not answer about the code, so the browser may come back with it.
        if matches!(outcome, Err(Refusal::TooMany { .. } | Refusal::ProviderUnavailable { .. })) {
            finished.forget(state);
            self.logins.forget_exchange(state).await;
        }
        outcome
    }

    /// Ends the session that this browser had, whichever user it belonged to: a session that was planted, left by another user
    /// or copied must not live on beside the new one (OWASP ASVS 5.0 §7.2.4).
    async fn end_replaced_session(&self, call: &Call) {
        let Some(ticket) = self.cookies.session_ticket(call.request.headers()) else { return };
        if let Ok(Some(previous)) = self.sessions.peek(&ticket).await
            && let Err(error) = self.sessions.end(previous.id()).await
        {
            tracing::warn!(session = %previous.id(), %error, "a replaced session could not be ended");
        }
    }

    /// The browser came back from a login it did not begin, or whose cookie is gone: two tabs, an old bookmark, or an attack.
    async fn callback_without_login(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        if self.session_of(&call.request).await?.is_some() {
            return Ok(arrived(
                "The address you asked for is not known any more: this sign-in was finished before, took more than an hour, or began before too many others.",
                call,
            ));
        }
        metric::login("unknown", "no_transaction");
        Err(failed(
            "no_transaction",
            "This sign-in was not begun in this browser, took more than an hour, or began before too many others.",
        ))
    }
}

/// The page for a browser that is signed in, but whose way is lost.
fn arrived(reason: &str, call: &Call) -> Response<Body> {
    let page = pages::SignedIn { reason: reason.to_owned() };
    page.into_response(&call.context, StatusCode::OK)
}

/// A provider may ignore the levels it was asked for (OpenID Connect Core 1.0 §3.1.2.1). The rule would then send the browser to
/// sign in again without end.
fn strong_enough(issuer: &IssuerClient, known: &Known, levels: &[String]) -> Result<(), Refusal> {
    let level = known.claims.get("acr").and_then(Value::as_str);
    if levels.is_empty() || level.is_some_and(|level| levels.iter().any(|one| one == level)) {
        return Ok(());
    }
    metric::login(issuer.name(), "sign_in_too_weak");
    let (got, wanted) = (level.unwrap_or("none"), levels.join(" or "));
    tracing::warn!(
        issuer = issuer.name(),
        got,
        wanted,
        "the provider did not sign in at the level asked for"
    );
    Err(failed(
        "sign_in_too_weak",
        "This service needs a stronger sign-in than your identity provider made.",
    ))
}

fn failed(code: &'static str, reason: &'static str) -> Refusal {
    Refusal::SignInFailed { reason: reason.into(), code, return_to: HOME.to_owned() }
}
