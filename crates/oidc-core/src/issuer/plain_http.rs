//! Hosts off loopback that are reached by plain `http`.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use url::{Host, Url};

use crate::foreign_text::quoted;

/// Hosts with which plain `http` is accepted, besides this machine.
///
/// Requests to them, with the client's secret and the tokens, can be read and changed on the way.
/// Meant for a provider in the same Compose project or Kubernetes cluster.
///
/// ```
/// use oidc_core::provider::{Issuer, PlainHttpHosts};
/// let hosts = PlainHttpHosts::dangerous(["keycloak"])?;
/// assert!(Issuer::dangerous_allow_http("http://keycloak:8080/realms/lab", &hosts).is_ok());
/// assert!(Issuer::dangerous_allow_http("http://id.example/realms/lab", &hosts).is_err());
/// assert!(PlainHttpHosts::dangerous(["http://keycloak:8080"]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlainHttpHosts {
    /// As URLs write them: lower case, IPv6 addresses in brackets.
    hosts: Arc<[String]>,
}

/// A text is not the name or address of a host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{value} is not a host; write its name or address alone, without scheme, port and path")]
pub struct InvalidHttpHost {
    /// The value given.
    pub value: String,
}

impl PlainHttpHosts {
    /// These hosts, by name or address, on any port. A name covers no other name below it.
    ///
    /// # Errors
    ///
    /// [`InvalidHttpHost`] names a text that is not a host.
    pub fn dangerous<S: AsRef<str>>(
        hosts: impl IntoIterator<Item = S>,
    ) -> Result<Self, InvalidHttpHost> {
        let hosts = hosts.into_iter().map(|host| written(host.as_ref()));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()? })
    }

    /// Whether the URL's host is among them.
    pub(crate) fn include(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| self.hosts.iter().any(|own| own == host))
    }
}

/// The host as a URL writes it.
fn written(text: &str) -> Result<String, InvalidHttpHost> {
    let invalid = || InvalidHttpHost { value: quoted(text) };
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = unbracketed.unwrap_or(text).parse::<std::net::Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !plain || !text.contains(char::is_alphanumeric) {
        return Err(invalid());
    }
    let url = Url::parse(&format!("http://{text}/")).map_err(|_| invalid())?;
    url.host().as_ref().map(Host::to_string).ok_or_else(invalid)
}

impl fmt::Debug for PlainHttpHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hosts.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::PlainHttpHosts;

    #[test]
    fn a_host_is_a_name_or_an_address_alone() {
        let listed = ["keycloak", "Keycloak.svc", "10.0.0.7", "fd00::1", "[fd00::2]", "a_b"];
        let hosts = PlainHttpHosts::dangerous(listed).unwrap();
        for url in [
            "http://keycloak:8080/realms/x",
            "http://KEYCLOAK.svc/",
            "http://10.0.0.7:1/",
            "http://[fd00::1]/",
            "http://[fd00:0::2]:8080/",
            "http://a_b/",
        ] {
            assert!(hosts.include(&url.parse().unwrap()), "{url}");
        }
        for url in ["http://evil.keycloak/", "http://keycloak.evil.test/", "http://10.0.0.70/"] {
            assert!(!hosts.include(&url.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn other_texts_are_not_hosts() {
        for bad in [
            "",
            "*",
            "*.svc",
            "http://keycloak",
            "keycloak:8080",
            "keycloak/realms",
            "a b",
            "u@keycloak",
            ".",
            "1.2.3.4.5",
        ] {
            assert!(PlainHttpHosts::dangerous([bad]).is_err(), "{bad:?}");
        }
    }
}
