//! Header names that clients must not write: they state the caller, the origin or the original form of a request.
//!
//! They are removed from every request on every route. Names with other characters than letters, digits and `-` are refused
//! before this point, so only one spelling in lower case has to be compared.

mod beginnings;

use self::beginnings::Beginnings;

const RESERVED: Beginnings = Beginnings::of(&PREFIXES).and(&NAMES);
const OF_CONNECTIONS: Beginnings = Beginnings::of(&HOP_BY_HOP);

/// Prefixes of the reserved namespace.
pub const PREFIXES: [&str; 21] = [
    "cf-access-",
    "oidc-claim-",
    "ssl-client-",
    "tailscale-user-",
    "x-authentik-",
    "x-ms-token-",
    "x-remote-",
    "x-vouch-",
    "x-webauth-",
    "x-forwarded-",
    "x-original-",
    "x-auth-request-",
    "x-doorward-",
    "x-envoy-",
    "x-authenticated-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-amzn-oidc-",
    "x-ms-client-principal",
    "x-pomerium-",
    "x-ssl-client-",
];

/// Single names of the reserved namespace, sorted.
pub const NAMES: [&str; 30] = [
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "proxy",
    "proxy-client-ip",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];

/// Fields of one connection, which are never sent on ([RFC 9110 §7.6.1]).
///
/// [RFC 9110 §7.6.1]: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
pub const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a name, in lower case, is one that only the gateway writes.
///
/// ```
/// use http_canonical::reserved::is_reserved;
///
/// assert!(is_reserved("x-forwarded-user"));
/// assert!(!is_reserved("x-csrf-token"));
/// ```
pub fn is_reserved(name: &str) -> bool {
    RESERVED.has(name)
        && (NAMES.binary_search(&name).is_ok()
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Whether a name, in lower case, belongs to one connection only.
pub fn is_hop_by_hop(name: &str) -> bool {
    OF_CONNECTIONS.has(name) && HOP_BY_HOP.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_for_the_search() {
        assert!(NAMES.is_sorted());
        assert!(HOP_BY_HOP.is_sorted());
    }

    #[test]
    fn every_name_of_the_lists_is_recognised() {
        for name in NAMES {
            assert!(is_reserved(name), "{name}");
        }
        for prefix in PREFIXES {
            assert!(is_reserved(prefix), "{prefix}");
            assert!(is_reserved(&format!("{prefix}any")), "{prefix}");
        }
        for name in HOP_BY_HOP {
            assert!(is_hop_by_hop(name), "{name}");
        }
        for name in ["", "x", "-", "_x", "\u{e9}", "X-Real-Ip", "1-x", "accept", "host", "tf"] {
            assert!(!is_reserved(name) && !is_hop_by_hop(name), "{name}");
        }
    }

    #[test]
    fn neighbours_of_reserved_names_pass() {
        for name in
            ["x-requested-with", "x-xsrftoken", "origin", "cookie", "authorization", "x-real-name"]
        {
            assert!(!is_reserved(name), "{name}");
        }
        for name in [
            "x-forwarded-for",
            "x-doorward-assertion",
            "forwarded",
            "x-original-url",
            "proxy",
            "x-request-id",
        ] {
            assert!(is_reserved(name), "{name}");
        }
    }
}
