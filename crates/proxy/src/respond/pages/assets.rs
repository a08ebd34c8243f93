//! The files the pages refer to, compiled in.
//!
//! A reference with the right version may be cached forever; any other is revalidated each time.

use std::sync::LazyLock;

use axum::body::Body;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

struct Asset {
    kind: &'static str,
    text: &'static str,
    /// The beginning of the text's SHA-256.
    version: String,
    /// The whole hash, in the form of a policy source (CSP Level 3 §2.3.1).
    source: String,
}

impl Asset {
    fn new(kind: &'static str, text: &'static str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let mut version = URL_SAFE_NO_PAD.encode(digest);
        version.truncate(16);
        Self { kind, text, version, source: format!("'sha256-{}'", STANDARD.encode(digest)) }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("text/css; charset=utf-8", include_str!("../../../pages/style.css"))
});
static MARK: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("image/svg+xml", include_str!("../../../pages/mark.svg")));

static SIGN_IN: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("text/javascript; charset=utf-8", include_str!("../../../pages/sign_in.js"))
});

/// For pages of applications, which refer to it without a version.
static SIGNED_OUT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("text/javascript; charset=utf-8", include_str!("../../../pages/signed_out.js"))
});

/// Version in the reference to the script of the sign-in page, after `?v=`.
pub(super) fn script_version() -> &'static str {
    &SIGN_IN.version
}

/// Version in the stylesheet's reference, after `?v=`.
pub(super) fn style_version() -> &'static str {
    &STYLE.version
}

/// The stylesheet, to be included in a page.
pub(super) fn style() -> &'static str {
    STYLE.text
}

/// Policy source that allows exactly that stylesheet inside a page.
pub(super) fn style_source() -> &'static str {
    &STYLE.source
}

/// Answers for `style.css`, `mark.svg`, `sign_in.js` and `signed_out.js` under the gateway's prefix; `None` for any other name.
pub fn asset(name: &str, query: Option<&str>, headers: &HeaderMap) -> Option<Response<Body>> {
    let asset: &Asset = match name {
        "style.css" => &STYLE,
        "mark.svg" => &MARK,
        "sign_in.js" => &SIGN_IN,
        "signed_out.js" => &SIGNED_OUT,
        _ => return None,
    };
    let tag = format!("\"{}\"", asset.version);
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().trim_start_matches("W/"))
        .any(|value| value == tag || value == "*");
    let exact = query.and_then(|query| query.strip_prefix("v=")) == Some(asset.version.as_str());
    let keep = if exact { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut answer = Response::new(if known { Body::empty() } else { Body::from(asset.text) });
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A drawing opened by itself must not run anything either.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    );
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::{asset, style_version};

    #[test]
    fn the_exact_version_is_kept_and_any_other_is_asked_about() {
        let style = asset("style.css", Some(&format!("v={}", style_version())), &HeaderMap::new());
        let style = style.expect("an asset");
        assert!(style.headers()[header::CACHE_CONTROL].to_str().unwrap().ends_with("immutable"));
        let stale = asset("style.css", Some("v=old"), &HeaderMap::new()).expect("an asset");
        assert_eq!(stale.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn a_known_version_is_not_sent_again() {
        let first = asset("mark.svg", None, &HeaderMap::new()).expect("an asset");
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let again = asset("mark.svg", None, &headers).expect("an asset");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        let changed = asset("mark.svg", None, &headers).expect("an asset");
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[test]
    fn applications_refer_to_a_script_without_a_version() {
        let script = asset("signed_out.js", None, &HeaderMap::new()).expect("an asset");
        assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(script.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn no_other_name_is_an_asset() {
        for name in ["", "style.css/", "../style.css", "base.html"] {
            assert!(asset(name, None, &HeaderMap::new()).is_none(), "{name}");
        }
    }
}
