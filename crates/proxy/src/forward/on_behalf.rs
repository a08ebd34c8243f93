//! Tokens for an upstream that the callers' own tokens are exchanged for (RFC 8693).
//!
//! The exchange runs in the background, once for all requests that need its token; a request waits for it for a bounded time. A
//! token in memory is used without I/O. It is dropped when the session ends that it was made for.

use std::sync::Arc;

use access_policy::Known;
use arc_swap::ArcSwap;
use http::HeaderValue;
use m2m::Exchange;
use tokio::runtime::Handle;
use web_sessions::{Farewell, LiveSession};

use super::token_failure::{TokenFailure, patiently};
use crate::{
    identify::{
        Credential,
        authorization::Carrier,
        issuers::{IssuerClient, Issuers},
    },
    metric,
    refusal::Refusal,
    route::Route,
    workers,
};

/// The exchanges of all routes.
pub type Exchanges = Vec<Arc<Exchange>>;

/// Exchanges tokens with the issuers of the callers.
#[derive(Debug, Clone)]
pub struct OnBehalf {
    issuers: Arc<Issuers>,
    clock: Arc<dyn oidc_core::Clock>,
}

impl OnBehalf {
    /// Exchanges the tokens of these issuers' callers.
    pub fn new(issuers: Arc<Issuers>, clock: Arc<dyn oidc_core::Clock>) -> Self {
        Self { issuers, clock }
    }

    /// The value of `Authorization` for a caller's request on a route.
    ///
    /// # Errors
    ///
    /// [`Refusal::ExchangeRefused`] when the issuer gives no such token for this caller, [`Refusal::ExchangeInvalid`] when its
    /// answer is none, [`Refusal::ProviderUnavailable`] and [`Refusal::IssuerMisconfigured`] as their names say,
    /// [`Refusal::LoginNeeded`] when the session ends meanwhile.
    pub(crate) async fn authorization(
        &self,
        route: &Route,
        wanted: &Arc<Exchange>,
        known: &Known,
        credential: &Credential,
    ) -> Result<HeaderValue, Refusal> {
        let refused = |reason: &str| Refusal::ExchangeRefused {
            route: route.name.clone(),
            issuer: known.issuer.clone(),
            reason: reason.to_owned(),
        };
        let issuer = self.issuers.named(&known.issuer);
        let Some((issuer, tokens)) =
            issuer.and_then(|issuer| Some((issuer, issuer.exchanged.as_ref()?)))
        else {
            let reason = "the gateway is no client with credentials at the caller's issuer";
            return Err(refused(reason));
        };
        let (subject, session) = match credential {
            Credential::Bearer { carrier: Carrier::Dpop, .. } => {
                return Err(refused(
                    "the caller's token is bound to a key that the gateway does not have",
                ));
            }
            Credential::Bearer { token, .. } => (token.clone(), None),
            Credential::Session(session) => {
                let token = session.access_token(self.clock.now());
                let none = "the session has no valid access token, and nothing refreshes it";
                (token.ok_or_else(|| refused(none))?, Some(session))
            }
            Credential::None | Credential::Key { .. } | Credential::Certificate { .. } => {
                return Err(refused("the caller presented no token"));
            }
        };
        let token = match tokens.current(&subject, wanted).await {
            Some(token) => token,
            None => {
                let (tokens, subject) = (tokens.clone(), subject.clone());
                let wanted = Arc::clone(wanted);
                let asking = async move { tokens.exchange(&subject, &wanted).await };
                let token = patiently(asking).await.map_err(|none| refusal(none, route, issuer))?;
                metric::exchanged(issuer.name(), "ok");
                token
            }
        };
        if session.is_some_and(ended) {
            tokens.forget(&subject, wanted).await;
            return Err(Refusal::LoginNeeded {
                route: route.name.clone(),
                redirect: false,
                return_to: route.prefix.as_str().to_owned(),
                level: None,
            });
        }
        Ok(token.authorization())
    }
}

fn ended(session: &Arc<LiveSession>) -> bool {
    session.ended().is_cancelled()
}

fn refusal(failure: TokenFailure, route: &Route, issuer: &IssuerClient) -> Refusal {
    let (route, issuer) = (route.name.clone(), issuer.name().to_owned());
    let refusal = match failure {
        TokenFailure::Unavailable(reason) => {
            let reason = format!("token exchange: {reason}");
            Refusal::ProviderUnavailable { issuer: issuer.clone(), reason }
        }
        TokenFailure::Misconfigured(reason) => {
            let reason = format!("token exchange: {reason}");
            Refusal::IssuerMisconfigured { issuer: issuer.clone(), reason }
        }
        TokenFailure::Refused(reason) => {
            Refusal::ExchangeRefused { route, issuer: issuer.clone(), reason }
        }
        TokenFailure::Invalid(reason) => {
            Refusal::ExchangeInvalid { route, issuer: issuer.clone(), reason }
        }
    };
    metric::exchanged(&issuer, refusal.code());
    refusal
}

/// Forgets the tokens that were made from an ended session's. Returns at once.
pub fn farewell(
    issuers: Arc<ArcSwap<Issuers>>,
    exchanges: Arc<ArcSwap<Exchanges>>,
) -> Arc<Farewell> {
    Arc::new(move |record| {
        let exchanges = exchanges.load_full();
        if exchanges.is_empty() || Handle::try_current().is_err() {
            return;
        }
        let issuer = issuers.load().named(&record.known.issuer).cloned();
        let Some(tokens) = issuer.and_then(|issuer| issuer.exchanged.clone()) else { return };
        let subject = record.access_token.clone();
        workers::in_background(async move {
            for wanted in exchanges.iter() {
                tokens.forget(&subject, wanted).await;
            }
        });
    })
}
