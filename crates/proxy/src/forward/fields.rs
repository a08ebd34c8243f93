//! The header of a request as its upstream is to receive it, whether the gateway sends it there or a proxy does.

use http::{HeaderMap, HeaderValue, header};
use http_canonical::trailers::Announced;
use web_sessions::OwnNames;

use super::{
    Upstreams, X_DOORWARD_ASSERTION,
    headers::{self, From},
    internal,
};
use crate::{
    identify::{Credential, authorization::Carrier},
    refusal::Refusal,
    route::Route,
    upstream::Upstream,
};
use access_policy::Caller;

/// Bytes of identity in the headers of a request that many servers do not take: Node.js allows 16 KiB for all headers.
const LARGE_IDENTITY: usize = 16_000;

/// Fields that the gateway adds to a request, and a few.
const ADDED: usize = 18;

/// The receiver of a request, and the caller that it is told.
pub(super) struct Recipient<'a> {
    pub(super) route: &'a Route,
    /// Names of cookies that are for the gateway alone.
    pub(super) own_cookies: &'a OwnNames,
    pub(super) caller: &'a Caller,
    pub(super) credential: &'a Credential,
}

impl Upstreams {
    /// Removes what is for the gateway alone, and what only the gateway may write. Then writes that.
    pub(super) fn fill(
        &self,
        headers: &mut HeaderMap,
        trailers: &mut Announced,
        recipient: &Recipient<'_>,
        from: From<'_>,
    ) -> Result<(), Refusal> {
        let Recipient { route, own_cookies, caller, credential } = recipient;
        headers::take_credentials(headers, credential, own_cookies);
        headers::take_reserved(headers, trailers, route);
        // Grown once, for all that the gateway adds.
        headers.reserve(ADDED);
        headers::set_origin(headers, from);
        self.set_identity(headers, route, caller, credential)
    }

    fn set_identity(
        &self,
        headers: &mut HeaderMap,
        route: &Route,
        caller: &Caller,
        credential: &Credential,
    ) -> Result<(), Refusal> {
        let Caller::Known(known) = caller else { return Ok(()) };
        let known = &self.assertions.seen_by(known, route);
        let mut size = 0;
        let wanted = route.identity.headers || route.identity.assertion;
        let entry = wanted.then(|| self.assertions.entry(known));
        if let Some(entry) = entry.as_deref().filter(|_| route.identity.headers) {
            size += entry.headers.size();
            entry.headers.set(headers);
        }
        if let Some(entry) = entry.as_deref().filter(|_| route.identity.assertion) {
            let assertion = internal(self.assertions.assertion(entry, &route.name), "assertion")?;
            size += assertion.len();
            headers.insert(X_DOORWARD_ASSERTION, assertion);
        }
        if let Some(fields) = &route.set {
            for (name, value) in self.assertions.filled(known, fields).iter() {
                size += name.as_str().len() + value.len();
                headers.insert(name.clone(), value.clone());
            }
        }
        if size > LARGE_IDENTITY {
            warn_of_large_identity(route, size);
        }
        if route.identity.access_token {
            let bearer = match credential {
                // Bound to the caller's key: of no use to an upstream, which has no proof.
                Credential::Bearer { carrier: Carrier::Dpop, .. } => return Ok(()),
                Credential::Bearer { token, .. } => format!("Bearer {}", token.expose()),
                Credential::Session(live) => match live.access_token(self.clock.now()) {
                    Some(token) => format!("Bearer {}", token.expose()),
                    None => return Ok(()),
                },
                // A key is no access token, and no upstream may learn it.
                Credential::None | Credential::Key { .. } | Credential::Certificate { .. } => {
                    return Ok(());
                }
            };
            let mut value = internal(HeaderValue::try_from(bearer), "access token")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(())
    }
}

/// Warns once for each route.
#[cold]
fn warn_of_large_identity(route: &Route, bytes: usize) {
    if route.upstream.as_ref().is_some_and(Upstream::first_large_identity) {
        tracing::warn!(
            route = route.name,
            bytes,
            "the identity of a caller takes more header bytes than many servers accept (431); write `identity: {{ groups: \
             matching }}` on the route, or turn off `headers` or `assertion`"
        );
    }
}
