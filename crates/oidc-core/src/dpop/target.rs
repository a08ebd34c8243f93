//! The address a proof is for: `htu`, compared by RFC 3986 §6.2.2 and §6.2.3 without query and
//! fragment (RFC 9449 §4.3).

use std::fmt::Write as _;

use url::Url;

/// A normalised address: two are equal if they name the same resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    origin: String,
    path: String,
}

impl Target {
    /// The address of the request.
    pub(super) fn of(url: &Url) -> Self {
        // Scheme and host in lower case, the default port, an empty path and dot segments: `Url`.
        Self { origin: url.origin().ascii_serialization(), path: unreserved(url.path()) }
    }

    /// The address in a proof: an absolute `http` or `https` URI without user information, in the
    /// characters of RFC 3986. [`Url`] alone would accept more.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let authority = text.get(url.scheme().len()..)?.strip_prefix("://")?;
        let plain = url.username().is_empty() && url.password().is_none();
        let web = matches!(url.scheme(), "http" | "https");
        (plain && web && !authority.starts_with('/')).then(|| Self::of(&url))
    }
}

/// Uppercases percent-encoding, and decodes characters that need none
/// (RFC 3986 §6.2.2.1, §6.2.2.2).
fn unreserved(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut normal = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // `from_str_radix` would accept a sign.
        match digits.filter(|_| !piece.starts_with('+')) {
            Some(octet) if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                normal.push(char::from(octet));
            }
            Some(octet) => {
                // Writing to a String does not fail.
                let _ = write!(normal, "%{octet:02X}");
            }
            None => {
                normal.push('%');
                normal.push_str(piece);
                continue;
            }
        }
        normal.push_str(piece.get(2..).unwrap_or_default());
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::Target;

    fn same(htu: &str, request: &str) -> bool {
        Target::parse(htu) == Some(Target::of(&request.parse().unwrap()))
    }

    #[test]
    fn one_resource_has_many_spellings() {
        let request = "https://api.example/a/b~c?x=1#y";
        for htu in [
            "https://api.example/a/b~c",
            "HTTPS://API.example:443/a/b~c",
            "https://api.example/a/b%7Ec",
            "https://api.example/a/b%7ec",
            "https://api.example/%61/b~c",
            "https://api.example/a/./b~c",
            "https://api.example/x/../a/b~c",
            "https://api.example/x/%2E%2e/a/b~c",
            "https://api.example/a/b~c?other=2",
            "https://api.example/a/b~c#other",
        ] {
            assert!(same(htu, request), "{htu}");
        }
        assert!(same("http://127.0.0.1:8080", "http://127.0.0.1:8080/?q"));
        assert!(same("https://[::1]:8443/a%2fb", "https://[::1]:8443/a%2Fb"));
    }

    #[test]
    fn another_resource_has_none_of_them() {
        let request = "https://api.example/a/b";
        for htu in [
            "",
            "/a/b",
            "api.example/a/b",
            "//api.example/a/b",
            "https:/api.example/a/b",
            "https:api.example/a/b",
            "https:///api.example/a/b",
            "https:\\\\api.example\\a\\b",
            "https://api.example\\a\\b",
            " https://api.example/a/b",
            "https://api.example/a/b\n",
            "https://api.exa\tmple/a/b",
            "https://user@api.example/a/b",
            "https://user:@api.example/a/b",
            "http://api.example/a/b",
            "https://api.example:8443/a/b",
            "https://api.example./a/b",
            "https://evil.example/a/b",
            "https://api.example/a/B",
            "https://api.example/a/b/",
            "https://api.example/a//b",
            "https://api.example/a%2Fb",
            "https://api.example/a",
            "https://api.example/",
            "ftp://api.example/a/b",
            "https://api.example/a/b%",
            "https://api.example/a/%+62",
        ] {
            assert!(!same(htu, request), "{htu:?}");
        }
    }
}
