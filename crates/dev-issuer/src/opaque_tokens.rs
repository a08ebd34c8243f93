//! Opaque access tokens ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)): only this provider can read them, by introspection.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::identifiers::random_handle;
use crate::shared::Shared;

/// The JWT behind each opaque token.
#[derive(Debug, Default)]
pub(crate) struct OpaqueTokens(Shared<BTreeMap<String, String>>);

impl OpaqueTokens {
    /// A new opaque token for this JWT.
    pub(crate) fn issue(&self, jwt: String) -> String {
        let opaque = random_handle();
        self.0.lock().insert(opaque.clone(), jwt);
        opaque
    }

    /// The JWT behind an opaque token. Any other text is returned as it is.
    pub(crate) fn resolve<'t>(&self, token: &'t str) -> Cow<'t, str> {
        self.0.lock().get(token).map_or(Cow::Borrowed(token), |jwt| Cow::Owned(jwt.clone()))
    }
}
