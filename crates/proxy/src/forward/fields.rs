//! The header of a request as its upstream is to receive it, whether the gateway sends it there or a proxy does.

use http::{HeaderMap, HeaderValue};
use http_canonical::trailers::Announced;
use web_sessions::OwnNames;

use super::{
    Upstreams,
    headers::{self, From},
};
use crate::{identify::Credential, refusal::Refusal, route::Route};
use access_policy::Caller;

/// Fields that the gateway adds to a request, and a few.
const ADDED: usize = 18;

/// The receiver of a request, and the caller that it is told.
pub(super) struct Recipient<'a> {
    pub(super) route: &'a Route,
    /// Names of cookies that are for the gateway alone.
    pub(super) own_cookies: &'a OwnNames,
    pub(super) caller: &'a Caller,
    pub(super) credential: &'a Credential,
    /// The token that the caller's own was exchanged for.
    pub(super) exchanged: Option<HeaderValue>,
}

impl Upstreams {
    /// Removes what is for the gateway alone, and what only the gateway may write. Then writes that.
    pub(super) fn fill(
        &self,
        headers: &mut HeaderMap,
        trailers: &mut Announced,
        recipient: Recipient<'_>,
        from: From<'_>,
    ) -> Result<(), Refusal> {
        let Recipient { route, own_cookies, caller, credential, exchanged } = recipient;
        headers::take_credentials(headers, credential, own_cookies);
        headers::take_reserved(headers, trailers, route);
        // Grown once, for all that the gateway adds.
        headers.reserve(ADDED);
        headers::set_origin(headers, from);
        self.set_identity(headers, route, caller, credential, exchanged)
    }
}
