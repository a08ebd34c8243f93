//! Identity as header values, made once for each identity.
//!
//! Text of a token never becomes header syntax: control characters, non-ASCII characters, `%`, and the `,` that separates
//! members are percent-encoded, so that a list has as many members upstream as in the token. In roles, `:` is encoded too,
//! except the one between a client and its role: a realm role never looks like a client role.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use access_policy::Known;

/// `x-forwarded-user`: the subject.
pub const X_FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");
/// `x-forwarded-issuer`: the identifier of the issuer; a subject is unique only within its issuer.
pub const X_FORWARDED_ISSUER: HeaderName = HeaderName::from_static("x-forwarded-issuer");
/// `x-forwarded-preferred-username`
pub const X_FORWARDED_PREFERRED_USERNAME: HeaderName =
    HeaderName::from_static("x-forwarded-preferred-username");
/// `x-forwarded-email`
pub const X_FORWARDED_EMAIL: HeaderName = HeaderName::from_static("x-forwarded-email");
/// `x-forwarded-groups`
pub const X_FORWARDED_GROUPS: HeaderName = HeaderName::from_static("x-forwarded-groups");
/// `x-forwarded-roles`
pub const X_FORWARDED_ROLES: HeaderName = HeaderName::from_static("x-forwarded-roles");

/// Characters that would be syntax in a value. Non-ASCII characters are always encoded.
pub(super) const SYNTAX: &AsciiSet = &CONTROLS.add(b',').add(b'%');
const ROLE_SYNTAX: &AsciiSet = &SYNTAX.add(b':');

/// Identity of a caller, as header values.
#[derive(Debug, Clone)]
pub struct IdentityHeaders {
    user: HeaderValue,
    issuer: Option<HeaderValue>,
    preferred_username: Option<HeaderValue>,
    email: Option<HeaderValue>,
    groups: Option<HeaderValue>,
    roles: Option<HeaderValue>,
    size: usize,
}

impl IdentityHeaders {
    /// Encodes an identity.
    pub fn new(known: &Known) -> Self {
        let text = |text: &String| one(&encoded(text, SYNTAX));
        let mut headers = Self {
            size: 0,
            user: text(&known.subject).unwrap_or(HeaderValue::from_static("%00")),
            issuer: text(&known.iss),
            preferred_username: known.preferred_username.as_ref().and_then(text),
            // Services match users by e-mail address: an unverified one, which anyone can claim, would let a user in as
            // another.
            email: known.email.as_ref().filter(|_| known.email_verified).and_then(text),
            groups: list(known.groups.iter().map(|group| encoded(group, SYNTAX))),
            roles: list(roles(known)),
        };
        headers.size = headers.named().map(|(name, value)| name.len() + value.len()).sum();
        headers
    }

    /// Bytes of all values and their names, without the common beginning of the names.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Each value with its name after `x-forwarded-`; unknown values are absent. Groups are separated by `,`, and so are roles:
    /// those of the realm, then each client's as `client:role`.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &HeaderValue)> {
        let all = [
            ("user", Some(&self.user)),
            ("issuer", self.issuer.as_ref()),
            ("preferred-username", self.preferred_username.as_ref()),
            ("email", self.email.as_ref()),
            ("groups", self.groups.as_ref()),
            ("roles", self.roles.as_ref()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// Sets the headers; unknown values are absent. Copies no text.
    pub(super) fn set(self: &Arc<Self>, headers: &mut HeaderMap) {
        headers.insert(X_FORWARDED_USER, self.user.clone());
        for (name, value) in [
            (X_FORWARDED_ISSUER, &self.issuer),
            (X_FORWARDED_PREFERRED_USERNAME, &self.preferred_username),
            (X_FORWARDED_EMAIL, &self.email),
            (X_FORWARDED_GROUPS, &self.groups),
            (X_FORWARDED_ROLES, &self.roles),
        ] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// Spaces at the ends are encoded too: they would be lost on the way.
pub(super) fn encoded(text: &str, syntax: &'static AsciiSet) -> String {
    let body = text.trim_matches(' ');
    let start = text.len() - text.trim_start_matches(' ').len();
    let end = text.len() - start - body.len();
    let mut encoded = "%20".repeat(start);
    encoded.extend(utf8_percent_encode(body, syntax));
    encoded.push_str(&"%20".repeat(end));
    encoded
}

pub(super) fn one(text: &str) -> Option<HeaderValue> {
    // Only printable ASCII is left, so this never fails.
    (!text.is_empty()).then(|| HeaderValue::from_str(text).ok()).flatten()
}

fn list(members: impl Iterator<Item = String>) -> Option<HeaderValue> {
    joined(members).and_then(|text| one(&text))
}

/// Encoded members, separated by `,`; `None` if there are none.
pub(super) fn joined(members: impl Iterator<Item = String>) -> Option<String> {
    let members: Vec<String> = members.filter(|member| !member.is_empty()).collect();
    (!members.is_empty()).then(|| members.join(","))
}

/// The encoded roles: those of the realm, then each client's as `client:role`.
pub(super) fn roles(known: &Known) -> impl Iterator<Item = String> {
    known.roles.iter().map(|role| encoded(role, ROLE_SYNTAX)).chain(
        known.client_roles.iter().flat_map(|(client, roles)| {
            let client = encoded(client, ROLE_SYNTAX);
            roles
                .iter()
                .filter(|role| !role.is_empty())
                .map(move |role| format!("{client}:{}", encoded(role, ROLE_SYNTAX)))
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn value<'h>(headers: &'h IdentityHeaders, name: &str) -> Option<&'h HeaderValue> {
        headers.named().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    #[test]
    fn a_subject_comes_with_its_issuer() {
        let known = Known {
            subject: "s-1".into(),
            iss: "https://id.example/realms/lab".into(),
            ..Known::default()
        };
        let mut map = HeaderMap::new();
        Arc::new(IdentityHeaders::new(&known)).set(&mut map);
        assert_eq!(map[X_FORWARDED_USER], "s-1");
        assert_eq!(map[X_FORWARDED_ISSUER], "https://id.example/realms/lab");
    }

    #[test]
    fn unknown_values_are_absent() {
        let headers = IdentityHeaders::new(&Known {
            subject: "s-1".into(),
            email: Some(String::new()),
            groups: strings(&[""]),
            ..Known::default()
        });
        let mut map = HeaderMap::new();
        Arc::new(headers).set(&mut map);
        assert_eq!(map.len(), 1);
        assert_eq!(map[X_FORWARDED_USER], "s-1");
    }

    #[test]
    fn an_unverified_address_is_not_sent() {
        let unverified = Known { email: Some("boss@example".into()), ..Known::default() };
        assert_eq!(value(&IdentityHeaders::new(&unverified), "email"), None);
        let verified = Known { email_verified: true, ..unverified };
        assert_eq!(value(&IdentityHeaders::new(&verified), "email").unwrap(), "boss@example");
    }

    #[test]
    fn claim_text_never_becomes_header_syntax() {
        let headers = IdentityHeaders::new(&Known {
            subject: "s".into(),
            preferred_username: Some("alice\r\nX-Forwarded-Groups: admin".into()),
            email: Some(" caf\u{e9}@example ".into()),
            email_verified: true,
            groups: strings(&["dev,admin", "\u{10d}\u{10a}", "a\0b", "plain /path", "100%2C"]),
            ..Known::default()
        });
        assert_eq!(
            value(&headers, "preferred-username").unwrap(),
            "alice%0D%0AX-Forwarded-Groups: admin"
        );
        assert_eq!(value(&headers, "email").unwrap(), "%20caf%C3%A9@example%20");
        assert_eq!(
            value(&headers, "groups").unwrap(),
            "dev%2Cadmin,%C4%8D%C4%8A,a%00b,plain /path,100%252C"
        );
    }

    #[test]
    fn a_realm_role_never_looks_like_a_client_role() {
        let headers = IdentityHeaders::new(&Known {
            subject: "s".into(),
            roles: strings(&["admin", "churn:score"]),
            client_roles: [("churn".to_owned(), strings(&["score", "a:b"]))].into(),
            ..Known::default()
        });
        assert_eq!(
            value(&headers, "roles").unwrap(),
            "admin,churn%3Ascore,churn:score,churn:a%3Ab"
        );
    }
}
