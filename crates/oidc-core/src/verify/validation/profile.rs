//! The rules for access tokens that depend on the provider: their form, their issuer, their audience.
//!
//! Providers differ in how an access token differs from an ID token that the same key signs. Each [`Profile`] has one answer,
//! and refuses a token that could be both.

use std::sync::Arc;

use super::{Validation, require};
use crate::foreign_text::quoted;
use crate::issuer::IssuerTemplate;
use crate::jose::{Header, Origin};
use crate::refusal::TokenRefusal;
use crate::token::Claims;

/// Form that identifies an access token.
///
/// A service that jobs of GitLab CI call:
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::testing::TestIssuer;
/// use oidc_core::token::SubjectPattern;
/// use oidc_core::verify::Profile;
/// use oidc_core::{Validation, Verifier};
/// use serde_json::json;
///
/// let gitlab = TestIssuer::new();
/// let rules = Validation::new(gitlab.issuer(), "deploy").with_profile(Profile::Workload);
/// let verifier = Verifier::new(rules, gitlab.keys()).with_clock(gitlab.clock());
/// let main: SubjectPattern = "project_path:data/*:ref_type:branch:ref:main".parse()?;
///
/// let mut claims = gitlab.claims("deploy");
/// claims["sub"] = json!("project_path:data/churn:ref_type:branch:ref:main");
/// let job = verifier.access_token(&gitlab.sign(&claims)).await?;
/// assert!(main.matches(job.subject()));
/// assert!(job.realm_roles().is_empty());
/// # Ok(()) }
/// # #[cfg(feature = "test-util")]
/// # fn main() {
/// #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// #     runtime.block_on(run()).unwrap();
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// As any provider writes them: header `typ` is absent, `JWT` or `at+jwt`; `iss`, `sub`, `aud` and
    /// `exp` are required. A token with a mark of another kind is refused: `nonce`, `at_hash`,
    /// `c_hash`, `s_hash`, `events`, a body `typ` other than `Bearer`, a `token_use` other than
    /// `access`. An ID token without these marks has the client's id as its audience: the audience
    /// of a service must be another name. Scopes are read from `scope` and `scp`.
    Generic,
    /// As a platform writes them for its jobs: GitLab CI, GitHub Actions, Kubernetes, SPIFFE. Header
    /// `typ` is absent, `JWT` or `JOSE`; `iss`, `sub`, `aud` and `exp` are required, and the marks of
    /// other kinds are refused as under [`Profile::Generic`]. No claim is read as a role, group, scope
    /// or user name unless [`Validation::with_claims`] says so.
    Workload,
}

/// The issuer identifiers that tokens may have, besides the provider's own.
#[derive(Clone, Debug, Default)]
pub(super) enum Issuers {
    /// The provider's own identifier.
    #[default]
    Own,
    /// Another identifier, of access tokens only.
    OfAccessTokens(Arc<str>),
    /// The identifiers of these tenants.
    Tenants(Arc<IssuerTemplate>),
}

/// Claims that ID tokens and other signed messages have, and access tokens have not.
const MARKS_OF_OTHERS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

impl Validation {
    pub(super) fn check_access_token_type(
        &self,
        header: &Header,
        claims: &Claims,
    ) -> Result<(), TokenRefusal> {
        let header_type = header.media_type.as_deref();
        let expected = match (self.profile, header_type) {
            (Profile::Keycloak, Some("jwt")) if claims.token_type.is_none() => {
                let found = "no typ among the claims".to_owned();
                return Err(wrong("an access token (typ Bearer)", found));
            }
            (Profile::Workload, None | Some("jwt" | "jose"))
            | (Profile::Generic, None | Some("jwt" | "at+jwt"))
            | (Profile::Keycloak, Some("jwt" | "at+jwt"))
            | (Profile::Rfc9068, Some("at+jwt")) => None,
            (Profile::Keycloak, _) => Some("an access token (header typ JWT or at+jwt)"),
            (Profile::Rfc9068, _) => Some("an access token (header typ at+jwt)"),
            (Profile::Generic, _) => Some("an access token (header typ JWT, at+jwt or none)"),
            (Profile::Workload, _) => Some("a workload's token (header typ JWT, JOSE or none)"),
        };
        if let Some(expected) = expected {
            let found = match header_type {
                Some(found) => format!("header typ {}", quoted(found)),
                None => "no header typ".to_owned(),
            };
            return Err(wrong(expected, found));
        }
        if matches!(self.profile, Profile::Generic | Profile::Workload) {
            self.check_marks(claims)?;
        }
        match claims.token_type.as_deref() {
            None | Some("Bearer") => Ok(()),
            // As Keycloak writes a token that is bound to a key; without the binding it is refused.
            Some("DPoP") if claims.contains("cnf") => Ok(()),
            Some("DPoP") => Err(TokenRefusal::MissingClaim { claim: "cnf" }),
            Some("ID") if self.accepts_id_tokens() => Ok(()),
            Some(found) => {
                Err(wrong("an access token (typ Bearer)", format!("typ {}", quoted(found))))
            }
        }
    }

    /// Refuses tokens of other kinds that the same key signs.
    fn check_marks(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        let refused = |mark: &&&str| **mark == "events" || !self.accepts_id_tokens();
        let mut refused = MARKS_OF_OTHERS.iter().filter(refused);
        if let Some(mark) = refused.find(|mark| claims.contains(mark)) {
            let found = format!("a token with `{mark}`, as ID and logout tokens have");
            return Err(wrong("an access token", found));
        }
        match claims.member("token_use").map(|kind| kind.as_str().unwrap_or_default()) {
            None if !self.client_is_audience => Ok(()),
            None => Err(TokenRefusal::MissingClaim { claim: "token_use" }),
            Some("access") => Ok(()),
            Some("id") if self.accepts_id_tokens() => Ok(()),
            Some(found) => Err(wrong("an access token", format!("token_use {}", quoted(found)))),
        }
    }

    fn accepts_id_tokens(&self) -> bool {
        self.id_tokens && self.profile == Profile::Generic
    }

    /// `aud`, or the claim that stands for it.
    pub(super) fn check_access_token_audience(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        if self.authorized_party.is_some() && claims.authorized_party == self.authorized_party {
            return Ok(());
        }
        if !self.client_is_audience {
            return self.check_audience(claims);
        }
        let client = require(claims.client_id.as_ref(), "client_id")?;
        if !self.audiences.contains(client) {
            let found = vec![quoted(client)];
            return Err(TokenRefusal::WrongAudience { expected: self.audiences.clone(), found });
        }
        // The token names the services it is for: this one must be among them.
        if claims.audience.is_empty() { Ok(()) } else { self.check_audience(claims) }
    }

    /// `iss` of an access token; without it, the trust domain of `sub` if there is one.
    pub(crate) fn check_access_token_issuer(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        if let Some(domain) = self.trust_domain.as_deref()
            && !claims.subject.as_deref().is_some_and(|subject| is_of_domain(subject, domain))
        {
            let reason = "it is no SPIFFE ID of the issuer's trust domain";
            return Err(TokenRefusal::InvalidClaim { claim: "sub", reason });
        }
        match (claims.issuer.as_deref(), &self.issuers) {
            (None, _) if self.trust_domain.is_some() => Ok(()),
            (Some(found), Issuers::OfAccessTokens(own)) if found == &**own => Ok(()),
            (Some(found), Issuers::OfAccessTokens(own)) => {
                let found = quoted(found);
                Err(TokenRefusal::WrongIssuer { expected: own.to_string(), found })
            }
            _ => self.check_issuer(claims),
        }
    }

    pub(crate) fn check_issuer(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        let found = require(claims.issuer.as_deref(), "iss")?;
        let Issuers::Tenants(template) = &self.issuers else {
            return if found == self.issuer.as_str() {
                Ok(())
            } else {
                Err(self.wrong_issuer(found))
            };
        };
        let tenant = template.tenant(found).ok_or_else(|| self.wrong_issuer(found))?;
        match claims.member("tid") {
            Some(other) if other.as_str() != Some(tenant) => {
                let reason = "it is not the tenant of `iss`";
                Err(TokenRefusal::InvalidClaim { claim: "tid", reason })
            }
            _ => Ok(()),
        }
    }

    /// Whether a token with these unverified claims is for this issuer's keys and rules. A token that
    /// names another issuer is an error. Success does not make the token valid.
    pub(crate) fn check_claimed_origin(&self, origin: Origin<'_>) -> Result<bool, TokenRefusal> {
        match (origin.issuer, origin.subject, self.trust_domain.as_deref()) {
            (Some(_), ..) if self.is_origin(origin) => Ok(true),
            (Some(found), ..) => Err(self.wrong_issuer(found)),
            (None, ..) => Ok(self.is_origin(origin)),
        }
    }

    /// Whether this is the issuer of a token with these unverified claims.
    pub(crate) fn is_origin(&self, origin: Origin<'_>) -> bool {
        match (origin.issuer, &self.issuers) {
            (Some(found), Issuers::Tenants(template)) => template.tenant(found).is_some(),
            (Some(found), Issuers::OfAccessTokens(own)) => {
                found == &**own || found == self.issuer.as_str()
            }
            (Some(found), Issuers::Own) => found == self.issuer.as_str(),
            (None, _) => match (origin.subject, self.trust_domain.as_deref()) {
                (Some(subject), Some(domain)) => is_of_domain(subject, domain),
                _ => false,
            },
        }
    }

    /// A key that names the issuer whose tokens it signs must not sign those of another tenant.
    pub(crate) fn check_key_issuer(
        &self,
        named: Option<&str>,
        issuer: Option<&str>,
    ) -> Result<(), TokenRefusal> {
        let (Issuers::Tenants(template), Some(named)) = (&self.issuers, named) else {
            return Ok(());
        };
        let issuer = issuer.unwrap_or_default();
        if template.signs(named, issuer) {
            return Ok(());
        }
        Err(TokenRefusal::WrongIssuer { expected: quoted(named), found: quoted(issuer) })
    }

    pub(crate) fn wrong_issuer(&self, found: &str) -> TokenRefusal {
        let expected = match &self.issuers {
            Issuers::Tenants(template) => {
                template.issuers().map(|issuer| issuer.as_str()).collect::<Vec<_>>().join(" or ")
            }
            Issuers::OfAccessTokens(own) => own.to_string(),
            Issuers::Own => self.issuer.to_string(),
        };
        TokenRefusal::WrongIssuer { expected, found: quoted(found) }
    }
}

/// Whether a subject is a SPIFFE ID of a workload in this trust domain (SPIFFE ID §2).
fn is_of_domain(subject: &str, domain: &str) -> bool {
    let id = subject.strip_prefix("spiffe://");
    let path = id.and_then(|id| id.strip_prefix(domain)?.strip_prefix('/'));
    path.is_some_and(|path| !path.is_empty())
}

fn wrong(expected: &'static str, found: String) -> TokenRefusal {
    TokenRefusal::WrongType { expected, found }
}
