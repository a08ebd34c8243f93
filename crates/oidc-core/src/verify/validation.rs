//! The rules for a token whose signature is valid. Pure: the time is an argument, nothing is
//! fetched.
//!
//! Access tokens: RFC 9068 §4, or another provider's form ([`Profile`]). ID tokens: OpenID Connect Core 1.0
//! §3.1.3.7. Logout tokens: OpenID Connect Back-Channel Logout 1.0 §2.6.

use std::time::{Duration, SystemTime};

use crate::foreign_text::quoted;
use crate::issuer::Issuer;
use crate::jose::{Header, VerifiedJws};
use crate::refusal::TokenRefusal;
use crate::token::{
    AccessToken, Algorithm, ClaimPaths, Claims, IdToken, InvalidClaims, LogoutToken,
};
use crate::verify::Verified;

#[cfg(feature = "login")]
mod authorization_response;
mod binding;
mod expectations;
#[cfg(feature = "token")]
mod introspection_response;
mod profile;
mod settings;
#[cfg(feature = "login")]
mod user_info;

pub use binding::Binding;
pub use expectations::IdTokenExpectations;
use profile::Issuers;
pub use profile::Profile;

/// Allowed clock difference unless set otherwise.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// Limit on the leeway.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// A logout token without `exp` is accepted for this long after `iat`.
const LOGOUT_TOKEN_AGE: Duration = Duration::from_secs(300);

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Rules for tokens. Issuer and audience are required; the rest has safe defaults.
///
/// ```
/// use std::time::Duration;
/// use oidc_core::Validation;
/// use oidc_core::token::Algorithm;
///
/// let validation = Validation::new("https://id.example/realms/lab".parse()?, "hub")
///     .with_audience("hub-legacy")
///     .with_leeway(Duration::from_secs(5))
///     .with_algorithms([Algorithm::RS256]);
/// assert_eq!(validation.audiences(), ["hub", "hub-legacy"]);
/// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
/// ```
#[derive(Clone, Debug)]
pub struct Validation {
    issuer: Issuer,
    audiences: Vec<String>,
    /// `None`: the algorithms that the issuer announces.
    algorithms: Option<Vec<Algorithm>>,
    leeway: Duration,
    profile: Profile,
    authorized_party: Option<String>,
    issuers: Issuers,
    claims: Option<ClaimPaths>,
    /// Other clients whose ID tokens are accepted (`azp`).
    parties: Vec<String>,
    trust_domain: Option<String>,
    client_is_audience: bool,
    id_tokens: bool,
    ignores_header_keys: bool,
    binding: Option<Binding>,
}

impl Validation {
    /// Accepts tokens of `issuer` for `audience`, signed with an algorithm of [`Algorithm::ALL`] that the
    /// issuer announces (`id_token_signing_alg_values_supported`), or with any of them if it announces
    /// none.
    pub fn new(issuer: Issuer, audience: impl Into<String>) -> Self {
        Self {
            issuer,
            audiences: vec![audience.into()],
            algorithms: None,
            leeway: DEFAULT_LEEWAY,
            profile: Profile::default(),
            authorized_party: None,
            issuers: Issuers::default(),
            claims: None,
            parties: Vec::new(),
            trust_domain: None,
            client_is_audience: false,
            id_tokens: false,
            ignores_header_keys: false,
            binding: None,
        }
    }

    /// The issuer trusted.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The audiences accepted; a token needs one of them.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The allowed clock difference.
    pub fn leeway(&self) -> Duration {
        self.leeway
    }

    /// The algorithms accepted; `None` if they are those that the issuer announces.
    pub fn algorithms(&self) -> Option<&[Algorithm]> {
        self.algorithms.as_deref()
    }

    /// Does not check possession: a token with `cnf` must not be accepted before that is proved.
    pub(crate) fn access_token(
        &self,
        jws: VerifiedJws,
        now: SystemTime,
    ) -> Result<Verified<AccessToken>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        self.check_access_token_type(&header, &claims)?;
        self.check_access_token_issuer(&claims)?;
        self.check_access_token_audience(&claims)?;
        require(claims.expires_at, "exp")?;
        self.check_times(&claims, now)?;
        self.check_binding(&claims)?;
        if self.profile == Profile::Rfc9068 {
            require(claims.issued_at, "iat")?;
            require(claims.jwt_id.as_ref(), "jti")?;
            require(claims.client_id.as_ref(), "client_id")?;
        }
        let token = self.named(claims)?;
        Ok(Verified::new(token, &self.issuer, header))
    }

    pub(crate) fn id_token(
        &self,
        jws: VerifiedJws,
        expected: &IdTokenExpectations,
        now: SystemTime,
    ) -> Result<Verified<IdToken>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        check_type(&header, &claims, "an ID token", &["jwt"], Some("ID"))?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        self.check_authorized_party(&claims)?;
        require(claims.expires_at, "exp")?;
        require(claims.issued_at, "iat")?;
        self.check_times(&claims, now)?;
        if claims.contains("events") {
            return Err(TokenRefusal::ForbiddenClaim { claim: "events" });
        }
        let subject = require(claims.subject.clone(), "sub")?;
        expected.check(&header, &claims, now, self.leeway)?;
        let token = IdToken::new(claims, subject);
        Ok(Verified::new(token, &self.issuer, header))
    }

    pub(crate) fn logout_token(
        &self,
        jws: VerifiedJws,
        now: SystemTime,
    ) -> Result<Verified<LogoutToken>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        check_type(&header, &claims, "a logout token", &["jwt", "logout+jwt"], Some("Logout"))?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let issued_at = require(claims.issued_at, "iat")?;
        self.check_times(&claims, now)?;
        if claims.expires_at.is_none() && issued_at + LOGOUT_TOKEN_AGE + self.leeway < now {
            return Err(TokenRefusal::Expired { expires_at: issued_at + LOGOUT_TOKEN_AGE, now });
        }
        let jwt_id = require(claims.jwt_id.clone(), "jti")?;
        let events = require(claims.member("events"), "events")?;
        if !events.get(LOGOUT_EVENT).is_some_and(|event| event.is_object()) {
            return Err(TokenRefusal::InvalidClaim {
                claim: "events",
                reason: "it does not hold the back-channel logout event",
            });
        }
        if claims.contains("nonce") {
            return Err(TokenRefusal::ForbiddenClaim { claim: "nonce" });
        }
        // A `sid` that cannot be read would end all sessions of the subject.
        if claims.session_id.is_none() && claims.contains("sid") {
            let reason = "it is not a string";
            return Err(TokenRefusal::InvalidClaim { claim: "sid", reason });
        }
        if claims.subject.is_none() && claims.session_id.is_none() {
            return Err(TokenRefusal::MissingClaim { claim: "sid" });
        }
        let token = LogoutToken::new(claims, jwt_id);
        Ok(Verified::new(token, &self.issuer, header))
    }

    /// `exp`, `nbf` and `iat` against the clock. Cheap; repeated at each use of a remembered token.
    pub(crate) fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenRefusal> {
        if let Some(expires_at) = claims.expires_at
            && expires_at + self.leeway <= now
        {
            return Err(TokenRefusal::Expired { expires_at, now });
        }
        if let Some(not_before) = claims.not_before
            && not_before > now + self.leeway
        {
            return Err(TokenRefusal::NotYetValid { not_before, now });
        }
        if let Some(issued_at) = claims.issued_at
            && issued_at > now + self.leeway
        {
            return Err(TokenRefusal::IssuedInFuture { issued_at, now });
        }
        Ok(())
    }

    /// An access token with the names that the paths find.
    pub(crate) fn named(&self, claims: Claims) -> Result<AccessToken, TokenRefusal> {
        let by_profile = match self.profile {
            Profile::Keycloak | Profile::Rfc9068 => None,
            Profile::Generic => Some(ClaimPaths::generic()),
            Profile::Workload => Some(ClaimPaths::none()),
        };
        let Some(paths) = self.claims.as_ref().or(by_profile.as_ref()) else {
            let subject = require(claims.subject.clone(), "sub")?;
            return Ok(AccessToken::new(claims, subject));
        };
        require(claims.subject.as_ref(), "sub")?;
        let names = paths.read(&claims);
        let subject = require(names.subject.clone(), "the configured subject")?;
        Ok(AccessToken::new(claims.with_names(names), subject))
    }

    pub(crate) fn check_audience(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        if self.audiences.iter().any(|own| claims.audience.contains(own)) {
            return Ok(());
        }
        Err(TokenRefusal::WrongAudience {
            expected: self.audiences.clone(),
            found: claims.audience.iter().take(8).map(quoted).collect(),
        })
    }

    fn check_authorized_party(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        match claims.authorized_party.as_deref() {
            Some(party) if self.audiences.iter().any(|own| own == party) => Ok(()),
            Some(party) if self.parties.iter().any(|other| other == party) => Ok(()),
            Some(party) => Err(TokenRefusal::WrongAuthorizedParty { found: quoted(party) }),
            None if claims.audience.len() > 1 => Err(TokenRefusal::MissingClaim { claim: "azp" }),
            None => Ok(()),
        }
    }
}

fn open(jws: VerifiedJws) -> Result<(Header, Claims), TokenRefusal> {
    let claims = Claims::of(jws.claims).map_err(|error| match error {
        InvalidClaims::Malformed { reason } => TokenRefusal::Malformed { part: "payload", reason },
        InvalidClaims::Claim { claim, reason } => TokenRefusal::InvalidClaim { claim, reason },
    })?;
    Ok((jws.header, claims))
}

fn require<T>(value: Option<T>, claim: &'static str) -> Result<T, TokenRefusal> {
    value.ok_or(TokenRefusal::MissingClaim { claim })
}

/// `typ` may be absent, in the header and in the claims, but must not name another kind (RFC 8725 §3.11).
/// A kind without a `body_type` takes none in the claims.
fn check_type(
    header: &Header,
    claims: &Claims,
    expected: &'static str,
    media_types: &[&str],
    body_type: Option<&str>,
) -> Result<(), TokenRefusal> {
    if let Some(found) = header.media_type.as_deref()
        && !media_types.contains(&found)
    {
        let found = format!("header typ {}", quoted(found));
        return Err(TokenRefusal::WrongType { expected, found });
    }
    match claims.token_type.as_deref() {
        Some(found) if Some(found) != body_type => {
            Err(TokenRefusal::WrongType { expected, found: format!("typ {}", quoted(found)) })
        }
        _ => Ok(()),
    }
}
