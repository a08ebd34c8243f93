//! `callback`: the provider sends the browser back with a code (OpenID Connect Core 1.0 §3.1.2.5).
//!
//! Everything is checked before the code is used: the login must have begun in this browser, and `state` and `iss` must match.
//! Every failure shows a page with the reason. Nothing here redirects to sign in again by itself, so there are no loops.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use oidc_core::login::{Login, PendingLogin, callback};
use web_sessions::SetCookies;

use crate::{
    endpoints::{
        Call, Endpoints, login_refusal,
        return_to::HOME,
        start::{Transaction, in_time},
    },
    identify::issuers::IssuerClient,
    metric,
    refusal::Refusal,
    respond::see_other,
};

impl Endpoints {
    pub(super) async fn callback(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let headers = call.request.headers();
        let raw_query = call.request.query().unwrap_or_default();
        let now = self.clock.now();
        let begun = callback::state(raw_query)
            .and_then(|state| self.cookies.take_login::<Transaction>(headers, &state, now));
        let Some((transaction, forget)) = begun else {
            return self.callback_without_login(&call).await;
        };
        let Some(issuer) = self.issuers.named(&transaction.issuer) else {
            return Err(failed("issuer_gone", "The identity provider is no longer configured."));
        };
        let answer = self.finish(&call, issuer, &transaction).await;
        match answer {
            Ok((ticket_cookies, return_to)) => {
                metric::login(issuer.name(), "ok");
                call.notes.set_cookies(forget);
                call.notes.set_cookies(ticket_cookies);
                Ok(see_other(&return_to, StatusCode::FOUND, &call.context))
            }
            Err(Refusal::SignInFailed { reason, code, .. }) => {
                call.notes.set_cookies(forget);
                Err(Refusal::SignInFailed { reason, code, return_to: transaction.return_to })
            }
            Err(other) => Err(other),
        }
    }

    async fn finish(
        &self,
        call: &Call,
        issuer: &Arc<IssuerClient>,
        transaction: &Transaction,
    ) -> Result<(SetCookies, String), Refusal> {
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
        let subject = record.known.subject.clone();
        let created = self.sessions.create_since(record, exchanged_at).await?;
        let Some((ticket, session)) = created else {
            return Err(login_refusal::ended_meanwhile(issuer));
        };
        self.end_replaced_session(call).await;
        tracing::info!(issuer = issuer.name(), subject, session = %session.id(), "signed in");
        let cookies = self
            .cookies
            .set_session(call.request.headers(), &ticket, self.lifetime)
            .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
        Ok((cookies, transaction.return_to.clone()))
    }

    /// Exchanges the code, once for each login: a cookie that comes back with another code makes no further token request.
    async fn redeem(
        &self,
        call: &Call,
        issuer: &IssuerClient,
        code: callback::Code,
        pending: &PendingLogin,
    ) -> Result<Login, Refusal> {
        let finished = self.throttle.finished();
        if !finished.first_time(pending.state()) {
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
            finished.forget(pending.state());
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
            return Ok(see_other(HOME, StatusCode::FOUND, &call.context));
        }
        metric::login("unknown", "no_transaction");
        Err(failed(
            "no_transaction",
            "This sign-in was not begun in this browser, or it took more than an hour.",
        ))
    }
}

fn failed(code: &'static str, reason: &'static str) -> Refusal {
    Refusal::SignInFailed { reason: reason.into(), code, return_to: HOME.to_owned() }
}
