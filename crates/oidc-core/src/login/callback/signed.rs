//! Answers to an authorization request that the provider signs ([JARM §2.4]): read only when a
//! signed answer was requested.
//!
//! The signature, `iss`, `aud` and `exp` come first; then `state`, error and code as in any answer.
//! Other parameters beside `response` in the query are ignored.
//!
//! [JARM §2.4]: https://openid.net/specs/oauth-v2-jarm-final.html#section-2.4

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{CallbackRefusal, Code, Query, belongs, outcome};
use crate::jose::MAX_TOKEN_BYTES;
use crate::json::Document;
use crate::login::PendingLogin;
use crate::verify::Verifier;

/// Checks the query of a callback that must hold a signed answer.
pub(crate) async fn parse_signed(
    query: &str,
    pending: &PendingLogin,
    verifier: &Verifier,
) -> Result<Code, CallbackRefusal> {
    let query = Query::read(query)?;
    let Some(response) = query.value("response") else {
        belongs(query.value("state"), pending)?;
        return Err(CallbackRefusal::NotSigned);
    };
    let answer =
        verifier.authorization_response(response).await.map_err(CallbackRefusal::Response)?;
    belongs(answer.value("state"), pending)?;
    outcome(|name| answer.value(name))
}

/// `state` of a signed answer, without any check.
pub(super) fn claimed_state(response: &str) -> Option<String> {
    let payload = response.split('.').nth(1).filter(|_| response.len() <= MAX_TOKEN_BYTES)?;
    let answer = Document::parse_with_repeats(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(answer.members().get("state")?.as_str()?.to_owned())
}
