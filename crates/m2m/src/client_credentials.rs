//! The client credentials grant as a value ([RFC 6749 §4.4]). Pure: no I/O, no clock.
//!
//! [RFC 6749 §4.4]: https://www.rfc-editor.org/rfc/rfc6749#section-4.4

use oidc_core::client::Grant;
use oidc_core::token::Scope;

/// Parameters of a client credentials request.
///
/// ```
/// let grant = m2m::ClientCredentials::new().with_scope("score").with_audience("churn");
/// assert_eq!(grant.audience(), Some("churn"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ClientCredentials {
    scope: Option<Scope>,
    audience: Option<String>,
    resource: Vec<String>,
}

impl ClientCredentials {
    /// Asks for the client's default scope and audience.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for these scopes, separated by spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn with_scope(mut self, scope: &str) -> Self {
        self.scope = Some(Scope::from(scope));
        self
    }

    /// Asks for a token for this audience, where the issuer takes the parameter.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Asks for a token for this resource, an absolute URI; several may be asked for (RFC 8707 §2).
    #[must_use]
    pub fn with_resource(mut self, resource: impl Into<String>) -> Self {
        self.resource.push(resource.into());
        self
    }

    /// The audience asked for.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The parameters, by their names in the token request.
    pub(crate) fn parts(&self) -> Vec<(&'static str, String)> {
        let mut parts = Vec::new();
        parts.extend(self.scope.as_ref().map(|scope| ("scope", scope.to_string())));
        parts.extend(self.audience.clone().map(|audience| ("audience", audience)));
        parts.extend(self.resource.iter().cloned().map(|resource| ("resource", resource)));
        parts
    }

    pub(crate) fn grant(&self) -> Grant {
        Grant::ClientCredentials {
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            resource: self.resource.clone(),
        }
    }
}
