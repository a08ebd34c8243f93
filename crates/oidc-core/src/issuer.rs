//! Issuer identifiers ([OpenID Connect Discovery 1.0 §2, §4]; RFC 8414 §2).
//!
//! Parsed once, then compared byte for byte: no case folding, no trailing-slash repair.
//!
//! [OpenID Connect Discovery 1.0 §2, §4]: https://openid.net/specs/openid-connect-discovery-1_0.html

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use url::{Host, Url};

use crate::foreign_text::quoted;

mod plain_http;

pub use plain_http::{InvalidHttpHost, PlainHttpHosts};
mod template;

pub use template::IssuerTemplate;

/// A validated issuer identifier.
///
/// `https` is required, except on loopback hosts (`localhost`, `127.0.0.0/8`, `::1`) and on hosts
/// that [`Issuer::dangerous_allow_http`] is given.
///
/// ```
/// use oidc_core::Issuer;
/// let issuer: Issuer = "https://id.example/realms/lab".parse()?;
/// assert_eq!(issuer.as_str(), "https://id.example/realms/lab");
/// assert!("http://id.example/realms/lab".parse::<Issuer>().is_err());
/// assert_ne!(issuer, "https://id.example/realms/lab/".parse()?);
/// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Issuer {
    text: Arc<str>,
    loopback: bool,
}

/// Reason a text is not an issuer identifier.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidIssuer {
    /// Not an absolute URL with a host.
    #[error(
        "issuer {value} is not a URL ({reason}); write it as the provider does, like https://id.example/realms/name"
    )]
    NotAUrl {
        /// The value given.
        value: String,
        /// The URL parser's error.
        reason: String,
    },
    /// Neither `https` nor on a loopback host.
    #[error(
        "issuer {value} must use https; http is accepted on localhost, 127.0.0.0/8 and [::1] only, and on hosts that dangerous_allow_http lists"
    )]
    NotHttps {
        /// The value given.
        value: String,
    },
    /// OpenID Connect Discovery 1.0 §2 allows neither query nor fragment.
    #[error("issuer {value} must have neither query nor fragment")]
    QueryOrFragment {
        /// The value given.
        value: String,
    },
    /// Not a template, or not one that has a single reading.
    #[error(
        "issuer template {value}: {reason}; write it like https://login.microsoftonline.com/{{tenantid}}/v2.0"
    )]
    NotATemplate {
        /// The value given.
        value: String,
        /// The problem with it.
        reason: &'static str,
    },
    /// The name of a tenant cannot stand in an issuer identifier.
    #[error("tenant {value}: {reason}; write the tenant's id, as its tokens have it in `tid`")]
    NotATenant {
        /// The value given.
        value: String,
        /// The problem with it.
        reason: &'static str,
    },
    /// A user name or password in the URL.
    #[error("issuer {value} must not hold a user name or password")]
    Credentials {
        /// The value given, without the credentials.
        value: String,
    },
}

impl Issuer {
    /// The identifier, exactly as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// An issuer whose identifier uses plain `http` off loopback, if its host is among `hosts`.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer`], as from parsing it.
    pub fn dangerous_allow_http(text: &str, hosts: &PlainHttpHosts) -> Result<Self, InvalidIssuer> {
        let (issuer, url) = Self::with_any_scheme(text)?;
        match url.scheme() {
            "https" => Ok(issuer),
            "http" if issuer.loopback || hosts.include(&url) => Ok(issuer),
            _ => Err(InvalidIssuer::NotHttps { value: quoted(text) }),
        }
    }

    /// An identifier as a document writes it. Its scheme is not checked, so compare it with a
    /// configured one.
    pub(crate) fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::with_any_scheme(&text).map(|(issuer, _)| issuer).map_err(serde::de::Error::custom)
    }

    /// Whether the host is this machine, where plain `http` is accepted.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// URL of the provider's metadata (OpenID Connect Discovery 1.0 §4): the well-known path
    /// appended to the issuer's own path.
    pub fn discovery_url(&self) -> String {
        let address = template::discovery_address(&self.text);
        format!("{}/.well-known/openid-configuration", address.trim_end_matches('/'))
    }

    /// URL of the same metadata at an authorization server that is no OpenID provider (RFC 8414 §3.1): the well-known path
    /// inserted before the issuer's own path.
    ///
    /// ```
    /// let issuer: oidc_core::Issuer = "https://id.example/tenants/a".parse()?;
    /// let url = "https://id.example/.well-known/oauth-authorization-server/tenants/a";
    /// assert_eq!(issuer.authorization_server_metadata_url(), url);
    /// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
    /// ```
    pub fn authorization_server_metadata_url(&self) -> String {
        const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
        let address = template::discovery_address(&self.text);
        let address = address.trim_end_matches('/');
        let host = address.find("://").map_or(0, |scheme| scheme + 3);
        let path = address.get(host..).and_then(|rest| rest.find('/'));
        let (origin, path) = address.split_at(path.map_or(address.len(), |path| host + path));
        format!("{origin}{WELL_KNOWN}{path}")
    }

    fn with_any_scheme(text: &str) -> Result<(Self, Url), InvalidIssuer> {
        let not_a_url = |reason: &str| InvalidIssuer::NotAUrl {
            value: quoted(text),
            reason: reason.to_owned(),
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(not_a_url("it holds white space or control characters"));
        }
        let url = Url::parse(text).map_err(|error| not_a_url(&error.to_string()))?;
        if !url.has_host() {
            return Err(not_a_url("it has no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let value = quoted(url.host_str().unwrap_or_default());
            return Err(InvalidIssuer::Credentials { value });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidIssuer::QueryOrFragment { value: quoted(text) });
        }
        let loopback = is_loopback(&url);
        Ok((Self { text: text.into(), loopback }, url))
    }
}

/// Whether `url` names this machine by host name or address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl FromStr for Issuer {
    type Err = InvalidIssuer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::dangerous_allow_http(text, &PlainHttpHosts::default())
    }
}

impl TryFrom<&str> for Issuer {
    type Error = InvalidIssuer;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Issuer {
    type Error = InvalidIssuer;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl AsRef<str> for Issuer {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.text)
    }
}

impl Serialize for Issuer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Issuer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidIssuer, Issuer};

    #[test]
    fn https_is_required_outside_loopback() {
        for good in [
            "https://id.example",
            "https://id.example:8443/realms/lab/",
            "http://localhost:8080/realms/lab",
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:8080",
        ] {
            assert_eq!(good.parse::<Issuer>().unwrap().as_str(), good);
        }
        for bad in [
            "http://id.example",
            "http://localhost.evil.test",
            "http://10.0.0.1",
            "ftp://localhost",
        ] {
            assert!(matches!(bad.parse::<Issuer>(), Err(InvalidIssuer::NotHttps { .. })), "{bad}");
        }
    }

    #[test]
    fn ambiguous_identifiers_are_refused() {
        for bad in [
            "",
            "id.example",
            "https://",
            "https://id.example?x",
            "https://id.example#x",
            "https://id.example#",
            "https://u:p@id.example",
            " https://id.example",
            "https://id.example\n",
            "https://id\t.example",
        ] {
            assert!(bad.parse::<Issuer>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn comparison_is_byte_for_byte() {
        let issuer: Issuer = "https://id.example/realms/lab".parse().unwrap();
        for other in [
            "https://id.example/realms/lab/",
            "https://ID.example/realms/lab",
            "https://id.example:443/realms/lab",
        ] {
            assert_ne!(issuer, other.parse().unwrap());
        }
    }

    #[test]
    fn the_well_known_path_is_appended_to_the_issuers_path() {
        let inserted = "https://a.example/.well-known/oauth-authorization-server";
        for (issuer, path) in [
            ("https://a.example", ""),
            ("https://a.example/", ""),
            ("https://a.example/realms/x", "/realms/x"),
            ("https://a.example/realms/x/", "/realms/x"),
        ] {
            let issuer: Issuer = issuer.parse().unwrap();
            assert_eq!(issuer.authorization_server_metadata_url(), format!("{inserted}{path}"));
        }
        for (issuer, expected) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            (
                "https://a.example/realms/x",
                "https://a.example/realms/x/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(issuer.parse::<Issuer>().unwrap().discovery_url(), expected);
        }
    }
}
