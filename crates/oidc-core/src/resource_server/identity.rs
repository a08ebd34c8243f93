//! The verified sender of a request, and its permissions.

use std::fmt;
use std::sync::Arc;

use super::challenge::{Challenges, Scheme};
use super::rejected::Rejected;
use crate::issuer::Issuer;
use crate::secret::Secret;
use crate::token::{AccessToken, Actor, Claims, ClientRoles, Groups, RealmRoles, Scope};
use crate::token::{InvalidPattern, SubjectPattern};
use crate::verify::Verified;

/// The verified sender of this request: a verified token, with the proof it needs. Only a
/// [`VerifyLayer`](super::VerifyLayer) makes one. Cheap to clone.
///
/// Check requirements with `require_*`; the error is the answer to send:
///
/// ```
/// use oidc_core::resource_server::{Forbidden, Identity, Requirement};
///
/// fn score(caller: &Identity) -> Result<String, Forbidden> {
///     caller
///         .require_scope("score")?
///         .require_any([Requirement::realm_role("analyst"), Requirement::client("batch")])?;
///     Ok(format!("for {}", caller.subject()))
/// }
/// ```
#[derive(Clone)]
pub struct Identity {
    token: Arc<Verified<AccessToken>>,
    secret: Arc<Secret>,
    scheme: Scheme,
    challenges: Arc<Challenges>,
}

/// A requirement on a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// This scope (RFC 6749 §3.3).
    Scope(String),
    /// This role of the realm.
    RealmRole(String),
    /// This role at this client.
    ClientRole {
        /// The client of the role.
        client: String,
        /// The role's name.
        role: String,
    },
    /// This group.
    Group(String),
    /// Issued to this client (`client_id`, else `azp`).
    Client(String),
    /// A subject of this issuer that matches a pattern. A subject is unique within its issuer only.
    Subject {
        /// The issuer's identifier.
        issuer: String,
        /// The pattern.
        pattern: SubjectPattern,
    },
}

/// The token is valid but lacks a requirement: 403 with `insufficient_scope` (RFC 6750 §3.1).
#[derive(Clone, Debug)]
pub struct Forbidden(Rejected);

impl Requirement {
    /// This scope.
    pub fn scope(name: impl Into<String>) -> Self {
        Self::Scope(name.into())
    }

    /// This role of the realm.
    pub fn realm_role(name: impl Into<String>) -> Self {
        Self::RealmRole(name.into())
    }

    /// This role at `client`.
    pub fn client_role(client: impl Into<String>, role: impl Into<String>) -> Self {
        Self::ClientRole { client: client.into(), role: role.into() }
    }

    /// This group, as the token names it: `/finance`.
    pub fn group(name: impl Into<String>) -> Self {
        Self::Group(name.into())
    }

    /// Issued to this client.
    pub fn client(id: impl Into<String>) -> Self {
        Self::Client(id.into())
    }

    /// A job of this platform whose subject matches the pattern ([`SubjectPattern`]).
    ///
    /// ```
    /// use oidc_core::Issuer;
    /// use oidc_core::resource_server::Requirement;
    ///
    /// let gitlab: Issuer = "https://gitlab.example".parse()?;
    /// let main = Requirement::subject(&gitlab, "project_path:data/*:ref_type:branch:ref:main")?;
    /// // Every project of every group.
    /// assert!(Requirement::subject(&gitlab, "project_path:*/*:ref_type:branch:ref:main").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The pattern could be read in two ways, or is for everyone.
    pub fn subject(issuer: &Issuer, pattern: &str) -> Result<Self, InvalidPattern> {
        Ok(Self::Subject { issuer: issuer.as_str().to_owned(), pattern: pattern.parse()? })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(name) => write!(f, "the scope {name}"),
            Self::RealmRole(name) => write!(f, "the role {name}"),
            Self::ClientRole { client, role } => write!(f, "the role {role} at {client}"),
            Self::Group(name) => write!(f, "the group {name}"),
            Self::Client(id) => write!(f, "the client {id}"),
            Self::Subject { issuer, pattern } => write!(f, "the subject {pattern} of {issuer}"),
        }
    }
}

impl Identity {
    pub(super) fn new(
        token: Arc<Verified<AccessToken>>,
        secret: Secret,
        scheme: Scheme,
        challenges: Arc<Challenges>,
    ) -> Self {
        Self { token, secret: Arc::new(secret), scheme, challenges }
    }

    /// `sub`: the subject, unique and stable at [`Identity::issuer`].
    pub fn subject(&self) -> &str {
        self.token.subject()
    }

    /// `iss`: the issuer of the token; of a token without `iss`, the trusted issuer that confirmed it.
    pub fn issuer(&self) -> &str {
        self.token.issuer.as_deref().unwrap_or(self.token.confirmed_by().as_str())
    }

    /// The client the token was issued to: `client_id`, else `azp`.
    pub fn client(&self) -> Option<&str> {
        self.token.client()
    }

    /// Roles of the realm.
    pub fn realm_roles(&self) -> RealmRoles<'_> {
        self.token.realm_roles()
    }

    /// Roles at one client.
    pub fn client_roles(&self, client: &str) -> ClientRoles<'_> {
        self.token.client_roles(client)
    }

    /// Groups.
    pub fn groups(&self) -> Groups<'_> {
        self.token.groups()
    }

    /// Scopes of the token.
    pub fn scopes(&self) -> &Scope {
        &self.token.scope
    }

    /// Parties that act for the subject, the current actor first; only that one may be used in a
    /// decision ([`Claims::actors`]).
    pub fn actors(&self) -> impl Iterator<Item = Actor<'_>> {
        self.token.actors()
    }

    /// All claims.
    pub fn claims(&self) -> &Claims {
        &self.token
    }

    /// The verified token.
    pub fn token(&self) -> &Arc<Verified<AccessToken>> {
        &self.token
    }

    /// The token as received, to exchange it for one that another service accepts (RFC 8693). Never
    /// send it to another service unchanged: it is for this service.
    pub fn subject_token(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn is_dpop(&self) -> bool {
        self.scheme == Scheme::Dpop
    }

    /// Whether the token meets this requirement.
    pub fn meets(&self, requirement: &Requirement) -> bool {
        match requirement {
            Requirement::Scope(name) => self.scopes().contains(name),
            Requirement::RealmRole(name) => self.realm_roles().contains(name),
            Requirement::ClientRole { client, role } => self.client_roles(client).contains(role),
            Requirement::Group(name) => self.groups().contains(name),
            Requirement::Client(id) => self.client() == Some(id),
            Requirement::Subject { issuer, pattern } => {
                self.issuer() == issuer && pattern.matches(self.subject())
            }
        }
    }

    /// The token must have this scope.
    ///
    /// # Errors
    /// [`Forbidden`], as for the others.
    pub fn require_scope(&self, name: &str) -> Result<&Self, Forbidden> {
        self.require(Requirement::scope(name))
    }

    /// The token must have this role of the realm.
    ///
    /// # Errors
    /// [`Forbidden`]
    pub fn require_role(&self, name: &str) -> Result<&Self, Forbidden> {
        self.require(Requirement::realm_role(name))
    }

    /// The token must have this role at `client`.
    ///
    /// # Errors
    /// [`Forbidden`]
    pub fn require_client_role(&self, client: &str, role: &str) -> Result<&Self, Forbidden> {
        self.require(Requirement::client_role(client, role))
    }

    /// The token must have this group.
    ///
    /// # Errors
    /// [`Forbidden`]
    pub fn require_group(&self, name: &str) -> Result<&Self, Forbidden> {
        self.require(Requirement::group(name))
    }

    /// The token must meet this requirement.
    ///
    /// # Errors
    /// [`Forbidden`]
    pub fn require(&self, requirement: Requirement) -> Result<&Self, Forbidden> {
        self.require_any([requirement])
    }

    /// The token must meet at least one of these; an empty list refuses every token.
    ///
    /// # Errors
    /// [`Forbidden`]
    pub fn require_any(
        &self,
        requirements: impl IntoIterator<Item = Requirement>,
    ) -> Result<&Self, Forbidden> {
        self.require_one_of(&requirements.into_iter().collect::<Vec<_>>())
    }

    pub(super) fn require_one_of(&self, requirements: &[Requirement]) -> Result<&Self, Forbidden> {
        if requirements.iter().any(|requirement| self.meets(requirement)) {
            return Ok(self);
        }
        let names: Vec<_> = requirements.iter().map(Requirement::to_string).collect();
        let detail = match names.as_slice() {
            [] => "no caller may do this".to_owned(),
            names => format!("the token lacks {}{}", names.join(" or "), self.own(requirements)),
        };
        // The attribute `scope` names the scopes that suffice, which is only correct for a single
        // scope.
        let scopes = match requirements {
            [Requirement::Scope(name)] => vec![name.clone()],
            _ => Vec::new(),
        };
        Err(Forbidden(self.challenges.insufficient(self.scheme, &detail, &scopes)))
    }

    /// The caller's subject, where one was required: it is compared part by part.
    fn own(&self, requirements: &[Requirement]) -> String {
        let of_subject = |one: &Requirement| matches!(one, Requirement::Subject { .. });
        match requirements.iter().any(of_subject) {
            true => format!(" (its subject is {})", self.subject()),
            false => String::new(),
        }
    }

    /// Requires all scopes of the layer. The error names all of them, so that the client can
    /// request them at once.
    pub(super) fn require_scopes_of_layer(&self) -> Result<(), Forbidden> {
        let wanted = &self.challenges.scopes;
        let lacks: Vec<_> = wanted
            .iter()
            .filter(|scope| !self.scopes().contains(scope))
            .map(|scope| Requirement::scope(scope).to_string())
            .collect();
        if lacks.is_empty() {
            return Ok(());
        }
        let detail = format!("the token lacks {}", lacks.join(" and "));
        Err(Forbidden(self.challenges.insufficient(self.scheme, &detail, wanted)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("client", &self.client())
            .finish_non_exhaustive()
    }
}

impl Forbidden {
    /// The answer to send.
    pub fn rejected(&self) -> &Rejected {
        &self.0
    }
}

impl From<Forbidden> for Rejected {
    fn from(forbidden: Forbidden) -> Self {
        forbidden.0
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Forbidden {}
