//! Credentials in the header section: `Authorization` ([RFC 9110 §11.6.2]) and `X-Doorward-Token`.
//!
//! Says which of them are for the gateway, and verifies nothing. Tokens in the query or the body are never read (RFC 9700 §4.3.2).
//!
//! [RFC 9110 §11.6.2]: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, ORIGIN},
};
use oidc_core::{Secret, TokenRefusal};

use crate::{
    config::{BearerTokens, WebOrigin},
    route::Route,
};

/// Credentials that are for the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes<'r> {
    /// `Bearer` and `DPoP`.
    pub bearer: bool,
    /// `Basic`, with a token as the password.
    pub basic: bool,
    /// Accepted `aud` of tokens; empty for the issuers' own.
    pub audience: &'r [String],
    /// Name of the route, by which API keys count; `None` for the gateway's own URLs, which take none.
    pub route: Option<&'r str>,
}

impl<'r> Takes<'r> {
    /// Bearer tokens, and nothing else.
    pub const BEARER: Self = Self { bearer: true, basic: false, audience: &[], route: None };

    /// The credentials that are for the gateway on a route.
    pub fn on(route: &'r Route) -> Self {
        Self {
            bearer: route.bearer == BearerTokens::Gateway,
            basic: route.basic,
            audience: &route.audience,
            route: Some(&route.name),
        }
    }

    /// Whether a token in this field is for the gateway.
    pub fn from(self, carrier: Carrier) -> bool {
        match carrier {
            Carrier::Bearer | Carrier::Dpop => self.bearer,
            Carrier::Basic => self.basic,
            Carrier::OwnField => true,
        }
    }
}

/// Field of a request in which a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// `Authorization: Bearer`
    Bearer,
    /// `Authorization: DPoP`, with a proof in `DPoP`.
    Dpop,
    /// The password of `Authorization: Basic`.
    Basic,
    /// `X-Doorward-Token`, beside the application's own `Authorization`.
    OwnField,
}

impl Carrier {
    /// Its name in the audit line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Dpop => "dpop",
            Self::Basic => "basic",
            Self::OwnField => "x-doorward-token",
        }
    }
}

/// Content of the `Authorization` header for the gateway.
#[derive(Debug)]
pub enum Presented<'h> {
    /// No credential for the gateway; one of another scheme belongs to the application.
    Nothing,
    /// A bearer token.
    Bearer(&'h str),
    /// A token of the scheme `DPoP` (RFC 9449 §7.1).
    Dpop(&'h str),
    /// The password of the scheme `Basic`.
    Basic(Secret),
    /// A value that a lenient server could take for one of these, but that is malformed; and the form it should have.
    Malformed(&'static str),
}

const BEARER: &str = "`Authorization` is not `Bearer`, one space and a token";
const DPOP: &str = "`Authorization` is not `DPoP`, one space and a token";
const BASIC: &str =
    "`Authorization` is not `Basic`, one space and the Base64 of a name, a colon and a token";
const OWN_FIELD: &str = "`X-Doorward-Token` is not a token";

/// Reads the `Authorization` header. Servers behind the gateway differ in how they trim and compare. Every value that begins
/// with the name of a scheme for the gateway, in any case and before any separator, is therefore a credential or malformed.
pub fn presented<'h>(headers: &'h HeaderMap, takes: Takes<'_>) -> Presented<'h> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Presented::Nothing };
    if takes.bearer
        && let Some(rest) = Rest::after("bearer", value)
    {
        return rest.token68().map_or(Presented::Malformed(BEARER), Presented::Bearer);
    }
    if takes.bearer
        && let Some(rest) = Rest::after("dpop", value)
    {
        return rest.token68().map_or(Presented::Malformed(DPOP), Presented::Dpop);
    }
    if takes.basic
        && let Some(rest) = Rest::after("basic", value)
    {
        let password = rest.token68().and_then(password);
        return password.map_or(Presented::Malformed(BASIC), Presented::Basic);
    }
    Presented::Nothing
}

/// Reads `X-Doorward-Token`: a token and nothing else.
///
/// # Errors
///
/// Any other value.
pub(super) fn own_field(value: &HeaderValue) -> Result<&str, TokenRefusal> {
    let token = value.to_str().ok().filter(|token| is_token68(token));
    token.ok_or_else(|| malformed(OWN_FIELD))
}

/// The refusal of [`Presented::Malformed`].
pub(super) fn malformed(reason: &'static str) -> TokenRefusal {
    TokenRefusal::Malformed { part: "token", reason: reason.to_owned() }
}

/// The page of another site that made a browser send a request, shortened: neither the origin `own` nor one of `others`.
///
/// A browser remembers the password of Basic and sends it with the requests of every site's pages. Programs state no page.
pub(crate) fn other_site(headers: &HeaderMap, own: &str, others: &[WebOrigin]) -> Option<String> {
    let admitted = |origin: &HeaderValue| {
        let is = |text: &str| text.as_bytes() == origin.as_bytes();
        is(own) || others.iter().any(|other| is(other.as_str()))
    };
    let page = match headers.get(ORIGIN) {
        Some(origin) => Some(origin).filter(|origin| !admitted(origin)),
        None => headers
            .get("sec-fetch-site")
            .filter(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")),
    };
    page.map(|page| String::from_utf8_lossy(page.as_bytes()).chars().take(200).collect())
}

/// A value without the name of its scheme.
struct Rest<'h> {
    before: &'h [u8],
    after: &'h [u8],
}

impl<'h> Rest<'h> {
    /// The value, if its first letters are those of the scheme.
    fn after(scheme: &str, value: &'h HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let start = bytes.iter().position(u8::is_ascii_alphanumeric).unwrap_or(bytes.len());
        let (before, rest) = bytes.split_at(start);
        let (name, after) = rest.split_at_checked(scheme.len())?;
        name.eq_ignore_ascii_case(scheme.as_bytes()).then_some(Self { before, after })
    }

    /// The token68 after one space or several, if the value begins with the scheme and holds nothing else.
    fn token68(&self) -> Option<&'h str> {
        let spaces = self.after.iter().take_while(|byte| **byte == b' ').count();
        let token = std::str::from_utf8(self.after.get(spaces..)?).ok()?;
        (self.before.is_empty() && spaces > 0 && is_token68(token)).then_some(token)
    }
}

/// The password in the credentials of Basic, if it can be a token ([RFC 7617 §2]): the name ends at the first colon, and is not
/// read. Base64 with another alphabet, without its padding or with stray bits has several readings, and so is refused.
///
/// [RFC 7617 §2]: https://www.rfc-editor.org/rfc/rfc7617#section-2
fn password(credentials: &str) -> Option<Secret> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    (!name.chars().any(char::is_control) && is_token68(password)).then(|| Secret::from(password))
}

/// [RFC 9110 §11.2](https://www.rfc-editor.org/rfc/rfc9110#section-11.2)
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    !body.is_empty() && body.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Takes<'_> = Takes { bearer: true, basic: true, audience: &[], route: None };

    fn of(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())])
    }

    fn bearer(value: &[u8]) -> Option<String> {
        match presented(&of(value), ALL) {
            Presented::Bearer(token) => Some(token.to_owned()),
            _ => None,
        }
    }

    fn is_malformed(value: &[u8]) -> bool {
        matches!(presented(&of(value), ALL), Presented::Malformed(_))
    }

    fn is_nothing(value: &[u8], takes: Takes<'_>) -> bool {
        matches!(presented(&of(value), takes), Presented::Nothing)
    }

    #[test]
    fn a_bearer_token_is_read_in_one_spelling() {
        for value in
            ["Bearer e30.e30.x", "bearer e30.e30.x", "BEARER e30.e30.x", "Bearer  e30.e30.x"]
        {
            assert_eq!(bearer(value.as_bytes()).as_deref(), Some("e30.e30.x"), "{value}");
        }
        assert_eq!(bearer(b"Bearer a+/~-_==").as_deref(), Some("a+/~-_=="));
    }

    #[test]
    fn lookalikes_of_a_bearer_token_are_malformed() {
        for value in [
            &b"Bearer"[..],
            b"bearer\tx",
            b"Bearer\t x",
            b"Bearer \tx",
            b"Bearer x\xff",
            b"\xa0Bearer x",
            b"\"Bearer x\"",
            b"Bearer,x",
            b"Bearer:x",
            b"Bearer=x",
            b"BearerToken x",
            b"Bearer x y",
            b"Bearer x,y",
            b"Bearer x, Basic y",
            b"Bearer \"x\"",
            b"Bearer =",
            b"Bearer x=y",
            b"Bearer t\xc3\xb6ken",
            b"DPoP",
            b"DPoP\tx",
            b"\xa0DPoP x",
            b"DPoP x y",
        ] {
            assert!(is_malformed(value), "{:?}", String::from_utf8_lossy(value));
        }
        assert!(matches!(presented(&of(b"dpop x.y.z"), ALL), Presented::Dpop("x.y.z")));
    }

    #[test]
    fn the_password_of_basic_is_read_in_one_way() {
        let basic = |credentials: &[u8]| {
            let value = format!("Basic {}", STANDARD.encode(credentials));
            match presented(&of(value.as_bytes()), ALL) {
                Presented::Basic(password) => Some(password.expose().to_owned()),
                _ => None,
            }
        };
        for credentials in
            ["oauth2:x.y.z", ":x.y.z", "__token__:x.y.z", "s\u{f6}ren@corp.example:x.y.z"]
        {
            assert_eq!(basic(credentials.as_bytes()).as_deref(), Some("x.y.z"), "{credentials}");
        }
        for credentials in [
            &b"x.y.z"[..],
            b"x.y.z:",
            b":",
            b"",
            b"name:x:y",
            b"name:x y",
            b"name: x",
            b"name:x\n",
            b"na\0me:x",
            b"name:\xff",
            b"\xff:x",
            b"name:t\xc3\xb6ken",
        ] {
            assert_eq!(basic(credentials), None, "{:?}", String::from_utf8_lossy(credentials));
        }
        for value in [
            &b"Basic"[..],
            b"Basic\tbjp4",
            b"Basic: bjp4",
            b"\xa0Basic bjp4",
            b"BasicX bjp4",
            b"Basic bjp4 bjp4",
            b"Basic bjp4eA",
            b"Basic bjp4eB==",
            b"Basic bjp_",
            b"Basic bjp4, Bearer x",
        ] {
            assert!(is_malformed(value), "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn other_schemes_are_the_applications() {
        for value in ["token abc", "Negotiate", "Bea rer x", "Bear x", "Digest a=b", ""] {
            assert!(is_nothing(value.as_bytes(), ALL), "{value}");
        }
        assert!(matches!(presented(&HeaderMap::new(), ALL), Presented::Nothing));
        assert!(is_nothing(b"Basic dXNlcjpwdw==", Takes::BEARER));
        let basic_only = Takes { bearer: false, ..ALL };
        for value in ["Bearer x", "bearer\tx", "DPoP x"] {
            assert!(is_nothing(value.as_bytes(), basic_only), "{value}");
        }
    }

    #[test]
    fn the_own_field_is_a_token_and_nothing_else() {
        let read = |value: &[u8]| {
            own_field(&HeaderValue::from_bytes(value).unwrap()).ok().map(str::to_owned)
        };
        assert_eq!(read(b"x.y.z").as_deref(), Some("x.y.z"));
        for value in [&b""[..], b"Bearer x", b"x y", b"x,y", b"x\xff", b"=", b"\"x\""] {
            assert_eq!(read(value), None, "{:?}", String::from_utf8_lossy(value));
        }
    }
}
