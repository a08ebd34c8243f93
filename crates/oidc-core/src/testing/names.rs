//! Test issuers by their identifiers.

use url::Url;

use super::TestIssuer;
use crate::issuer::{Issuer, PlainHttpHosts};
use crate::token::Algorithm;

impl TestIssuer {
    /// A provider with an identifier of its own.
    pub fn named(issuer: &str, algorithm: Algorithm) -> Self {
        Self::identified(issuer.parse().unwrap(), algorithm)
    }

    /// A provider whose identifier uses plain `http` off loopback.
    pub fn dangerous_plain_http(issuer: &str, algorithm: Algorithm) -> Self {
        let url: Url = issuer.parse().unwrap();
        let hosts = PlainHttpHosts::dangerous(url.host_str()).unwrap();
        Self::identified(Issuer::dangerous_allow_http(issuer, &hosts).unwrap(), algorithm)
    }
}
