//! Token exchange as a value ([RFC 8693 §2.1]): one token for another, for another audience or with
//! fewer rights.
//!
//! An issuer that supports delegation writes the actor into the `act` claim (RFC 8693 §4.1).
//!
//! [RFC 8693 §2.1]: https://www.rfc-editor.org/rfc/rfc8693#section-2.1

use oidc_core::Secret;
use oidc_core::client::{Grant, TokenEndpointError, TokenSet};
use oidc_core::token::Scope;

use crate::presented::PresentedToken;
use crate::source::TokenError;

mod cache;
mod failures;
mod kept;

pub use cache::ExchangedTokens;

/// Kinds of tokens that are sent as access tokens (RFC 8693 §3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Parameters of a token exchange, without the subject's token, which is passed with each use.
///
/// ```
/// let wanted = m2m::Exchange::new().with_audience("churn").with_scope("score");
/// # let _ = wanted;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    audience: Vec<String>,
    resource: Vec<String>,
    scope: Option<Scope>,
    subject_token_type: Option<String>,
    actor: Option<PresentedToken>,
    actor_token_type: Option<String>,
    requested_token_type: Option<String>,
}

impl Exchange {
    /// Wants the issuer's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants a token for this audience, by its name at the issuer; several may be wanted.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// Wants a token for this resource, an absolute URI; several may be wanted (RFC 8707 §2).
    #[must_use]
    pub fn with_resource(mut self, resource: impl Into<String>) -> Self {
        self.resource.push(resource.into());
        self
    }

    /// Wants these scopes, separated by spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn with_scope(mut self, scope: &str) -> Self {
        self.scope = Some(Scope::from(scope));
        self
    }

    /// Sets the type of the subject token, a URN of RFC 8693 §3; an access token by default.
    #[must_use]
    pub fn with_subject_token_type(mut self, urn: impl Into<String>) -> Self {
        self.subject_token_type = Some(urn.into());
        self
    }

    /// Names the actor on the subject's behalf, where that is not the client itself (RFC 8693 §1.1).
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<PresentedToken>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Sets the type of the actor's token, a URN of RFC 8693 §3; an access token by default.
    #[must_use]
    pub fn with_actor_token_type(mut self, urn: impl Into<String>) -> Self {
        self.actor_token_type = Some(urn.into());
        self
    }

    /// Wants a token of this kind, as a URN of RFC 8693 §3.
    #[must_use]
    pub fn with_requested_token_type(mut self, urn: impl Into<String>) -> Self {
        self.requested_token_type = Some(urn.into());
        self
    }

    pub(crate) async fn grant(&self, subject_token: Secret) -> Result<Grant, TokenError> {
        let actor_token = match &self.actor {
            Some(actor) => Some(actor.secret().await?),
            None => None,
        };
        Ok(Grant::TokenExchange {
            subject_token,
            subject_token_type: self.subject_token_type.clone(),
            actor_token,
            actor_token_type: self.actor_token_type.clone(),
            requested_token_type: self.requested_token_type.clone(),
            audience: self.audience.clone(),
            resource: self.resource.clone(),
            scope: self.scope.clone(),
        })
    }

    /// Checks that the answer holds the kind of token that was asked for: `issued_token_type` is
    /// required (RFC 8693 §2.2.1), and is the requested type, or an access token or JWT without one.
    pub(crate) fn check(&self, tokens: &TokenSet) -> Result<(), TokenError> {
        let member = "issued_token_type";
        let problem = match (tokens.issued_token_type.as_deref(), &self.requested_token_type) {
            (None, _) => "is missing",
            (Some(issued), Some(wanted)) if issued == wanted => return Ok(()),
            (Some(ACCESS_TOKEN | JWT), None) => return Ok(()),
            (Some(_), _) => "is another kind of token than was asked for",
        };
        Err(TokenEndpointError::InvalidMember { member, problem }.into())
    }

    /// The parameters, by their names in the token request; `None` if a secret is among them.
    pub(crate) fn parts(&self) -> Option<Vec<(&'static str, String)>> {
        let mut parts = Vec::new();
        parts.extend(self.audience.iter().cloned().map(|audience| ("audience", audience)));
        parts.extend(self.resource.iter().cloned().map(|resource| ("resource", resource)));
        parts.extend(self.scope.as_ref().map(|scope| ("scope", scope.to_string())));
        if let Some(actor) = &self.actor {
            parts.push(("actor_token", actor.cache_key()?));
        }
        let types = [
            ("subject_token_type", &self.subject_token_type),
            ("actor_token_type", &self.actor_token_type),
            ("requested_token_type", &self.requested_token_type),
        ];
        parts.extend(types.into_iter().filter_map(|(name, urn)| Some((name, urn.clone()?))));
        Some(parts)
    }
}
