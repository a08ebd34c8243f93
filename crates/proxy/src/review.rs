//! Judges open streams again.
//!
//! A WebSocket or an event stream is permitted once, at its beginning, and may stay open for hours. The basis of that decision
//! can change meanwhile: a refresh brings other roles or groups, a reload brings stricter rules or another audience, or removes
//! the route; the hours of a rule end. Each of these has the stream judged again, by the rules and the identity at that time; a stream that would not be
//! permitted now is closed. The end of the session needs no judgement, and closes streams by itself.

use std::{
    fmt,
    future::pending,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use access_policy::{AccessRequest, Caller, Message, Times};
use arc_swap::ArcSwapOption;
use http::StatusCode;
use http_canonical::{CanonicalHost, CanonicalMethod, CanonicalPath};
use oidc_core::TokenRefusal;
use tokio::sync::watch;

use crate::{
    authorize::{Case, Denied, judge},
    identify::{Credential, Identify, Sender, authorization::Takes},
    mcp::McpMessage,
    refusal::Refusal,
    route::{Route, Routes},
    throttle::Counted,
};

/// Exchanges are not judged again before they have lasted this long, because nearly all end sooner.
pub(crate) const UNDISTURBED: Duration = Duration::from_secs(1);

/// Time after which a stream is judged again that could not be judged because the issuer is unreachable.
const LATER: Duration = Duration::from_secs(30);

/// The longest pause before a stream whose hours end is judged again.
const HOURS: Duration = Duration::from_secs(60);

/// Holds the current rules, and notifies open streams when they change.
pub struct Review {
    line: ArcSwapOption<Line>,
    reloads: watch::Sender<()>,
}

/// The stages that judge.
struct Line {
    routes: Arc<Routes>,
    identify: Arc<Identify>,
}

/// Data of a stream's opening request, to apply the rules again.
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
    /// The caller, as it was known then.
    pub(crate) caller: Caller,
    /// Proof of the identity.
    pub(crate) credential: Credential,
    /// Time at which the request began, where its rules asked for it.
    pub(crate) began: Option<SystemTime>,
    /// The message by which it was judged, where its rules asked for it.
    pub(crate) message: Option<Arc<McpMessage>>,
    /// Counts for its user until its end, where the route bounds them.
    pub(crate) counted: Option<Counted>,
}

/// Kind of an exchange: it decides what an identity is worth that only a new request could confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Judged at its start, and runs to its end: an upload, a download.
    Plain,
    /// Has no end of its own: a WebSocket, server-sent events, gRPC.
    Stream,
}

/// Result of judging an open stream.
enum Verdict {
    /// With the time after which the rules may decide otherwise.
    Permitted(Option<Duration>),
    Unknown,
    Revoked(Refusal),
}

impl Review {
    /// Replaces the stages, and judges every open stream with them.
    pub fn replace(&self, routes: Arc<Routes>, identify: Arc<Identify>) {
        self.line.store(Some(Arc::new(Line { routes, identify })));
        self.reloads.send_replace(());
    }

    /// Resolves with the reason when a stream is no longer permitted; pending until then.
    pub(crate) async fn revoked(&self, permit: &Permit, kind: Kind) -> Refusal {
        let mut reloads = self.reloads.subscribe();
        loop {
            // Subscribes before judging, so that no change between judging and waiting is lost.
            let renewed = match &permit.credential {
                Credential::Session(session) => Some(session.renewals().notified()),
                Credential::Key { key, .. } => Some(key.changes().notified()),
                Credential::None | Credential::Bearer { .. } | Credential::Certificate { .. } => {
                    None
                }
            };
            let again = match self.judge(permit, kind).await {
                Verdict::Revoked(refusal) => {
                    permit.log_revocation(&refusal);
                    return refusal;
                }
                Verdict::Permitted(again) => again,
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

    async fn judge(&self, permit: &Permit, kind: Kind) -> Verdict {
        let Some(line) = self.line.load_full() else { return Verdict::Permitted(None) };
        let now = line.identify.now();
        let route = match line.routes.choose(&permit.host, &permit.path) {
            // The rules of another route do not apply to the upstream that serves this stream.
            Ok(route) if route.name != permit.route.name => {
                return Verdict::Revoked(Refusal::NoRoute);
            }
            Ok(route) => route,
            Err(refusal) => return Verdict::Revoked(refusal),
        };
        let (takes, unneeded) = (Takes::on(&route), kind == Kind::Plain);
        let caller = match line.identify.again(&permit.credential, takes, unneeded).await {
            Ok(caller) => caller,
            // The rules judge the caller as the token stated it. Where the end of a token ends a stream, the cutoff does that.
            Err(Refusal::BadCredentials(TokenRefusal::Expired { .. })) => permit.caller.clone(),
            // An unreachable issuer revokes nothing.
            Err(refusal) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
                return Verdict::Unknown;
            }
            Err(refusal) => return Verdict::Revoked(refusal),
        };
        let sender = Sender { caller, credential: permit.credential.clone(), unread: None };
        let case = Case {
            route: &route,
            access: AccessRequest::new(&permit.method, &permit.path)
                .with_host(permit.host.name())
                .with_times(Some(Times { now, began: permit.began.unwrap_or(now) }))
                .with_message(permit.message()),
            sender: &sender,
            // The page was judged when the stream was opened, and does not change.
            page: None,
        };
        match judge(&case) {
            Ok(_) => {
                let changes_at = route.policy.changes_after(now);
                let pause = changes_at.and_then(|at| at.duration_since(now).ok());
                // The clock may be set meanwhile.
                Verdict::Permitted(pause.map(|pause| pause.min(HOURS)))
            }
            Err(Denied::Refused(refusal)) => Verdict::Revoked(refusal),
            Err(Denied::StepUp { needed, .. }) => Verdict::Revoked(Refusal::StrongerSignInNeeded {
                route: route.name.clone(),
                redirect: false,
                return_to: permit.path.as_str().to_owned(),
                needed,
            }),
            Err(Denied::SignIn(_)) => Verdict::Revoked(Refusal::LoginNeeded {
                route: route.name.clone(),
                redirect: false,
                return_to: permit.path.as_str().to_owned(),
                level: None,
            }),
        }
    }
}

impl Permit {
    /// The message as rules see it. One that was not read when the stream was opened cannot be read later.
    fn message(&self) -> Message<'_> {
        match &self.message {
            Some(message) => message.as_seen(),
            None if self.method.as_str() == "POST" => Message::Unread,
            None => Message::None,
        }
    }

    fn log_revocation(&self, reason: &Refusal) {
        let known = match &self.credential {
            Credential::Session(session) => Some(session.known()),
            Credential::None
            | Credential::Bearer { .. }
            | Credential::Key { .. }
            | Credential::Certificate { .. } => None,
        };
        tracing::info!(
            host = %self.host,
            path = self.path.as_str(),
            issuer = known.as_ref().map(|known| known.issuer.as_str()),
            subject = known.as_ref().map(|known| known.subject.as_str()),
            %reason,
            "open stream no longer permitted"
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
