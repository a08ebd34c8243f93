//! Claims that hold several values: `aud` and `scope`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// `aud`: the audiences of the token (RFC 7519 §4.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience(Vec<String>);

impl Audience {
    pub(crate) fn new(values: Vec<String>) -> Self {
        Self(values)
    }

    /// Whether `name` is one of the audiences, byte for byte.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|audience| audience == name)
    }

    /// The audiences in the order of the token.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Number of audiences.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the token names no audience.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `scope`: the permissions of the token, separated by spaces (RFC 6749 §3.3).
///
/// ```
/// let scope = oidc_core::token::Scope::from("openid  profile openid");
/// assert!(scope.contains("profile") && !scope.contains("prof"));
/// assert_eq!(scope.to_string(), "openid profile");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// Whether `name` is one of the values.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|value| value == name)
    }

    /// The values in their order, each once.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|value| !value.is_empty())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, text: &str) {
        for value in text.split(' ') {
            if !value.is_empty() && !self.contains(value) {
                if !self.0.is_empty() {
                    self.0.push(' ');
                }
                self.0.push_str(value);
            }
        }
    }
}

impl From<&str> for Scope {
    fn from(text: &str) -> Self {
        let mut scope = Self(String::with_capacity(text.len()));
        scope.add(text);
        scope
    }
}

impl FromStr for Scope {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl<S: Into<String>> FromIterator<S> for Scope {
    fn from_iter<I: IntoIterator<Item = S>>(values: I) -> Self {
        let mut scope = Self::default();
        for value in values {
            scope.add(&value.into());
        }
        scope
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
