//! Signed answers to an authorization request (JARM).

use super::Verifier;
use crate::jose::UnverifiedJws;
use crate::refusal::TokenRefusal;
use crate::verify::signed_answers::AuthorizationResponse;
use crate::verify::trusted::Signed;
use crate::verify::{Validation, Verified};

impl Verifier {
    /// Verifies a signed answer to an authorization request (JARM §2.4); its audience is the client's id.
    pub(crate) async fn authorization_response(
        &self,
        token: &str,
    ) -> Result<Verified<AuthorizationResponse>, TokenRefusal> {
        let parse = UnverifiedJws::parse_with_repeats;
        let rules = Validation::authorization_response;
        Ok(self.judge.judge(Signed::Message, parse, token, rules).await?.verified)
    }
}
