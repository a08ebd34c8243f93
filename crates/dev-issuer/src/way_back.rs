//! Authorization answers in the query of the client's redirect URI: as plain parameters
//! ([RFC 6749 §4.1.2], [RFC 9207]) or in one signed token ([JARM §2.1, §2.3.1]).
//!
//! [RFC 6749 §4.1.2]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
//! [RFC 9207]: https://www.rfc-editor.org/rfc/rfc9207
//! [JARM §2.1, §2.3.1]: https://openid.net/specs/oauth-v2-jarm-final.html#section-2.1

use serde_json::json;
use url::Url;

use crate::faults::Endpoint;
use crate::jws::Claims;
use crate::provider::Provider;

/// Lifetime of a signed answer, in seconds.
const LIFETIME: u64 = 60;

/// Target and format of an authorization answer.
#[derive(Clone, Debug)]
pub(crate) struct WayBack {
    pub(crate) redirect_uri: Url,
    pub(crate) client: String,
    pub(crate) state: Option<String>,
    pub(crate) mode: ResponseMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    Query,
    QueryJwt,
}

impl ResponseMode {
    pub(crate) const ALL: [&str; 3] = ["query", "query.jwt", "jwt"];

    /// The mode that `response_mode` names; `query` where it is left out.
    pub(crate) fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("query") => Some(Self::Query),
            Some("query.jwt" | "jwt") => Some(Self::QueryJwt),
            Some(_) => None,
        }
    }
}

impl WayBack {
    /// The redirect URI with this answer in its query. Adds `state` and `iss`.
    pub(crate) fn with(
        &self,
        provider: &Provider,
        answer: &[(&str, &str)],
    ) -> Result<Url, jsonwebtoken::errors::Error> {
        let issuer = provider.issuer_told_by(Endpoint::Authorization);
        let state = self.state.as_deref().map(|state| ("state", state));
        let answer = state.into_iter().chain(answer.iter().copied());
        let mut url = self.redirect_uri.clone();
        match self.mode {
            ResponseMode::Query => {
                url.query_pairs_mut().extend_pairs(answer).append_pair("iss", &issuer);
            }
            ResponseMode::QueryJwt => {
                let mut claims: Claims =
                    answer.map(|(name, value)| (name.to_owned(), json!(value))).collect();
                claims.insert("iss".to_owned(), json!(issuer));
                claims.insert("aud".to_owned(), json!(self.client));
                claims.insert("exp".to_owned(), json!(provider.clock.seconds() + LIFETIME));
                let response = provider.sign(&claims, "JWT")?;
                url.query_pairs_mut().append_pair("response", &response);
            }
        }
        Ok(url)
    }
}
