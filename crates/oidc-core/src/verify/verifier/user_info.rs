//! Signed UserInfo answers.

use super::Verifier;
use crate::jose::UnverifiedJws;
use crate::refusal::TokenRefusal;
use crate::token::{Algorithm, Claims};
use crate::verify::Validation;
use crate::verify::trusted::Signed;

impl Verifier {
    /// Verifies a signed UserInfo answer (OpenID Connect Core 1.0 §5.3.2); its audience is the client's id.
    /// Its algorithm is one that the rules name, or else one of the `announced`, if there are any.
    pub(crate) async fn user_info(
        &self,
        answer: &str,
        announced: &[String],
    ) -> Result<Claims, TokenRefusal> {
        let is_announced = self.validation().algorithms().is_none() && !announced.is_empty();
        let parse = |answer| {
            let jws = UnverifiedJws::parse(answer)?;
            let known = || announced.iter().filter_map(|name| name.parse().ok());
            let algorithm = jws.header.algorithm;
            match is_announced && !known().any(|known: Algorithm| known == algorithm) {
                true => Err(TokenRefusal::not_among(algorithm, &known().collect::<Vec<_>>())),
                false => Ok(jws),
            }
        };
        let judged = self.judge.judge(Signed::OwnMessage, parse, answer, Validation::user_info);
        Ok(judged.await?.verified.into_inner())
    }
}
