//! Hosts: one form, and the same host as a browser reads.

use http_canonical::{CanonicalHost, Scheme};
use url::Url;

/// A host with an optional port.
pub fn host(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(host) = text.parse::<CanonicalHost>() else { return };
    let shown = host.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&host), "{text:?}");
    let name = host.name();
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
    assert!(!name.contains(['/', '\\', '@', '?', '#', '%', ',', ';', '"']), "{name:?}");
    // A label of Punycode that decodes to no name is refused by browsers, so none asks for it.
    match Url::parse(&format!("http://{text}/")) {
        Ok(url) => {
            assert_eq!(url.host_str(), Some(name), "a browser reads another host");
            assert_eq!(url.port(), host.port().filter(|port| *port != 80));
            assert!(url.username().is_empty() && url.password().is_none() && url.path() == "/");
        }
        Err(error) => assert!(name.contains("xn--"), "a browser refuses {name:?}: {error}"),
    }
    let authority: http::uri::Authority =
        shown.parse().unwrap_or_else(|error| panic!("{shown:?} is no authority: {error}"));
    assert_eq!((authority.host(), authority.port_u16()), (name, host.port()));
    for scheme in [Scheme::Http, Scheme::Https] {
        let short = host.clone().without_default_port(scheme);
        assert_eq!(short.name(), name);
        assert!(short.port() == host.port() || host.port() == Some(scheme.default_port()));
        assert_eq!(short.clone().without_default_port(scheme), short);
    }
}
