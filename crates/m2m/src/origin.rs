//! Origins that a token may be sent to ([RFC 6454 §4]): scheme, host and port must all be equal.
//!
//! [RFC 6454 §4]: https://www.rfc-editor.org/rfc/rfc6454#section-4

use std::fmt;
use std::str::FromStr;

use http::Uri;
use url::{Host, Url};

/// Scheme, host and port.
///
/// ```
/// use m2m::Origin;
///
/// let origin: Origin = "https://churn.example".parse()?;
/// assert!(origin.covers(&"https://churn.example:443/score?x=1".parse()?));
/// assert!(!origin.covers(&"https://churn.example.evil.example/".parse()?));
/// assert!(!origin.covers(&"http://churn.example/".parse()?));
/// // A token on plain http is for anybody on the way (RFC 6750 §5.3).
/// assert!("http://churn.example".parse::<Origin>().is_err());
/// assert!("http://127.0.0.1:8080".parse::<Origin>().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case, an IPv6 address in brackets.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

/// Reason a text is not an origin to send tokens to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// Not an `http` or `https` URL.
    #[error("{text:?} is no http or https URL; write it like https://churn.example")]
    NotAUrl {
        /// The given text or origin.
        text: String,
    },
    /// The URL has more than scheme, host and port.
    #[error("an origin is scheme, host and port only: write {origin}")]
    MoreThanAnOrigin {
        /// The origin alone.
        origin: String,
    },
    /// Plain `http` to another machine.
    #[error(
        "{origin} is plain http: anybody on the way could take the token (RFC 6750 §5.3); use https, or Origin::dangerous_plain_http where the way is trusted"
    )]
    PlainHttp {
        /// The given text or origin.
        origin: String,
    },
}

impl Origin {
    /// The origin of a URL; its path and query are ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin::NotAUrl`] when it is neither `http` nor `https`, [`InvalidOrigin::PlainHttp`] when
    /// it is `http` and not on loopback.
    pub fn of(url: &Url) -> Result<Self, InvalidOrigin> {
        let origin = Self::read(url)?;
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match origin.scheme {
            Scheme::Http if !is_loopback => {
                Err(InvalidOrigin::PlainHttp { origin: origin.to_string() })
            }
            _ => Ok(origin),
        }
    }

    /// An origin that may be plain `http` on another machine, where something else protects the connection.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin::NotAUrl`] when it is neither `http` nor `https`.
    pub fn dangerous_plain_http(url: &Url) -> Result<Self, InvalidOrigin> {
        Self::read(url)
    }

    fn read(url: &Url) -> Result<Self, InvalidOrigin> {
        let not_a_url = || InvalidOrigin::NotAUrl { text: url.as_str().to_owned() };
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(not_a_url()),
        };
        let host = url.host_str().ok_or_else(not_a_url)?.to_ascii_lowercase();
        let port = url.port_or_known_default().ok_or_else(not_a_url)?;
        Ok(Self { scheme, host, port })
    }

    /// True if this URL has this origin.
    pub fn covers(&self, url: &Url) -> bool {
        Self::read(url).is_ok_and(|origin| origin == *self)
    }

    /// The same for the target of a request, which must be in absolute form. Compares the [`Uri`] as it
    /// is, as the client that connects reads it, without the normalization of [`Url`].
    pub fn covers_uri(&self, uri: &Uri) -> bool {
        let scheme = self.scheme.as_str();
        let Some(authority) = uri.authority() else { return false };
        uri.scheme_str().is_some_and(|it| it.eq_ignore_ascii_case(scheme))
            && !authority.as_str().contains('@')
            && authority.host().eq_ignore_ascii_case(&self.host)
            && authority.port_u16().unwrap_or(self.scheme.port()) == self.port
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text);
        let url = url.map_err(|_| InvalidOrigin::NotAUrl { text: text.to_owned() })?;
        let origin = Self::of(&url)?;
        let is_alone = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match is_alone && url.username().is_empty() && url.password().is_none() {
            true => Ok(origin),
            false => Err(InvalidOrigin::MoreThanAnOrigin { origin: origin.to_string() }),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidOrigin, Origin};

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        let churn = origin("https://churn.example");
        for same in
            ["https://churn.example/a", "https://CHURN.example:443", "HTTPS://churn.example"]
        {
            assert!(churn.covers_uri(&same.parse().unwrap()), "{same}");
            assert!(churn.covers(&same.parse().unwrap()), "{same}");
        }
        for other in [
            "http://churn.example/",
            "https://churn.example:8443/",
            "https://churn.example.evil.example/",
            "https://evil.example/churn.example",
            "https://evil-churn.example/",
            "https://churn.example./",
            "https://churn.example@evil.example/",
            "https://user@churn.example/",
            "/score",
            "churn.example:443",
        ] {
            assert!(!churn.covers_uri(&other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn addresses_are_hosts_like_any_other() {
        let local = origin("http://[::1]:8080");
        assert!(local.covers_uri(&"http://[::1]:8080/x".parse().unwrap()));
        assert!(!local.covers_uri(&"http://[::2]:8080/x".parse().unwrap()));
        assert_eq!(origin("http://127.0.0.1:80").to_string(), "http://127.0.0.1");
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        let refused = |text: &str| text.parse::<Origin>().unwrap_err();
        assert!(matches!(refused("churn"), InvalidOrigin::NotAUrl { .. }));
        assert!(matches!(refused("ftp://churn.example"), InvalidOrigin::NotAUrl { .. }));
        assert!(matches!(refused("http://churn.example"), InvalidOrigin::PlainHttp { .. }));
        assert!(refused("https://churn.example/v1").to_string().contains("https://churn.example"));
        let inside = "http://churn.default.svc:8080/".parse().unwrap();
        assert!(Origin::dangerous_plain_http(&inside).unwrap().covers(&inside));
    }
}
