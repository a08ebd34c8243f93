//! Tokens that are presented in another form than the provider's own: opaque texts ([RFC 7662]), which only introspection can read,
//! and JWTs of another product.
//!
//! [RFC 7662]: https://www.rfc-editor.org/rfc/rfc7662

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::identifiers::random_handle;
use crate::shared::Shared;

/// The provider's own JWT behind each presented token.
#[derive(Debug, Default)]
pub(crate) struct PresentedTokens(Shared<BTreeMap<String, String>>);

impl PresentedTokens {
    /// A new opaque token for this JWT.
    pub(crate) fn issue_opaque(&self, own: String) -> String {
        self.stands_for(random_handle(), own)
    }

    /// Remembers that `presented` is issued for the JWT `own`; returns `presented`.
    pub(crate) fn stands_for(&self, presented: String, own: String) -> String {
        self.0.lock().insert(presented.clone(), own);
        presented
    }

    /// The JWT behind a presented token. Any other text is returned as it is.
    pub(crate) fn resolve<'t>(&self, token: &'t str) -> Cow<'t, str> {
        self.0.lock().get(token).map_or(Cow::Borrowed(token), |own| Cow::Owned(own.clone()))
    }
}
