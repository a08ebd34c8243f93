//! The rules for a token whose signature is valid. Pure: the time is an argument, nothing is
//! fetched.
//!
//! Access tokens: RFC 9068 §4, or Keycloak's form ([`Profile`]). ID tokens: OpenID Connect Core 1.0
//! §3.1.3.7. Logout tokens: OpenID Connect Back-Channel Logout 1.0 §2.6.

use std::time::{Duration, SystemTime};

use crate::foreign_text::quoted;
use crate::issuer::Issuer;
use crate::jose::{Header, VerifiedJws};
use crate::refusal::TokenRefusal;
use crate::token::{AccessToken, Algorithm, Claims, IdToken, InvalidClaims, LogoutToken};
use crate::verify::Verified;

#[cfg(feature = "login")]
mod authorization_response;
mod expectations;
#[cfg(feature = "token")]
mod introspection_response;

pub use expectations::IdTokenExpectations;

/// Allowed clock difference unless set otherwise.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// Limit on the leeway.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// A logout token without `exp` is accepted for this long after `iat`.
const LOGOUT_TOKEN_AGE: Duration = Duration::from_secs(300);

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Form that identifies an access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As Keycloak writes them: header `typ` is `JWT` and the body's `typ` is `Bearer`, or `DPoP`
    /// with the binding (`cnf`), or header `typ` is `at+jwt`. ID tokens (`typ: ID`), refresh,
    /// offline and logout tokens, signed by the same key, are refused. `sub`, `aud` and `exp` are
    /// required.
    #[default]
    Keycloak,
    /// RFC 9068: header `typ` is `at+jwt`; `iss`, `sub`, `aud`, `exp`, `iat`, `jti` and `client_id`
    /// are required.
    Rfc9068,
}

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
        }
    }

    /// Accepts access tokens that were issued to `client` (`azp`) whatever their audience. Only for
    /// tokens this client got from the token endpoint itself, to read the claims about its own
    /// session: Keycloak names no audience there unless configured to. Never for tokens that a
    /// caller presents.
    #[must_use]
    pub fn with_authorized_party(mut self, client: impl Into<String>) -> Self {
        self.authorized_party = Some(client.into());
        self
    }

    /// Also accepts tokens for `audience`.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets the allowed clock difference; 30 s unless set, 5 min at most.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Sets the form of access tokens.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Accepts these algorithms only, whatever the issuer announces; for access, ID and logout tokens.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
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
        self.check_issuer(&claims)?;
        if self.authorized_party.is_none() || claims.authorized_party != self.authorized_party {
            self.check_audience(&claims)?;
        }
        require(claims.expires_at, "exp")?;
        self.check_times(&claims, now)?;
        if self.profile == Profile::Rfc9068 {
            require(claims.issued_at, "iat")?;
            require(claims.jwt_id.as_ref(), "jti")?;
            require(claims.client_id.as_ref(), "client_id")?;
        }
        let subject = require(claims.subject.clone(), "sub")?;
        let token = AccessToken::new(claims, subject);
        Ok(Verified::new(token, header.key_id, header.algorithm))
    }

    pub(crate) fn id_token(
        &self,
        jws: VerifiedJws,
        expected: &IdTokenExpectations,
        now: SystemTime,
    ) -> Result<Verified<IdToken>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        check_type(&header, &claims, "an ID token", &["jwt"], "ID")?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        self.check_authorized_party(&claims)?;
        require(claims.expires_at, "exp")?;
        require(claims.issued_at, "iat")?;
        self.check_times(&claims, now)?;
        if claims.members().contains_key("events") {
            return Err(TokenRefusal::ForbiddenClaim { claim: "events" });
        }
        let subject = require(claims.subject.clone(), "sub")?;
        expected.check(&header, &claims, now, self.leeway)?;
        let token = IdToken::new(claims, subject);
        Ok(Verified::new(token, header.key_id, header.algorithm))
    }

    pub(crate) fn logout_token(
        &self,
        jws: VerifiedJws,
        now: SystemTime,
    ) -> Result<Verified<LogoutToken>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        check_type(&header, &claims, "a logout token", &["jwt", "logout+jwt"], "Logout")?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let issued_at = require(claims.issued_at, "iat")?;
        self.check_times(&claims, now)?;
        if claims.expires_at.is_none() && issued_at + LOGOUT_TOKEN_AGE + self.leeway < now {
            return Err(TokenRefusal::Expired { expires_at: issued_at + LOGOUT_TOKEN_AGE, now });
        }
        let jwt_id = require(claims.jwt_id.clone(), "jti")?;
        let events = require(claims.members().get("events"), "events")?;
        if !events.get(LOGOUT_EVENT).is_some_and(serde_json::Value::is_object) {
            return Err(TokenRefusal::InvalidClaim {
                claim: "events",
                reason: "it does not hold the back-channel logout event",
            });
        }
        if claims.members().contains_key("nonce") {
            return Err(TokenRefusal::ForbiddenClaim { claim: "nonce" });
        }
        if claims.subject.is_none() && claims.session_id.is_none() {
            return Err(TokenRefusal::MissingClaim { claim: "sid" });
        }
        let token = LogoutToken::new(claims, jwt_id);
        Ok(Verified::new(token, header.key_id, header.algorithm))
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

    fn check_access_token_type(
        &self,
        header: &Header,
        claims: &Claims,
    ) -> Result<(), TokenRefusal> {
        let header_type = header.media_type.as_deref();
        let body_type = claims.token_type.as_deref();
        let wrong =
            |expected: &'static str, found: String| TokenRefusal::WrongType { expected, found };
        let header_found = || match header_type {
            Some(found) => format!("header typ {}", quoted(found)),
            None => "no header typ".to_owned(),
        };
        match (self.profile, header_type) {
            (_, Some("at+jwt")) => {}
            (Profile::Keycloak, Some("jwt")) => {
                if body_type.is_none() {
                    return Err(wrong(
                        "an access token (typ Bearer)",
                        "no typ among the claims".to_owned(),
                    ));
                }
            }
            (Profile::Keycloak, _) => {
                return Err(wrong("an access token (header typ JWT or at+jwt)", header_found()));
            }
            (Profile::Rfc9068, _) => {
                return Err(wrong("an access token (header typ at+jwt)", header_found()));
            }
        }
        match body_type {
            None | Some("Bearer") => Ok(()),
            // As Keycloak writes a token that is bound to a key; without the binding it is refused.
            Some("DPoP") if claims.members().contains_key("cnf") => Ok(()),
            Some("DPoP") => Err(TokenRefusal::MissingClaim { claim: "cnf" }),
            Some(found) => {
                Err(wrong("an access token (typ Bearer)", format!("typ {}", quoted(found))))
            }
        }
    }

    pub(crate) fn check_issuer(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        self.check_claimed_issuer(require(claims.issuer.as_deref(), "iss")?)
    }

    /// Checks the unverified `iss` of a token. Success does not make the token valid.
    pub(crate) fn check_claimed_issuer(&self, claimed: &str) -> Result<(), TokenRefusal> {
        if claimed == self.issuer.as_str() {
            return Ok(());
        }
        let expected = self.issuer.to_string();
        Err(TokenRefusal::WrongIssuer { expected, found: quoted(claimed) })
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
            Some(party) => Err(TokenRefusal::WrongAuthorizedParty { found: quoted(party) }),
            None if claims.audience.len() > 1 => Err(TokenRefusal::MissingClaim { claim: "azp" }),
            None => Ok(()),
        }
    }
}

fn open(jws: VerifiedJws) -> Result<(Header, Claims), TokenRefusal> {
    let claims = Claims::from_members(jws.members).map_err(|error| match error {
        InvalidClaims::Malformed { reason } => TokenRefusal::Malformed { part: "payload", reason },
        InvalidClaims::Claim { claim, reason } => TokenRefusal::InvalidClaim { claim, reason },
    })?;
    Ok((jws.header, claims))
}

fn require<T>(value: Option<T>, claim: &'static str) -> Result<T, TokenRefusal> {
    value.ok_or(TokenRefusal::MissingClaim { claim })
}

/// ID and logout tokens: `typ` may be absent, but must not name another kind.
fn check_type(
    header: &Header,
    claims: &Claims,
    expected: &'static str,
    media_types: &[&str],
    body_type: &str,
) -> Result<(), TokenRefusal> {
    if let Some(found) = header.media_type.as_deref()
        && !media_types.contains(&found)
    {
        let found = format!("header typ {}", quoted(found));
        return Err(TokenRefusal::WrongType { expected, found });
    }
    match claims.token_type.as_deref() {
        Some(found) if found != body_type => {
            Err(TokenRefusal::WrongType { expected, found: format!("typ {}", quoted(found)) })
        }
        _ => Ok(()),
    }
}
