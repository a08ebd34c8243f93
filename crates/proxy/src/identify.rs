//! Stage 3, identify: finds the caller of a request from a token or a session cookie.
//!
//! Missing credentials are not refused here, only invalid ones: `authorize` decides whether the caller must be known. A public
//! route therefore still learns the caller's identity.

mod agent;
pub mod api_key;
pub mod authorization;
pub mod bearer;
pub mod certificate;
pub mod claims;
pub mod cookie;
pub mod issuers;
pub mod possession;
mod sender;

use std::{sync::Arc, time::SystemTime};

use access_policy::{Caller, Message, Times};
use api_keys::ApiKey;
use http::HeaderValue;
use oidc_core::dpop::{DpopChecker, DpopPolicy, LocalReplayMemory};
use oidc_core::verify::Presented as PresentedToken;
use oidc_core::{Clock, TokenRefusal};
use web_sessions::SetCookies;

pub(crate) use self::sender::Unread;
pub use self::sender::{Credential, Sender};
use crate::{
    identify::{
        api_key::{Attempt, KeyGate},
        authorization::{Carrier, Presented, Takes},
        bearer::Sent,
        certificate::CertificateCallers,
        cookie::SessionCookie,
        issuers::Issuers,
        possession::{Asked, Target},
    },
    listen::CanonicalRequest,
    mcp::McpMessage,
    refusal::Refusal,
    route::{Route, Routed},
    throttle::Throttle,
};

/// A routed request whose caller is known, or known to be anonymous.
#[derive(Debug)]
pub struct Identified {
    pub(crate) routed: Routed,
    pub(crate) sender: Sender,
    /// The times that the rules need; none unless they do.
    pub(crate) times: Option<Times>,
    /// The message that the rules judge; none unless they do. Boxed: few routes have such rules.
    pub(crate) message: Option<Box<SeenMessage>>,
}

/// The message of a request, where rules judge messages.
#[derive(Debug, Clone)]
pub(crate) enum SeenMessage {
    /// It was not read: the caller is unknown, and no rule lets such callers pass.
    Unread,
    /// The request carries one, or none.
    Read(Option<Arc<McpMessage>>),
}

impl Identified {
    /// The message as rules see it.
    pub(crate) fn message(&self) -> Message<'_> {
        match self.message.as_deref() {
            Some(SeenMessage::Unread) => Message::Unread,
            Some(SeenMessage::Read(Some(message))) => message.as_seen(),
            Some(SeenMessage::Read(None)) | None => Message::None,
        }
    }

    /// The message, if it was read.
    pub(crate) fn read_message(&self) -> Option<&Arc<McpMessage>> {
        match self.message.as_deref() {
            Some(SeenMessage::Read(message)) => message.as_ref(),
            Some(SeenMessage::Unread) | None => None,
        }
    }
}

/// The third step of the line: finds the caller of a request.
#[derive(Debug)]
pub struct Identify {
    issuers: Arc<Issuers>,
    cookie: SessionCookie,
    throttle: Arc<Throttle>,
    clock: Arc<dyn Clock>,
    proofs: Arc<DpopChecker>,
    certificates: CertificateCallers,
    keys: Option<KeyGate>,
}

/// Used proofs that a process remembers unless its replicas share a memory.
const PROOFS: usize = 100_000;

impl Identify {
    /// Reads bearer tokens of these issuers, and session cookies. The throttle limits the calls to an issuer for tokens that
    /// only the issuer can read.
    pub fn new(
        issuers: Arc<Issuers>,
        cookie: SessionCookie,
        throttle: Arc<Throttle>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let memory = Arc::new(LocalReplayMemory::new(PROOFS));
        let proofs = Arc::new(DpopChecker::new(DpopPolicy::default(), memory));
        let certificates = CertificateCallers::default();
        Self { issuers, cookie, throttle, clock, proofs, certificates, keys: None }
    }

    /// Also knows these callers by their client certificate alone.
    #[must_use]
    pub fn with_certificates(mut self, certificates: CertificateCallers) -> Self {
        self.certificates = certificates;
        self
    }

    /// Checks the proofs of tokens in this way, instead of by the default policy and a memory of its own.
    #[must_use]
    pub fn with_proofs(mut self, proofs: Arc<DpopChecker>) -> Self {
        self.proofs = proofs;
        self
    }

    /// The nonce for the next proof of a sender that sent one, where proofs need it (RFC 9449 §8.2).
    pub(crate) fn next_nonce(&self, sender: &Sender) -> Option<HeaderValue> {
        let nonce = sender.is_dpop().then(|| self.proofs.nonce(self.clock.now()))?;
        nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok())
    }

    /// Accepts API keys too.
    #[must_use]
    pub fn with_keys(self, keys: Option<KeyGate>) -> Self {
        Self { keys, ..self }
    }

    /// The API keys that it accepts, if it accepts any.
    pub(crate) fn keys(&self) -> Option<&KeyGate> {
        self.keys.as_ref()
    }

    /// The times of a request that begins now, if a rule of the route needs them.
    pub(crate) fn times(&self, route: &Route) -> Option<Times> {
        route.policy.depends_on_time().then(|| Times::beginning(self.clock.now()))
    }

    /// The present time.
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Finds the caller of a routed request. Cookies that the answer must carry, also on a refusal, are added to `cookies`.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadCredentials`] for an invalid token, [`Refusal::Unproven`] for a bound one without its proof,
    /// [`Refusal::InvalidKey`] and [`Refusal::KeyElsewhere`] for an API key, [`Refusal::TooMany`] for too many tokens that an issuer must be asked
    /// about, [`Refusal::CredentialsDisagree`] for credentials of two callers, [`Refusal::ForeignOrigin`] for Basic from another
    /// site's page and for any request of such a page to a server of MCP, [`Refusal::StoreUnavailable`] when a cookie cannot be
    /// judged now, [`Refusal::McpMessage`] for a message with two readings.
    pub async fn identify(
        &self,
        routed: Routed,
        cookies: &mut SetCookies,
    ) -> Result<Identified, Refusal> {
        let takes = Takes::on(&routed.route);
        let asked = Asked {
            method: Some(routed.request.method()),
            origin: &|| routed.route.origin(routed.request.host()),
            path: routed.request.path(),
        };
        let sender = self.sender(&routed.request, asked, takes, cookies).await?;
        if sender.is_ambient() {
            let Routed { request, route } = &routed;
            let own = route.origin(request.host());
            let page = authorization::other_site(request.headers(), &own, &route.origins);
            if let Some(origin) = page {
                return Err(Refusal::ForeignOrigin { origin });
            }
        }
        let times = self.times(&routed.route);
        let mut identified = Identified { routed, sender, times, message: None };
        if identified.routed.route.mcp.is_some() {
            Box::pin(agent::check(&mut identified)).await?;
        }
        Ok(identified)
    }

    /// Finds the caller of a request. A token for the gateway takes precedence over a cookie; where both name a caller, it
    /// must be the same one. A proof of possession must be for the request that is `asked` about.
    ///
    /// # Errors
    ///
    /// Those of [`Identify::identify`].
    pub async fn sender(
        &self,
        request: &CanonicalRequest,
        asked: Asked<'_>,
        takes: Takes<'_>,
        cookies: &mut SetCookies,
    ) -> Result<Sender, Refusal> {
        let headers = request.headers();
        let sent = |carrier| Sent {
            carrier,
            client: request.client_ip(),
            certificate: request.client_certificate().map(|one| &**one),
        };
        let (by_token, unread) = match authorization::presented(headers, takes) {
            Presented::Nothing => (None, None),
            Presented::Malformed(form) => return Err(authorization::malformed(form).into()),
            Presented::Basic(token) => {
                let verify = self.bearer(token.expose(), sent(Carrier::Basic), takes);
                (Some(Box::pin(verify).await?), None)
            }
            Presented::Bearer(token) if self.takes_key(token) => {
                let verify = self.key(token, sent(Carrier::Bearer), takes);
                (Some(Box::pin(verify).await?), None)
            }
            Presented::Dpop(token)
                if !self.takes_key(token) && bearer::is_foreign(&self.issuers, token) =>
            {
                let bearer = self.issuers.verifier(takes.audience);
                (None, bearer.map(|_| Unread::Token(TokenRefusal::SenderConstrained)))
            }
            Presented::Dpop(_) => {
                let proven = async {
                    let target = Target::of(asked)?;
                    let presented = target.presented(headers)?;
                    self.token(presented, sent(Carrier::Dpop), takes.audience).await
                };
                (Some(Box::pin(proven).await?), None)
            }
            // No issuer has an audience. The gateway then ignores an application's own token.
            Presented::Bearer(token) if self.issuers.verifier(takes.audience).is_none() => {
                match bearer::is_foreign(&self.issuers, token) {
                    true => (None, None),
                    false => return Err(bearer::no_audience().into()),
                }
            }
            Presented::Bearer(token) => {
                match self.bearer(token, sent(Carrier::Bearer), takes).await {
                    Err(Refusal::BadCredentials(refusal))
                        if bearer::is_foreign(&self.issuers, token) =>
                    {
                        (None, Some(Unread::Token(refusal)))
                    }
                    identified => (Some(identified?), None),
                }
            }
        };
        let by_field = match request.gateway_token() {
            Some(value) => {
                let token = authorization::own_field(value)?;
                let verify = self.bearer(token, sent(Carrier::OwnField), takes);
                Some(Box::pin(verify).await?)
            }
            None => None,
        };
        let by_token = match (by_token, by_field) {
            (Some(one), Some(other)) if !one.caller.is_same(&other.caller) => {
                return Err(Refusal::CredentialsDisagree);
            }
            (one, other) => one.or(other),
        };
        let Some(sender) = by_token else {
            let sender = self.cookie.identify(headers, cookies).await?;
            let sender = Sender { unread: unread.or(sender.unread), ..sender };
            return Ok(match request.client_certificate() {
                Some(certificate) => {
                    self.certificates.sender(sender, certificate, self.clock.now())
                }
                None => sender,
            });
        };
        if let Some(ticket) = self.cookie.ticket(headers) {
            let session = Box::pin(self.cookie.caller_of(&ticket)).await?;
            if matches!(session, Caller::Known(_)) && !session.is_same(&sender.caller) {
                return Err(Refusal::CredentialsDisagree);
            }
        }
        Ok(Sender { unread, ..sender })
    }

    /// Current identity of a credential on a route, after the session's tokens were refreshed or a new configuration was loaded.
    /// A session that only a request could confirm is anonymous, unless that is `unneeded`.
    ///
    /// # Errors
    ///
    /// The reason the credential is no longer valid.
    pub(crate) async fn again(
        &self,
        credential: &Credential,
        takes: Takes<'_>,
        unneeded: bool,
    ) -> Result<Caller, Refusal> {
        match credential {
            Credential::None => Ok(Caller::Anonymous),
            Credential::Session(session) if unneeded => Ok(self.cookie.identity(session)),
            Credential::Session(session) => Ok(self.cookie.identity_of_stream(session)),
            Credential::Certificate { certificate, .. } => {
                let proven = self.certificates.identify(certificate, self.clock.now());
                Ok(proven.map_or(Caller::Anonymous, |proven| Caller::Known(proven.known)))
            }
            // Tokens in this field are not for the gateway any more: a request with this one is anonymous now.
            Credential::Bearer { carrier, .. } | Credential::Key { carrier, .. }
                if !takes.from(*carrier) =>
            {
                Ok(Caller::Anonymous)
            }
            Credential::Key { key, carrier, .. } => match &self.keys {
                Some(keys) => {
                    let (issuers, now) = (&self.issuers, self.clock.now());
                    let again = keys.again(key, *carrier, takes.route, issuers, now);
                    Ok(Box::pin(again).await?.caller)
                }
                None => Ok(Caller::Anonymous),
            },
            Credential::Bearer { token, .. } => {
                let Some(verifier) = self.issuers.verifier(takes.audience) else {
                    return Ok(Caller::Anonymous);
                };
                let token = token.expose();
                Ok(bearer::again(&self.issuers, verifier, &self.throttle, token).await?)
            }
        }
    }

    async fn bearer(
        &self,
        token: &str,
        sent: Sent<'_>,
        takes: Takes<'_>,
    ) -> Result<Sender, Refusal> {
        match self.takes_key(token) {
            true => Box::pin(self.key(token, sent, takes)).await,
            false => self.token(PresentedToken::bearer(token), sent, takes.audience).await,
        }
    }

    async fn token(
        &self,
        presented: PresentedToken<'_>,
        sent: Sent<'_>,
        audience: &[String],
    ) -> Result<Sender, Refusal> {
        let Some(verifier) = self.issuers.verifier(audience) else {
            return Err(bearer::no_audience().into());
        };
        let verified = bearer::identify(
            &self.issuers,
            verifier,
            &self.throttle,
            &self.proofs,
            presented,
            sent,
        );
        match verified.await {
            // The answer has what the client needs to try again.
            Err(Refusal::Unproven(mut unproven)) => {
                unproven.algorithms = self.proofs.algorithms();
                unproven.nonce = self.proofs.nonce(self.clock.now());
                Err(Refusal::Unproven(unproven))
            }
            identified => identified,
        }
    }

    /// Whether a token is an API key, or an attempt at one.
    fn takes_key(&self, token: &str) -> bool {
        self.keys.is_some() && ApiKey::is_like(token)
    }

    async fn key(
        &self,
        token: &str,
        Sent { carrier, client, .. }: Sent<'_>,
        takes: Takes<'_>,
    ) -> Result<Sender, Refusal> {
        let Some(keys) = &self.keys else { return Err(bearer::no_audience().into()) };
        let attempt = Attempt { token, carrier, client, route: takes.route };
        keys.identify(attempt, &self.issuers, &self.throttle, &*self.clock).await
    }
}
