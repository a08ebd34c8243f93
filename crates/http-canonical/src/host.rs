//! The host a request is for ([RFC 3986 §3.2.2], [RFC 9110 §7.2]).
//!
//! A name, an IPv4 address or a bracketed IPv6 address, with an optional port: lower-case, and nothing else. User
//! information, a trailing dot, an empty port and anything beyond ASCII are refused.
//!
//! [RFC 3986 §3.2.2]: https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2
//! [RFC 9110 §7.2]: https://www.rfc-editor.org/rfc/rfc9110#section-7.2

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::connection::Scheme;

/// A host with an optional port.
///
/// ```
/// use http_canonical::CanonicalHost;
///
/// let host: CanonicalHost = "Platform.Example:8443".parse()?;
/// assert_eq!(host.name(), "platform.example");
/// assert_eq!(host.port(), Some(8443));
/// # Ok::<(), http_canonical::HostRefusal>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CanonicalHost {
    name: String,
    port: Option<u16>,
}

/// Reasons a host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostRefusal {
    /// The host is empty.
    #[error("the host is empty")]
    Empty,
    /// Not a name, an IPv4 address or a bracketed IPv6 address.
    #[error("the host is neither a name nor an address")]
    Name,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl CanonicalHost {
    /// Whether a text would parse; allocates nothing.
    pub(crate) fn is_valid(text: &[u8]) -> bool {
        std::str::from_utf8(text).is_ok_and(|text| split(text).is_ok())
    }

    /// The host, lower-case, without the port; an IPv6 address in its brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if the request states one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it names this machine: `localhost`, a name below it, or a loopback address.
    ///
    /// ```
    /// let is_loopback = |host: &str| host.parse::<http_canonical::CanonicalHost>().unwrap().is_loopback();
    /// assert!(is_loopback("localhost:8081") && is_loopback("127.0.0.1") && is_loopback("[::1]"));
    /// assert!(!is_loopback("localhost.evil.test") && !is_loopback("10.0.0.1"));
    /// ```
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.name.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.name == "localhost" || self.name.ends_with(".localhost"),
        }
    }

    /// The same host, without the scheme's default port.
    #[must_use]
    pub fn without_default_port(mut self, scheme: Scheme) -> Self {
        if self.port == Some(scheme.default_port()) {
            self.port = None;
        }
        self
    }
}

fn split(text: &str) -> Result<(Name<'_>, Option<u16>), HostRefusal> {
    if text.is_empty() {
        return Err(HostRefusal::Empty);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(HostRefusal::Name)?;
        let address = address.parse::<Ipv6Addr>().map_err(|_| HostRefusal::Name)?;
        let port = match after {
            "" => None,
            after => Some(port(after.strip_prefix(':').ok_or(HostRefusal::Name)?)?),
        };
        return Ok((Name::V6(address), port));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, digits)) => (name, Some(port(digits)?)),
        None => (text, None),
    };
    if is_name(name) { Ok((Name::Text(name), port)) } else { Err(HostRefusal::Name) }
}

enum Name<'a> {
    Text(&'a str),
    V6(Ipv6Addr),
}

fn port(digits: &str) -> Result<u16, HostRefusal> {
    let plain = digits.len() <= 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain && port != 0 => Ok(port),
        _ => Err(HostRefusal::Port),
    }
}

/// Labels of letters, digits, `-` and `_`; a name that looks like an IPv4 address must be a valid one.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    name.len() <= 253
        && name.split('.').all(label)
        && (!numeric || name.parse::<Ipv4Addr>().is_ok())
}

// === impl CanonicalHost ===

impl FromStr for CanonicalHost {
    type Err = HostRefusal;

    fn from_str(text: &str) -> Result<Self, HostRefusal> {
        let (name, port) = split(text)?;
        let name = match name {
            Name::Text(name) => name.to_ascii_lowercase(),
            Name::V6(address) => v6_as_browsers_write_it(address),
        };
        Ok(Self { name, port })
    }
}

/// The form of the [URL standard](https://url.spec.whatwg.org/#concept-ipv6-serializer), in which browsers write `Origin` and the
/// configuration writes hosts. The standard library writes the end of an IPv4-mapped address in decimal.
fn v6_as_browsers_write_it(address: Ipv6Addr) -> String {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("[::ffff:{high:x}:{low:x}]"),
        _ => format!("[{address}]"),
    }
}

impl fmt::Display for CanonicalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_case_names_or_addresses() {
        for (given, canonical) in [
            ("Example.COM", "example.com"),
            ("example.com:8443", "example.com:8443"),
            ("jupyter_hub:8000", "jupyter_hub:8000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]", "[::1]"),
            ("[0:0::0001]:8080", "[::1]:8080"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1password.example", "1password.example"),
        ] {
            let host: CanonicalHost = given.parse().unwrap();
            assert_eq!(host.to_string(), canonical);
            assert_eq!(host.to_string().parse::<CanonicalHost>().unwrap(), host);
            assert!(CanonicalHost::is_valid(given.as_bytes()));
        }
    }

    #[test]
    fn an_ipv4_mapped_host_is_written_as_browsers_do() {
        for given in ["[::ffff:1.2.3.4]", "[::FFFF:102:304]", "[0:0:0:0:0:ffff:1.2.3.4]"] {
            assert_eq!(given.parse::<CanonicalHost>().unwrap().name(), "[::ffff:102:304]");
        }
        assert_eq!("[::ffff:0.0.0.0]:80".parse::<CanonicalHost>().unwrap().name(), "[::ffff:0:0]");
        assert_eq!("[::1.2.3.4]".parse::<CanonicalHost>().unwrap().name(), "[::102:304]");
    }

    #[test]
    fn invalid_hosts_are_refused() {
        for bad in [
            "",
            " ",
            "a b",
            "a@b",
            "user:pw@a",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:8 0",
            "a:80:80",
            "a:http",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "[::1",
            "::1",
            "[::1]80",
            "[::1%25eth0]",
            "[v1.a]",
            "[]",
            "1.2.3",
            "127.1",
            "0x7f.0.0.0x1",
            "1.2.3.4.5",
            "256.1.1.1",
            "2130706433",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a,b",
            "a%41",
            "b\u{fc}cher.example",
            "a\tb",
            "*.example",
            "a;b",
        ] {
            assert!(bad.parse::<CanonicalHost>().is_err(), "{bad:?} passed");
            assert!(!CanonicalHost::is_valid(bad.as_bytes()), "{bad:?} passed");
        }
        assert!("a".repeat(64).parse::<CanonicalHost>().is_err());
        assert!(vec!["a".repeat(60); 5].join(".").parse::<CanonicalHost>().is_err());
    }

    #[test]
    fn the_schemes_own_port_is_not_named() {
        let host: CanonicalHost = "a:443".parse().unwrap();
        assert_eq!(host.clone().without_default_port(Scheme::Https).to_string(), "a");
        assert_eq!(host.without_default_port(Scheme::Http).to_string(), "a:443");
    }
}
