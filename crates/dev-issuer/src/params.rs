//! Parameters of a query or a form, in order. Detects repeated parameters, which OAuth forbids
//! ([RFC 6749 §3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1)).

use std::fmt;

use crate::oauth_error::OAuthError;

#[derive(Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    pub(crate) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The value; an empty one counts as left out (RFC 6749 §3.1).
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Every value under this name (`audience` and `resource` may be repeated).
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
    }

    /// The parameters, bound to the authenticated client: adds its `client_id` where it was left out,
    /// and refuses that of another client.
    pub(crate) fn for_client(mut self, id: &str) -> Result<Self, OAuthError> {
        match self.value("client_id") {
            Some(named) if named != id => {
                Err(OAuthError::InvalidRequest("client_id is another client's".to_owned()))
            }
            Some(_) => Ok(self),
            None => {
                self.0.push(("client_id".to_owned(), id.to_owned()));
                Ok(self)
            }
        }
    }

    /// A name that came more than once and must not.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let mut rest = self.0.as_slice();
        while let [(name, _), after @ ..] = rest {
            let may_repeat = matches!(name.as_str(), "audience" | "resource");
            if !may_repeat && after.iter().any(|(other, _)| other == name) {
                return Some(name);
            }
            rest = after;
        }
        None
    }
}

/// Shows names only: values may be codes, secrets and passwords.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
