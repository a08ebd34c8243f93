//! Opaque access tokens: references that only this issuer can resolve, by introspection.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::shared::Shared;
use crate::tokens::random_handle;

/// The token of each reference.
#[derive(Debug, Default)]
pub(crate) struct References(Shared<BTreeMap<String, String>>);

impl References {
    /// A new reference to this token.
    pub(crate) fn to(&self, token: String) -> String {
        let reference = random_handle();
        self.0.lock().insert(reference.clone(), token);
        reference
    }

    /// The token that a reference stands for; any other text is returned as it is.
    pub(crate) fn follow<'t>(&self, token: &'t str) -> Cow<'t, str> {
        self.0.lock().get(token).map_or(Cow::Borrowed(token), |meant| Cow::Owned(meant.clone()))
    }
}
