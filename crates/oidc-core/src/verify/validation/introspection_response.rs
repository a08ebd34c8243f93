//! The rules for an answer to introspection that the issuer signs (RFC 9701 §5).

use std::time::{Duration, SystemTime};

use super::{Validation, open, require};
use crate::foreign_text::quoted;
use crate::jose::VerifiedJws;
use crate::refusal::TokenRefusal;
use crate::verify::Verified;
use crate::verify::signed_answers::IntrospectionResponse;

/// `typ` (RFC 9701 §5)
const MEDIA_TYPE: &str = "token-introspection+jwt";

/// Age limit of an answer. It was made for a question that was just asked.
const FRESH: Duration = Duration::from_secs(60);

impl Validation {
    /// Requires an answer signed by the issuer, for this client, just now. Its `typ` must be that
    /// of an introspection answer (RFC 9701 §8.1).
    pub(crate) fn introspection_response(
        &self,
        jws: VerifiedJws,
        now: SystemTime,
    ) -> Result<Verified<IntrospectionResponse>, TokenRefusal> {
        let (header, claims) = open(jws)?;
        if header.media_type.as_deref() != Some(MEDIA_TYPE) {
            let found = header.media_type.as_deref().unwrap_or_default();
            return Err(TokenRefusal::WrongType {
                expected: "a signed introspection answer (header typ token-introspection+jwt)",
                found: format!("header typ {}", quoted(found)),
            });
        }
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let issued_at = require(claims.issued_at, "iat")?;
        self.check_times(&claims, now)?;
        if issued_at + FRESH + self.leeway < now {
            return Err(TokenRefusal::Expired { expires_at: issued_at + FRESH, now });
        }
        let said = require(claims.member("token_introspection"), "token_introspection")?;
        let said = said.as_object().ok_or(TokenRefusal::InvalidClaim {
            claim: "token_introspection",
            reason: "it is not an object",
        })?;
        let response = IntrospectionResponse::new(said.to_map());
        Ok(Verified::new(response, &self.issuer, header))
    }
}
