//! The fields by which an upstream learns where a request comes from, as the gateway writes them.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use http::{HeaderValue, header::InvalidHeaderValue};

use crate::{connection::Scheme, host::CanonicalHost};

/// Values of `Host`, `X-Forwarded-For` and `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)). A copy shares the
/// text.
///
/// ```
/// use http_canonical::{CanonicalHost, OriginFields, Scheme};
///
/// let host: CanonicalHost = "platform.example:8443".parse()?;
/// let fields = OriginFields::new(&host, Scheme::Https, &["203.0.113.7".parse()?])?;
/// assert_eq!(fields.host, "platform.example:8443");
/// assert_eq!(fields.forwarded_for.unwrap(), "203.0.113.7");
/// assert_eq!(fields.forwarded, "for=203.0.113.7;host=\"platform.example:8443\";proto=https");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginFields {
    /// `Host`, and `X-Forwarded-Host`.
    pub host: HeaderValue,
    /// `X-Forwarded-For`; none without an address.
    pub forwarded_for: Option<HeaderValue>,
    /// `Forwarded`
    pub forwarded: HeaderValue,
}

impl OriginFields {
    /// The fields of a request for this host by this scheme, along these trusted addresses, the client's first.
    ///
    /// # Errors
    ///
    /// The host is no field value, which no canonical host is.
    pub fn new(
        host: &CanonicalHost,
        scheme: Scheme,
        chain: &[IpAddr],
    ) -> Result<Self, InvalidHeaderValue> {
        let host = host.to_string();
        let mut forwarded = String::with_capacity(96);
        let list = match chain {
            [] => {
                forwarded.push_str("for=unknown");
                None
            }
            _ => {
                let mut list = String::with_capacity(16 * chain.len());
                // Writing into a String never fails.
                let _ = write_chain(&mut list, &mut forwarded, chain);
                Some(HeaderValue::try_from(list)?)
            }
        };
        let scheme = scheme.as_str();
        // RFC 7239 §4: a token contains no `:` and no brackets.
        let _ = if host.contains([':', '[']) {
            write!(forwarded, ";host=\"{host}\";proto={scheme}")
        } else {
            write!(forwarded, ";host={host};proto={scheme}")
        };
        Ok(Self {
            host: HeaderValue::try_from(host)?,
            forwarded_for: list,
            forwarded: HeaderValue::try_from(forwarded)?,
        })
    }
}

fn write_chain(list: &mut String, forwarded: &mut String, chain: &[IpAddr]) -> fmt::Result {
    for (place, address) in chain.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        write!(list, "{comma}{address}")?;
        match address {
            IpAddr::V4(address) => write!(forwarded, "{comma}for={address}")?,
            IpAddr::V6(address) => write!(forwarded, "{comma}for=\"[{address}]\"")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(host: &str, chain: &[&str]) -> OriginFields {
        let chain: Vec<IpAddr> = chain.iter().map(|address| address.parse().unwrap()).collect();
        OriginFields::new(&host.parse().unwrap(), Scheme::Https, &chain).unwrap()
    }

    #[test]
    fn the_chain_is_written_in_both_forms() {
        let fields = fields("platform.example:8443", &["203.0.113.7", "2001:db8::1"]);
        assert_eq!(fields.host, "platform.example:8443");
        assert_eq!(fields.forwarded_for.unwrap(), "203.0.113.7, 2001:db8::1");
        assert_eq!(
            fields.forwarded,
            "for=203.0.113.7, for=\"[2001:db8::1]\";host=\"platform.example:8443\";proto=https"
        );
    }

    #[test]
    fn a_peer_without_an_address_is_unknown() {
        let fields = fields("platform.example", &[]);
        assert_eq!(fields.forwarded_for, None);
        assert_eq!(fields.forwarded, "for=unknown;host=platform.example;proto=https");
    }
}
