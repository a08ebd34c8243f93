//! Authorization responses in the query of the client's redirect URI: as plain parameters
//! ([RFC 6749 §4.1.2], [RFC 9207]) or in one signed token ([JARM §2.1, §2.3.1]).
//!
//! [RFC 6749 §4.1.2]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
//! [RFC 9207]: https://www.rfc-editor.org/rfc/rfc9207
//! [JARM §2.1, §2.3.1]: https://openid.net/specs/oauth-v2-jarm-final.html#section-2.1

use serde_json::json;
use url::Url;

use crate::jws::Claims;

/// Lifetime of a signed response, in seconds.
const LIFETIME: u64 = 60;

/// Target and format of an authorization response.
#[derive(Clone, Debug)]
pub(crate) struct ResponseTarget {
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

impl ResponseTarget {
    /// The redirect URI with these parameters in its query. Adds `state` and `iss`. `sign` signs the
    /// claims of a response in the mode [`ResponseMode::QueryJwt`].
    pub(crate) fn url<E>(
        &self,
        parameters: &[(&str, &str)],
        issuer: &str,
        now: u64,
        sign: impl FnOnce(&Claims) -> Result<String, E>,
    ) -> Result<Url, E> {
        let state = self.state.as_deref().map(|state| ("state", state));
        let parameters = state.into_iter().chain(parameters.iter().copied());
        let mut url = self.redirect_uri.clone();
        match self.mode {
            ResponseMode::Query => {
                url.query_pairs_mut().extend_pairs(parameters).append_pair("iss", issuer);
            }
            ResponseMode::QueryJwt => {
                let mut claims: Claims =
                    parameters.map(|(name, value)| (name.to_owned(), json!(value))).collect();
                claims.insert("iss".to_owned(), json!(issuer));
                claims.insert("aud".to_owned(), json!(self.client));
                claims.insert("exp".to_owned(), json!(now + LIFETIME));
                url.query_pairs_mut().append_pair("response", &sign(&claims)?);
            }
        }
        Ok(url)
    }
}
