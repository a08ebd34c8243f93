//! What the provider answers instead of giving tokens: signed answers to an authorization request
//! (JARM) and to introspection (RFC 9701), and introspection of tokens that cannot be read here.

use std::sync::Arc;

use super::Verifier;
use super::trusted::Signed;
use crate::introspection::{Introspection, IntrospectionResponse};
use crate::jose::{MAX_TOKEN_BYTES, UnverifiedJws};
use crate::refusal::TokenRefusal;
use crate::tokens::Verified;
use crate::validation::Validation;

impl Verifier {
    /// Asks about access tokens that are no signed JWT (RFC 7662). Such a token does not say whose it
    /// is: the issuer of `introspection` must be the only one that makes them. JWTs are verified here
    /// as ever.
    ///
    /// ```no_run
    /// # fn run(verifier: oidc_core::Verifier, introspection: oidc_core::Introspection) {
    /// let verifier = verifier.with_introspection(introspection);
    /// # }
    /// ```
    #[must_use]
    pub fn with_introspection(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(Arc::new(introspection));
        self
    }

    /// The introspection that judges this token, where only its issuer can read it; `None` for a JWT.
    pub fn asked_about(&self, token: &str) -> Option<&Introspection> {
        // What is too large is not even looked at.
        let introspection = self.introspection.as_deref();
        introspection.filter(|_| token.len() <= MAX_TOKEN_BYTES && token.split('.').count() != 3)
    }

    /// Verifies a signed answer to an authorization request (JARM §2.4); its audience is the client's id.
    #[cfg(feature = "login")]
    pub(crate) async fn authorization_response(
        &self,
        token: &str,
    ) -> Result<Verified<crate::callback::AuthorizationResponse>, TokenRefusal> {
        let parse = UnverifiedJws::parse_with_repeats;
        let rules = Validation::authorization_response;
        Ok(self.judge_as(Signed::Message, parse, token, rules).await?.verified)
    }

    /// Verifies a signed answer to introspection (RFC 9701 §5); its audience is the client's id. Returns
    /// the generation of the keys that it was verified with, too.
    pub(crate) async fn introspection_response(
        &self,
        token: &str,
    ) -> Result<(Verified<IntrospectionResponse>, u64), TokenRefusal> {
        let rules = Validation::introspection_response;
        let judged = self.judge_as(Signed::Message, UnverifiedJws::parse, token, rules).await?;
        Ok((judged.verified, judged.generation))
    }
}
