//! The identity of a caller, on the request to the upstream.

use access_policy::Caller;
use http::{HeaderMap, HeaderValue, header};

use super::{Upstreams, X_DOORWARD_ASSERTION, internal};
use crate::{
    config::SentAccessToken,
    identify::{Credential, authorization::Carrier},
    refusal::Refusal,
    route::Route,
    upstream::Upstream,
};

/// Bytes of identity in the headers of a request that many servers do not take: Node.js allows 16 KiB for all headers.
const LARGE_IDENTITY: usize = 16_000;

impl Upstreams {
    /// Writes the fields about the caller; `exchanged` is the token that the caller's own was exchanged for.
    pub(super) fn set_identity(
        &self,
        headers: &mut HeaderMap,
        route: &Route,
        caller: &Caller,
        credential: &Credential,
        exchanged: Option<HeaderValue>,
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
        match route.identity.access_token {
            SentAccessToken::None => {}
            SentAccessToken::Exchanged(_) => {
                if let Some(token) = exchanged {
                    headers.insert(header::AUTHORIZATION, token);
                }
            }
            SentAccessToken::Own => {
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
        }
        Ok(())
    }

    /// The token that the caller's own is exchanged for, where the route sends one.
    pub(super) async fn exchanged(
        &self,
        route: &Route,
        caller: &Caller,
        credential: &Credential,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let (Some(wanted), Caller::Known(known)) = (&route.exchange, caller) else {
            return Ok(None);
        };
        let Some(on_behalf) = &self.on_behalf else {
            let reason = "no issuer to exchange tokens with".to_owned();
            return Err(Refusal::Internal { reason });
        };
        // Boxed, as every rare branch is.
        let token = Box::pin(on_behalf.authorization(route, wanted, known, credential));
        token.await.map(Some)
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
