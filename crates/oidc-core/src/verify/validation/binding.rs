//! Access tokens that must be bound to a key (`cnf`, RFC 7800 §3.1): a stolen one is then of no use.

use super::Validation;
use crate::refusal::TokenRefusal;
use crate::token::{Claims, InvalidClaims};

/// The kind of key that access tokens must be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The key of DPoP proofs: `cnf.jkt` (RFC 9449 §6.1).
    Dpop,
    /// The client's certificate: `cnf.x5t#S256` (RFC 8705 §3.1).
    Certificate,
}

impl Validation {
    /// Accepts access tokens only that are bound to a key of this kind. Their possession is proved at each request:
    /// [`Verifier::presented`](crate::Verifier::presented).
    ///
    /// ```
    /// use oidc_core::Validation;
    /// use oidc_core::verify::Binding;
    ///
    /// let validation = Validation::new("https://id.example/realms/lab".parse()?, "hub")
    ///     .with_required_binding(Binding::Dpop);
    /// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
    /// ```
    #[must_use]
    pub fn with_required_binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// Refuses a token that is not bound as it must be.
    pub(crate) fn check_binding(&self, claims: &Claims) -> Result<(), TokenRefusal> {
        let Some(binding) = self.binding else { return Ok(()) };
        let bound = claims.confirmation().map_err(|error| match error {
            InvalidClaims::Claim { claim, reason } => TokenRefusal::InvalidClaim { claim, reason },
            InvalidClaims::Malformed { reason } => {
                TokenRefusal::Malformed { part: "payload", reason }
            }
        })?;
        let (claim, key) = match binding {
            Binding::Dpop => ("cnf.jkt", bound.as_ref().and_then(|bound| bound.jkt())),
            Binding::Certificate => {
                ("cnf.x5t#S256", bound.as_ref().and_then(|bound| bound.x5t_s256()))
            }
        };
        key.map(|_| ()).ok_or(TokenRefusal::MissingClaim { claim })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Binding, Validation};
    use crate::token::Claims;

    const DIGEST: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn code(binding: Binding, claims: &Value) -> &'static str {
        let issuer = "https://id.example".parse().unwrap();
        let rules = Validation::new(issuer, "hub").with_required_binding(binding);
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        rules.check_binding(&claims).map_or_else(|refusal| refusal.code(), |()| "accepted")
    }

    #[test]
    fn an_unbound_token_is_refused_where_binding_is_required() {
        let (dpop, certificate) = (Binding::Dpop, Binding::Certificate);
        let (jkt, x5t) = (json!({"jkt": DIGEST}), json!({"x5t#S256": DIGEST}));
        for (binding, cnf, expected) in [
            (dpop, jkt.clone(), "accepted"),
            (dpop, x5t.clone(), "missing_claim"),
            (certificate, x5t, "accepted"),
            (certificate, jkt, "missing_claim"),
            (dpop, json!({}), "invalid_claim"),
            (dpop, json!({"jkt": ""}), "invalid_claim"),
        ] {
            assert_eq!(code(binding, &json!({"cnf": cnf})), expected, "{binding:?} {cnf}");
        }
        assert_eq!(code(dpop, &json!({})), "missing_claim");
    }
}
