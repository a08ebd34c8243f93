//! Stage 3, identify: finds the caller of a request from a bearer token or a session cookie.
//!
//! Missing credentials are not refused here, only invalid ones: `authorize` decides whether the caller must be known. A public
//! route therefore still learns the caller's identity.

pub mod bearer;
pub mod claims;
pub mod cookie;
pub mod issuers;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::SystemTime};

use oidc_core::{Secret, TokenRefusal};
use serde::{Deserialize, Serialize};

use crate::{
    identify::{bearer::Presented, cookie::SessionCookie, issuers::Issuers},
    listen::CanonicalRequest,
    refusal::Refusal,
    route::Routed,
    session::{LiveSession, SetCookies},
    throttle::Throttle,
};

/// Identity of the caller.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The caller presented no credential that counts.
    Anonymous,
    /// A caller whose identity an issuer has confirmed.
    Known(Arc<Known>),
}

/// A caller whose identity an issuer has confirmed: verified claims, read by the issuer's configured paths.
///
/// Realm roles and client roles are separate: a role of one client never counts as a role of the realm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The issuer's name in the configuration, as rules write it.
    pub issuer: String,
    /// `iss`: the issuer's identifier. Empty in a session of a version that did not store it, until the session is used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub iss: String,
    /// `sub`, unique within the issuer: identifies a person or program only together with `iss`.
    pub subject: String,
    /// The name a person signs in with.
    pub preferred_username: Option<String>,
    /// The e-mail address, if the issuer states one.
    pub email: Option<String>,
    /// Whether the issuer says that the address was verified; anything but JSON `true` is `false`.
    pub email_verified: bool,
    /// The name to show.
    pub name: Option<String>,
    /// Roles that hold for the whole realm.
    pub roles: Vec<String>,
    /// Roles that hold for one client, by client.
    pub client_roles: BTreeMap<String, Vec<String>>,
    /// Groups, as the issuer writes them (Keycloak: full paths).
    pub groups: Vec<String>,
    /// Scopes the token was granted.
    pub scopes: Vec<String>,
    /// The client the token was issued to (`azp` or `client_id`).
    pub client: Option<String>,
    /// Every verified claim, for rules on claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl Known {
    /// Name of this person or program on pages and in log lines.
    pub fn display_name(&self) -> &str {
        self.name
            .as_deref()
            .or(self.preferred_username.as_deref())
            .or(self.client.as_deref())
            .unwrap_or(&self.subject)
    }

    /// Whether this is the user name. E-mail address and subject are not compared: they look like user names, but others choose
    /// them.
    pub fn is_user(&self, name: &str) -> bool {
        self.preferred_username.as_deref() == Some(name)
    }

    /// The verified e-mail address, if it is unambiguous: a mailbox, one `@`, a domain.
    fn verified_email(&self) -> Option<(&str, &str)> {
        let email = self.email.as_deref().filter(|_| self.email_verified)?;
        let (mailbox, domain) = email.split_once('@')?;
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
        };
        (plain(mailbox) && plain(domain)).then_some((mailbox, domain))
    }

    /// Whether this is the verified e-mail address; letter case matters before the `@` only (RFC 5321 §2.4).
    pub fn has_email(&self, address: &str) -> bool {
        self.verified_email().zip(address.split_once('@')).is_some_and(
            |((mailbox, domain), (wanted, wanted_domain))| {
                mailbox == wanted && domain.eq_ignore_ascii_case(wanted_domain)
            },
        )
    }

    /// Whether the verified e-mail address is of exactly this domain.
    pub fn has_email_domain(&self, wanted: &str) -> bool {
        self.verified_email().is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(wanted))
    }

    /// Whether a role was granted: `name` asks for a realm role, `client:name` for a role of that client. Neither matches the
    /// other, whatever characters the names hold.
    pub fn has_role(&self, role: &str) -> bool {
        match role.split_once(':') {
            None => self.roles.iter().any(|has| has == role),
            Some((client, role)) => self
                .client_roles
                .get(client)
                .is_some_and(|roles| roles.iter().any(|has| has == role)),
        }
    }

    /// The claim at a dotted path.
    pub fn claim(&self, path: &str) -> Option<&serde_json::Value> {
        if let Some(value) = self.claims.get(path) {
            return Some(value);
        }
        let mut parts = path.split('.');
        let mut value = self.claims.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }
}

/// Proof of the identity; a stream ends at the latest with it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No credential was presented.
    None,
    /// An access token in the `Authorization` header.
    Bearer {
        /// The token, as it came.
        token: Secret,
        /// End of its validity: `exp` plus the leeway of its issuer. An answer to introspection may lack one (RFC 7662 §2.2).
        good_until: Option<SystemTime>,
    },
    /// A session cookie.
    Session(Arc<LiveSession>),
}

/// A routed request whose caller is known, or known to be anonymous.
#[derive(Debug)]
pub struct Identified {
    pub(crate) routed: Routed,
    pub(crate) caller: Caller,
}

/// Identity of a request's sender, and its proof.
#[derive(Debug)]
pub struct Caller {
    /// Identity of the caller.
    pub identity: Identity,
    /// Proof of the identity.
    pub credential: Credential,
    /// Reason a bearer token beside it was not accepted, when no configured issuer issued the token. Such a token belongs to
    /// the application: it passes unread where anyone may call, and is refused everywhere else.
    pub(crate) unread: Option<TokenRefusal>,
}

impl Caller {
    /// A caller that presents nothing.
    pub const ANONYMOUS: Self =
        Self { identity: Identity::Anonymous, credential: Credential::None, unread: None };

    /// A caller whose identity an issuer has confirmed.
    pub fn known(known: Arc<Known>, credential: Credential) -> Self {
        Self { identity: Identity::Known(known), credential, unread: None }
    }

    /// Whether the identity comes from a bearer token.
    pub fn is_bearer(&self) -> bool {
        matches!(self.credential, Credential::Bearer { .. })
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
}

impl Identify {
    /// Reads bearer tokens of these issuers, and session cookies. The throttle limits the calls to an issuer for tokens that
    /// only the issuer can read.
    pub fn new(issuers: Arc<Issuers>, cookie: SessionCookie, throttle: Arc<Throttle>) -> Self {
        Self { issuers, cookie, throttle }
    }

    /// Finds the caller of a routed request. Cookies that the answer must carry, also on a refusal, are added to `cookies`.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadCredentials`] for an invalid bearer token, [`Refusal::TooMany`] for too many tokens that an issuer must be
    /// asked about, [`Refusal::StoreUnavailable`] and [`Refusal::ProviderUnavailable`] when a cookie cannot be judged now.
    pub async fn identify(
        &self,
        routed: Routed,
        cookies: &mut SetCookies,
    ) -> Result<Identified, Refusal> {
        let caller = self.caller(&routed.request, cookies).await?;
        Ok(Identified { routed, caller })
    }

    /// Finds the caller of a request. Where the gateway accepts bearer tokens, one for the gateway takes precedence over a
    /// cookie.
    ///
    /// # Errors
    ///
    /// Those of [`Identify::identify`].
    pub async fn caller(
        &self,
        request: &CanonicalRequest,
        cookies: &mut SetCookies,
    ) -> Result<Caller, Refusal> {
        let headers = request.headers();
        let unread = match bearer::presented(headers) {
            Presented::Nothing => None,
            Presented::Malformed => return Err(bearer::malformed().into()),
            // No issuer has an audience. An application's own token is none of the gateway's business then.
            Presented::Token(token) if self.issuers.bearer().is_none() => {
                match bearer::is_foreign(&self.issuers, token) {
                    true => None,
                    false => return Err(bearer::no_audience().into()),
                }
            }
            Presented::Token(token) => match self.bearer(token, request.client_ip()).await {
                Err(Refusal::BadCredentials(refusal))
                    if bearer::is_foreign(&self.issuers, token) =>
                {
                    Some(refusal)
                }
                identified => return identified,
            },
        };
        let caller = self.cookie.identify(headers, cookies).await?;
        Ok(Caller { unread, ..caller })
    }

    /// The same for a URL that does not accept an application's own token.
    ///
    /// # Errors
    ///
    /// Those of [`Identify::identify`].
    pub(crate) async fn caller_here(
        &self,
        request: &CanonicalRequest,
        cookies: &mut SetCookies,
    ) -> Result<Caller, Refusal> {
        let mut caller = self.caller(request, cookies).await?;
        match caller.unread.take() {
            Some(refusal) => Err(refusal.into()),
            None => Ok(caller),
        }
    }

    /// Current identity of a credential, after the session's tokens were refreshed or a new configuration was loaded.
    ///
    /// # Errors
    ///
    /// The reason the credential is no longer valid.
    pub(crate) async fn again(&self, credential: &Credential) -> Result<Identity, Refusal> {
        match credential {
            Credential::None => Ok(Identity::Anonymous),
            Credential::Session(session) => Ok(self.cookie.identity_of_stream(session)),
            // No issuer accepts bearer tokens any more: a request with this one is anonymous now.
            Credential::Bearer { .. } if self.issuers.bearer().is_none() => Ok(Identity::Anonymous),
            Credential::Bearer { token, .. } => {
                Ok(self.bearer(token.expose(), None).await?.identity)
            }
        }
    }

    async fn bearer(&self, token: &str, client: Option<IpAddr>) -> Result<Caller, Refusal> {
        bearer::identify(&self.issuers, &self.throttle, client, token).await
    }
}
