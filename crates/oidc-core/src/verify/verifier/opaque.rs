//! Introspection (RFC 7662) of access tokens that are not JWTs.

use std::sync::Arc;

use super::Verifier;
use crate::jose::MAX_TOKEN_BYTES;
use crate::verify::Introspection;

impl Verifier {
    /// Checks access tokens that are not signed JWTs by introspection (RFC 7662). Such a token does
    /// not name its issuer: the issuer of `introspection` must be the only one that makes them.
    /// JWTs are still verified here.
    ///
    /// ```no_run
    /// # fn run(verifier: oidc_core::Verifier, introspection: oidc_core::verify::Introspection) {
    /// let verifier = verifier.with_introspection(introspection);
    /// # }
    /// ```
    #[must_use]
    pub fn with_introspection(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(Arc::new(introspection));
        self
    }

    /// The introspection that checks this token, if only its issuer can read it; `None` for a JWT.
    pub fn asked_about(&self, token: &str) -> Option<&Introspection> {
        // A token above the size limit is not introspected.
        let introspection = self.introspection.as_deref();
        introspection.filter(|_| token.len() <= MAX_TOKEN_BYTES && token.split('.').count() != 3)
    }
}
