//! The rules for a signed answer to an authorization request ([JARM §2.4]).
//!
//! [JARM §2.4]: https://openid.net/specs/oauth-v2-jarm-final.html#section-2.4

use std::time::SystemTime;

use super::{Validation, check_type, open, require};
use crate::jose::VerifiedJws;
use crate::refusal::TokenRefusal;
use crate::verify::Verified;
use crate::verify::signed_answers::AuthorizationResponse;

impl Validation {
    /// Requires an answer that the issuer signed, for this client alone, and that has not expired.
    /// It has no `typ` of its own, so an answer whose `typ` names another kind of JWT is refused
    /// (RFC 8725 §3.11).
    pub(crate) fn authorization_response(
        &self,
        jws: VerifiedJws,
        now: SystemTime,
    ) -> Result<Verified<AuthorizationResponse>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        check_type(&header, &claims, "a signed authorization response", &["jwt"], None)?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        if claims.audience.len() != 1 {
            let reason = "it names others beside this client";
            return Err(TokenRefusal::InvalidClaim { claim: "aud", reason });
        }
        require(claims.expires_at, "exp")?;
        self.check_times(&claims, now)?;
        let response = AuthorizationResponse::new(claims)?;
        Ok(Verified::new(response, &self.issuer, header))
    }
}
