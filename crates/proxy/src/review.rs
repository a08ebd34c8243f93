//! Judges open streams again.
//!
//! A WebSocket or an event stream is permitted once, at its beginning, and may stay open for hours. What permitted it can change
//! meanwhile: a refresh brings other roles or groups, a reload brings stricter rules, another audience, or takes the route away.
//! Each of these has the stream judged again, by the rules and the identity of then; one that would not be permitted now is
//! closed. That the session ends is known without judging, and closes streams by itself.

use std::{fmt, future::pending, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::StatusCode;
use tokio::sync::watch;

use crate::{
    authorize::{Case, Denied, judge},
    canonical::{CanonicalHost, CanonicalMethod, CanonicalPath},
    identify::{Caller, Credential, Identify},
    respond::Refusal,
    route::{Route, Routes},
};

/// Exchanges are not judged again before they have lasted this long: nearly all end sooner.
pub(crate) const UNDISTURBED: Duration = Duration::from_secs(1);

/// When a stream is judged again that could not be judged because the issuer is out of reach.
const LATER: Duration = Duration::from_secs(30);

/// Knows the rules of now, and tells open streams when they change.
pub struct Review {
    line: ArcSwapOption<Line>,
    reloads: watch::Sender<()>,
}

/// The stages that judge.
struct Line {
    routes: Arc<Routes>,
    identify: Arc<Identify>,
}

/// What a stream was opened with: enough to ask the rules again.
#[derive(Debug)]
pub struct Permit {
    /// The route that serves the stream.
    pub(crate) route: Arc<Route>,
    /// The method it was opened by.
    pub(crate) method: CanonicalMethod,
    /// The host it was opened at.
    pub(crate) host: CanonicalHost,
    /// The path it was opened at.
    pub(crate) path: CanonicalPath,
    /// What proved the identity.
    pub(crate) credential: Credential,
}

/// Why a stream that was permitted may not go on.
enum Verdict {
    Stands,
    Unknown,
    Revoked(Refusal),
}

impl Review {
    /// Judges by these stages from now on, and has every open stream judged by them.
    pub fn replace(&self, routes: Arc<Routes>, identify: Arc<Identify>) {
        self.line.store(Some(Arc::new(Line { routes, identify })));
        self.reloads.send_replace(());
    }

    /// Resolves when a stream is no longer permitted, with the reason. Pending as long as it is.
    pub(crate) async fn revoked(&self, permit: &Permit) -> Refusal {
        let mut reloads = self.reloads.subscribe();
        loop {
            // Listens from here on: no change between judging and waiting is lost.
            let renewed = match &permit.credential {
                Credential::Session(session) => Some(session.renewals().notified()),
                Credential::None | Credential::Bearer { .. } => None,
            };
            let again = match self.judge(permit).await {
                Verdict::Revoked(refusal) => {
                    permit.tell(&refusal);
                    return refusal;
                }
                Verdict::Stands => None,
                Verdict::Unknown => Some(LATER),
            };
            let renewed = async {
                match renewed {
                    Some(renewed) => renewed.await,
                    None => pending().await,
                }
            };
            let later = async {
                match again {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => pending().await,
                }
            };
            let (renewed, later) = (pin!(renewed), pin!(later));
            tokio::select! {
                Ok(()) = reloads.changed() => {}
                () = renewed => {}
                () = later => {}
            }
        }
    }

    async fn judge(&self, permit: &Permit) -> Verdict {
        let Some(line) = self.line.load_full() else { return Verdict::Stands };
        let route = match line.routes.choose(&permit.host, &permit.path) {
            // The rules of another route say nothing about the upstream that serves this stream.
            Ok(route) if route.name != permit.route.name => {
                return Verdict::Revoked(Refusal::NoRoute);
            }
            Ok(route) => route,
            Err(refusal) => return Verdict::Revoked(refusal),
        };
        let identity = match line.identify.again(&permit.credential).await {
            Ok(identity) => identity,
            // An issuer that is out of reach takes nothing back.
            Err(refusal) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
                return Verdict::Unknown;
            }
            Err(refusal) => return Verdict::Revoked(refusal),
        };
        let caller = Caller { identity, credential: permit.credential.clone(), unread: None };
        let case = Case {
            route: &route,
            method: &permit.method,
            path: &permit.path,
            caller: &caller,
            // Which page opened it was judged then, and does not change.
            page: None,
        };
        match judge(&case) {
            Ok(_) => Verdict::Stands,
            Err(Denied::Refused(refusal)) => Verdict::Revoked(refusal),
            Err(Denied::SignIn) => Verdict::Revoked(Refusal::LoginNeeded {
                route: route.name.clone(),
                redirect: false,
                return_to: permit.path.as_str().to_owned(),
            }),
        }
    }
}

impl Permit {
    fn tell(&self, reason: &Refusal) {
        let known = match &self.credential {
            Credential::Session(session) => Some(session.known()),
            Credential::None | Credential::Bearer { .. } => None,
        };
        tracing::info!(
            host = %self.host,
            path = self.path.as_str(),
            issuer = known.as_ref().map(|known| known.issuer.as_str()),
            subject = known.as_ref().map(|known| known.subject.as_str()),
            %reason,
            "an open stream is no longer permitted"
        );
    }
}

// === impl Review ===

impl Default for Review {
    fn default() -> Self {
        Self { line: ArcSwapOption::empty(), reloads: watch::Sender::new(()) }
    }
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Review")
    }
}
