//! The rules for a signed UserInfo answer ([OpenID Connect Core 1.0 §5.3.2]).
//!
//! [OpenID Connect Core 1.0 §5.3.2]: https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse

use std::time::SystemTime;

use super::{Validation, check_type, open, require};
use crate::jose::VerifiedJws;
use crate::refusal::TokenRefusal;
use crate::token::Claims;
use crate::verify::Verified;

impl Validation {
    /// Requires an answer that the issuer signed for this client. It has no `typ` of its own, so one whose
    /// `typ` names another kind of JWT is refused (RFC 8725 §3.11). Times need not be there, and count
    /// where they are.
    pub(crate) fn user_info(
        &self,
        jws: VerifiedJws,
        now: SystemTime,
    ) -> Result<Verified<Claims>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        check_type(&header, &claims, "a signed UserInfo answer", &["jwt"], None)?;
        if claims.contains("events") {
            return Err(TokenRefusal::ForbiddenClaim { claim: "events" });
        }
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        self.check_times(&claims, now)?;
        require(claims.subject.as_ref(), "sub")?;
        Ok(Verified::new(claims, &self.issuer, header))
    }
}
