//! Decides which requests may use the local listener: those of programs on this machine, and none that a browser sent.
//!
//! A page can have a browser send requests to a loopback address, also under a name of its own (DNS rebinding). Such a request
//! has another `Host`, or a field that only browsers write.

use http::{HeaderMap, HeaderName, header};
use http_canonical::CanonicalHost;

use super::refused::Refused;
use crate::listen::ListenAddr;

/// Field of requests for a token, which a page cannot send without being asked about it first.
const X_DOORWARD_LOCAL: HeaderName = HeaderName::from_static("x-doorward-local");

/// Field of requests of `fetch`: in browsers with the other `Sec-Fetch-*` fields, in Node.js alone.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses a request with a field that only browsers write.
pub(super) fn programs_only(headers: &HeaderMap) -> Result<(), Refused> {
    let by_a_browser = |name: &HeaderName| {
        *name == header::ORIGIN
            || *name == header::REFERER
            || name.as_str().starts_with("sec-fetch-")
                && !(*name == SEC_FETCH_MODE && is_cors_once(headers))
    };
    match headers.keys().any(by_a_browser) {
        true => Err(Refused::Browser),
        false => Ok(()),
    }
}

/// Whether the mode is the one that `fetch` of Node.js writes. A browser that writes it also writes `Sec-Fetch-Site`, and `Origin` for
/// a page of another site.
fn is_cors_once(headers: &HeaderMap) -> bool {
    let mut modes = headers.get_all(SEC_FETCH_MODE).iter();
    modes.next().is_some_and(|mode| mode == "cors") && modes.next().is_none()
}

/// Whether a request says that its sender knows this listener: `X-Doorward-Local: 1`, once.
pub(super) fn says_local(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(X_DOORWARD_LOCAL).iter();
    fields.next().is_some_and(|value| value == "1") && fields.next().is_none()
}

/// Refuses a host other than this machine, and the port of another listener.
pub(super) fn own_host(host: &CanonicalHost, local: &ListenAddr) -> Result<(), Refused> {
    let own_port = match local {
        ListenAddr::Tcp(address) => host.port().is_none_or(|port| port == address.port()),
        // A socket has no port; clients write one that means nothing.
        ListenAddr::Unix(_) => true,
    };
    match host.is_loopback() && own_port {
        true => Ok(()),
        false => Err(Refused::ForeignHost),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_browsers_fields_are_refused_whatever_their_value() {
        for field in ["origin", "referer", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"] {
            for value in ["", "null", "none", "same-origin", "http://localhost:8081"] {
                assert!(programs_only(&of(&[(field, value)])).is_err(), "{field}: {value}");
            }
        }
        assert!(programs_only(&of(&[("user-agent", "Mozilla/5.0"), ("accept", "*/*")])).is_ok());
    }

    #[test]
    fn the_mode_of_node_is_no_browsers_without_the_other_fields() {
        let mode = ("sec-fetch-mode", "cors");
        assert!(programs_only(&of(&[mode, ("user-agent", "node")])).is_ok());
        for other in [
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-user", "?1"),
            ("origin", "null"),
            ("referer", "http://localhost/"),
        ] {
            assert!(programs_only(&of(&[mode, other])).is_err(), "{other:?}");
        }
        for value in ["no-cors", "navigate", "websocket", "CORS", "cors, cors"] {
            assert!(programs_only(&of(&[("sec-fetch-mode", value)])).is_err(), "{value}");
        }
    }

    #[test]
    fn the_local_field_is_one_and_the_same() {
        assert!(says_local(&of(&[("x-doorward-local", "1")])));
        for fields in [
            &[][..],
            &[("x-doorward-local", "0")],
            &[("x-doorward-local", "1, 1")],
            &[("x-doorward-local", "true")],
            &[("x-doorward-local", "1"), ("x-doorward-local", "1")],
        ] {
            assert!(!says_local(&of(fields)), "{fields:?}");
        }
    }

    #[test]
    fn only_this_machine_is_a_host() {
        let tcp = ListenAddr::Tcp("127.0.0.1:8081".parse().unwrap());
        let unix = ListenAddr::Unix("/run/outbound.sock".into());
        let may = |host: &str, local| own_host(&host.parse().unwrap(), local).is_ok();
        for host in ["localhost", "localhost:8081", "127.0.0.1:8081", "[::1]:8081", "127.9.9.9"] {
            assert!(may(host, &tcp), "{host}");
        }
        for host in
            ["localhost:8082", "evil.test", "evil.test:8081", "10.0.0.1", "127.0.0.1.evil.test"]
        {
            assert!(!may(host, &tcp), "{host}");
        }
        assert!(may("localhost", &unix) && may("localhost:9", &unix));
        assert!(!may("evil.test", &unix));
    }
}
