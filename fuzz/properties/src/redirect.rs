//! Return addresses: what is followed stays on the origin in a browser.

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::gateway::{HOME, sanitize};

const ORIGINS: [&str; 4] = [
    "https://good.example",
    "https://good.example:8443",
    "http://127.0.0.1:8080",
    "http://[::1]:8080",
];

/// A value of `rd`.
pub fn redirect(data: &[u8]) {
    let Ok(target) = std::str::from_utf8(data) else { return };
    for origin in ORIGINS {
        followed(target, origin);
        let absolute = format!("{origin}{target}");
        followed(&absolute, origin);
    }
}

fn followed(target: &str, origin: &str) {
    let kept = sanitize(target, origin);
    assert_eq!(sanitize(&kept, origin), kept, "kept in two steps");
    if kept == HOME {
        return;
    }
    let value = HeaderValue::from_str(&kept);
    assert!(value.is_ok_and(|value| value.to_str().is_ok()), "{kept:?} is no header value");
    for base in ["/", "/oauth2/callback?code=1", "/a/b/c"] {
        let base = Url::parse(&format!("{origin}{base}")).unwrap();
        // As it is written, and as something on the way to the browser may decode it.
        for reading in [kept.as_str(), &percent_decode_path(&kept)] {
            let url = base.join(reading);
            let url = url.unwrap_or_else(|error| panic!("{kept:?} as {reading:?}: {error}"));
            let home = url.origin() == base.origin();
            assert!(home, "{kept:?} as {reading:?} leaves {origin} for {url}");
            assert!(url.username().is_empty() && url.password().is_none(), "{kept:?}");
        }
    }
}

/// The target with its path decoded, its query as it is.
fn percent_decode_path(target: &str) -> String {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let (path, rest) = target.split_at(end);
    format!("{}{rest}", percent_decode_str(path).decode_utf8_lossy())
}
