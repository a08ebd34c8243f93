//! Stage 3, identify: finds the caller of a request from a token or a session cookie.
//!
//! Missing credentials are not refused here, only invalid ones: `authorize` decides whether the caller must be known. A public
//! route therefore still learns the caller's identity.

pub mod api_key;
pub mod authorization;
pub mod bearer;
pub mod claims;
pub mod cookie;
pub mod issuers;

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use access_policy::{Caller, Known, Times};
use api_keys::ApiKey;
use oidc_core::{Clock, Secret, TokenRefusal};
use web_sessions::{LiveKey, LiveSession, SetCookies};

use crate::{
    identify::{
        api_key::{Attempt, KeyGate},
        authorization::{Carrier, Presented, Takes},
        cookie::SessionCookie,
        issuers::Issuers,
    },
    listen::CanonicalRequest,
    refusal::Refusal,
    route::{Route, Routed},
    throttle::Throttle,
};

/// Proof of the identity; a stream ends at the latest with it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No credential was presented.
    None,
    /// An access token.
    Bearer {
        /// The token, as the client sent it.
        token: Secret,
        /// End of its validity: `exp` plus the leeway of its issuer. An answer to introspection may lack one (RFC 7662 §2.2).
        good_until: Option<SystemTime>,
        /// The field it came in.
        carrier: Carrier,
    },
    /// An API key.
    Key {
        /// The key, without its secret.
        key: Arc<LiveKey>,
        /// Time at which it expires, or is suspended.
        good_until: SystemTime,
        /// The field it came in.
        carrier: Carrier,
    },
    /// A session cookie.
    Session(Arc<LiveSession>),
}

impl Credential {
    /// The field in which a token or key came.
    pub fn carrier(&self) -> Option<Carrier> {
        match self {
            Self::Bearer { carrier, .. } | Self::Key { carrier, .. } => Some(*carrier),
            Self::None | Self::Session(_) => None,
        }
    }
}

/// A routed request whose caller is known, or known to be anonymous.
#[derive(Debug)]
pub struct Identified {
    pub(crate) routed: Routed,
    pub(crate) sender: Sender,
    /// The times that the rules need; none unless they do.
    pub(crate) times: Option<Times>,
}

/// The sender of a request: the caller as rules know it, and the proof of its identity.
#[derive(Debug)]
pub struct Sender {
    /// The caller, as rules know it.
    pub caller: Caller,
    /// Proof of the identity.
    pub credential: Credential,
    /// A credential that was not accepted and does not matter where anyone may call. Everywhere else the request is refused.
    pub(crate) unread: Option<Unread>,
}

/// A credential that does not matter where anyone may call.
#[derive(Debug, Clone)]
pub(crate) enum Unread {
    /// A bearer token that no configured issuer issued: it belongs to the application.
    Token(TokenRefusal),
    /// A session that its issuer, which is unavailable, would have to confirm.
    Session {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Reason it is not confirmed.
        reason: String,
    },
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Token(refusal) => refusal.into(),
            Unread::Session { issuer, reason } => Self::ProviderUnavailable { issuer, reason },
        }
    }
}

impl Sender {
    /// A caller that presents nothing.
    pub const ANONYMOUS: Self =
        Self { caller: Caller::Anonymous, credential: Credential::None, unread: None };

    /// A caller whose identity an issuer has confirmed.
    pub fn known(known: Arc<Known>, credential: Credential) -> Self {
        Self { caller: Caller::Known(known), credential, unread: None }
    }

    /// Whether the identity comes from a bearer token or an API key.
    pub fn is_bearer(&self) -> bool {
        self.credential.carrier().is_some()
    }

    /// Whether the identity comes from `X-Doorward-Token`: `Authorization` is then the application's.
    pub fn leaves_authorization(&self) -> bool {
        self.credential.carrier() == Some(Carrier::OwnField)
    }

    /// Whether the identity comes from the password of Basic, which a browser may send for another site's page.
    pub(crate) fn is_basic(&self) -> bool {
        self.credential.carrier() == Some(Carrier::Basic)
    }

    /// Whether the identity comes from a session cookie.
    pub fn has_session(&self) -> bool {
        matches!(self.credential, Credential::Session(_))
    }
}

/// The third step of the line: finds the caller of a request.
#[derive(Debug)]
pub struct Identify {
    issuers: Arc<Issuers>,
    cookie: SessionCookie,
    throttle: Arc<Throttle>,
    clock: Arc<dyn Clock>,
    keys: Option<KeyGate>,
}

impl Identify {
    /// Reads bearer tokens of these issuers, and session cookies. The throttle limits the calls to an issuer for tokens that
    /// only the issuer can read.
    pub fn new(
        issuers: Arc<Issuers>,
        cookie: SessionCookie,
        throttle: Arc<Throttle>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { issuers, cookie, throttle, clock, keys: None }
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
    /// [`Refusal::BadCredentials`] for an invalid token, [`Refusal::InvalidKey`] and [`Refusal::KeyElsewhere`] for an API key,
    /// [`Refusal::TooMany`] for too many tokens that an issuer must be asked
    /// about, [`Refusal::CredentialsDisagree`] for credentials of two callers, [`Refusal::ForeignOrigin`] for Basic from another
    /// site's page, [`Refusal::StoreUnavailable`] when a cookie cannot be judged now.
    pub async fn identify(
        &self,
        routed: Routed,
        cookies: &mut SetCookies,
    ) -> Result<Identified, Refusal> {
        let takes = Takes::on(&routed.route);
        let sender = self.sender(&routed.request, takes, cookies).await?;
        if sender.is_basic() {
            let Routed { request, route } = &routed;
            let own = route.origin(request.host());
            let page = authorization::other_site(request.headers(), &own, &route.origins);
            if let Some(origin) = page {
                return Err(Refusal::ForeignOrigin { origin });
            }
        }
        let times = self.times(&routed.route);
        Ok(Identified { routed, sender, times })
    }

    /// Finds the caller of a request. A token for the gateway takes precedence over a cookie; where both name a caller, it
    /// must be the same one.
    ///
    /// # Errors
    ///
    /// Those of [`Identify::identify`].
    pub async fn sender(
        &self,
        request: &CanonicalRequest,
        takes: Takes<'_>,
        cookies: &mut SetCookies,
    ) -> Result<Sender, Refusal> {
        let (headers, client) = (request.headers(), request.client_ip());
        let (by_token, unread) = match authorization::presented(headers, takes) {
            Presented::Nothing => (None, None),
            Presented::Malformed(form) => return Err(authorization::malformed(form).into()),
            Presented::Basic(token) => {
                let verify = self.token(token.expose(), client, Carrier::Basic, takes);
                (Some(Box::pin(verify).await?), None)
            }
            Presented::Bearer(token) if self.takes_key(token) => {
                let verify = self.key(token, client, Carrier::Bearer, takes);
                (Some(Box::pin(verify).await?), None)
            }
            Presented::Dpop(token)
                if !self.takes_key(token) && bearer::is_foreign(&self.issuers, token) =>
            {
                let bearer = self.issuers.verifier(takes.audience);
                (None, bearer.map(|_| Unread::Token(TokenRefusal::SenderConstrained)))
            }
            // The gateway verifies no proofs of possession.
            Presented::Dpop(_) => return Err(TokenRefusal::SenderConstrained.into()),
            // No issuer has an audience. The gateway then ignores an application's own token.
            Presented::Bearer(token) if self.issuers.verifier(takes.audience).is_none() => {
                match bearer::is_foreign(&self.issuers, token) {
                    true => (None, None),
                    false => return Err(bearer::no_audience().into()),
                }
            }
            Presented::Bearer(token) => {
                match self.token(token, client, Carrier::Bearer, takes).await {
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
                let verify = self.token(token, client, Carrier::OwnField, takes);
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
            return Ok(Sender { unread: unread.or(sender.unread), ..sender });
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
            Credential::Bearer { .. } if self.issuers.verifier(takes.audience).is_none() => {
                Ok(Caller::Anonymous)
            }
            Credential::Bearer { token, carrier, .. } => {
                Ok(self.token(token.expose(), None, *carrier, takes).await?.caller)
            }
        }
    }

    async fn token(
        &self,
        token: &str,
        client: Option<IpAddr>,
        carrier: Carrier,
        takes: Takes<'_>,
    ) -> Result<Sender, Refusal> {
        if self.takes_key(token) {
            return Box::pin(self.key(token, client, carrier, takes)).await;
        }
        let Some(verifier) = self.issuers.verifier(takes.audience) else {
            return Err(bearer::no_audience().into());
        };
        bearer::identify(&self.issuers, verifier, &self.throttle, client, token, carrier).await
    }

    /// Whether a token is an API key, or an attempt at one.
    fn takes_key(&self, token: &str) -> bool {
        self.keys.is_some() && ApiKey::is_like(token)
    }

    async fn key(
        &self,
        token: &str,
        client: Option<IpAddr>,
        carrier: Carrier,
        takes: Takes<'_>,
    ) -> Result<Sender, Refusal> {
        let Some(keys) = &self.keys else { return Err(bearer::no_audience().into()) };
        let attempt = Attempt { token, carrier, client, route: takes.route };
        keys.identify(attempt, &self.issuers, &self.throttle, &*self.clock).await
    }
}
