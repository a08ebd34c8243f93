//! `identity` of a route: facts about the caller, and the application's own credentials, that the upstream receives.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::access_token::{SentAccessToken, YesOrExchange};
use super::secret::{SecretError, SecretRef};
use super::text::written_as_text;

/// Identity that the upstream receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityForwarding {
    /// `X-Forwarded-User`, `-Preferred-Username`, `-Email`, `-Groups`, `-Roles`. Example: `true`.
    pub headers: bool,
    /// `X-Doorward-Assertion`, a short-lived JWT the upstream can verify. Example: `true`.
    pub assertion: bool,
    /// Groups in the headers and the assertion: `all`, or `matching` for those that rules of this route speak of. Many servers
    /// refuse a request whose headers pass 16 kB. Example: `matching`.
    pub groups: SentGroups,
    /// More headers, by name, each with a template of text and placeholders: `{user_name}`, `{email}` (verified only),
    /// `{subject}`, `{issuer}`, `{groups}`, `{roles}`, `{claims.PATH}`. A list is joined by `,`; in values, control characters,
    /// non-ASCII characters, `%` and `,` are percent-encoded. A header is left out when a value of its template is missing. No
    /// client can send a header by one of these names, on this route or on another with one of the same upstreams.
    /// Example: `{ X-Remote-User: "{user_name}", X-Remote-Groups: "{groups}" }`.
    pub set: BTreeMap<String, IdentityTemplate>,
    /// `Authorization: Bearer` with the caller's own access token, always fresh, or with one that it is exchanged for. This
    /// upstream then receives no bearer token that the gateway did not verify. Example: `false`.
    #[schemars(with = "YesOrExchange")]
    pub access_token: SentAccessToken,
    /// Credentials of the gateway's own in `Authorization`, which the application requires of every request, whatever the caller
    /// sent there. Callers never see them. Example: `{ basic: { user: svc, password: { file: /run/secrets/app } } }`.
    pub credentials: Option<UpstreamCredentials>,
}

impl Default for IdentityForwarding {
    fn default() -> Self {
        Self {
            headers: true,
            assertion: true,
            groups: SentGroups::default(),
            set: BTreeMap::new(),
            access_token: SentAccessToken::None,
            credentials: None,
        }
    }
}

/// Groups that the upstream receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SentGroups {
    /// All of them.
    #[default]
    All,
    /// Those that rules of the route name.
    Matching,
}

/// Credentials that an application requires of every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamCredentials {
    /// `Basic` with a user and a password.
    Basic(BasicCredentials),
    /// `Bearer` with a token. Example: `{ file: /run/secrets/app-token }`.
    Bearer(SecretRef),
}

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicCredentials {
    /// The user. Example: `svc`.
    pub user: String,
    /// The password. Example: `{ file: /run/secrets/app }`.
    pub password: SecretRef,
}

/// Reason credentials for an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A password that Basic cannot carry.
    #[error(
        "invalid password: {source_of} holds a control character; store one line of text there"
    )]
    Password {
        /// The file or variable.
        source_of: SecretRef,
    },
    /// A token that `Bearer` cannot carry.
    #[error(
        "invalid token: {source_of} holds more than a token; store letters, digits and `-._~+/=` there"
    )]
    Token {
        /// The file or variable.
        source_of: SecretRef,
    },
}

impl UpstreamCredentials {
    /// The reference to the secret.
    #[must_use]
    pub fn secret(&self) -> &SecretRef {
        match self {
            Self::Basic(basic) => &basic.password,
            Self::Bearer(token) => token,
        }
    }

    /// Reads the secret and writes the value of `Authorization`, which is marked as sensitive.
    ///
    /// # Errors
    ///
    /// The secret cannot be read, or does not fit the scheme.
    pub fn authorization(&self) -> Result<HeaderValue, CredentialsError> {
        let secret = self.secret().read()?;
        let source_of = || self.secret().clone();
        let text = match self {
            Self::Basic(BasicCredentials { user, .. }) => {
                if secret.expose().chars().any(char::is_control) {
                    return Err(CredentialsError::Password { source_of: source_of() });
                }
                let pair = Zeroizing::new(format!("{user}:{}", secret.expose()));
                Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())))
            }
            Self::Bearer(_) => {
                let body = secret.expose().trim_end_matches('=');
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
                if body.is_empty() || !body.bytes().all(plain) {
                    return Err(CredentialsError::Token { source_of: source_of() });
                }
                Zeroizing::new(format!("Bearer {}", secret.expose()))
            }
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| CredentialsError::Password { source_of: source_of() })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A header value with placeholders for facts about the caller: `{user_name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityTemplate {
    text: String,
    parts: Vec<TemplatePart>,
    delimiters: Vec<char>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text, as written.
    Text(String),
    /// `{user_name}`
    UserName,
    /// `{email}`
    Email,
    /// `{subject}`
    Subject,
    /// `{issuer}`
    Issuer,
    /// `{groups}`
    Groups,
    /// `{roles}`
    Roles,
    /// `{claims.PATH}`
    Claim(String),
}

/// Placeholders, for an error.
const PLACEHOLDERS: &str =
    "`{user_name}`, `{email}`, `{subject}`, `{issuer}`, `{groups}`, `{roles}` or `{claims.NAME}`";

/// Reason a text is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error(
        "invalid template `{text}`: a brace without its partner; write such as `{{user_name}}`"
    )]
    Brace {
        /// The text as written.
        text: String,
    },
    /// A placeholder that does not exist.
    #[error("unknown placeholder `{{{name}}}`; write {PLACEHOLDERS}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// Text that is the same for every caller.
    #[error("invalid template `{text}`: it says nothing about the caller; write {PLACEHOLDERS}")]
    Constant {
        /// The text as written.
        text: String,
    },
    /// Two values that a reader could not tell apart.
    #[error(
        "invalid template `{text}`: two values need a character between them that is no letter, digit, `,` or `%`; \
         write such as `{{user_name}};{{groups}}`"
    )]
    Ambiguous {
        /// The text as written.
        text: String,
    },
    /// Text that a header cannot hold.
    #[error("invalid template `{text}`: a header holds ASCII text without spaces at its ends")]
    Characters {
        /// The text as written, escaped.
        text: String,
    },
}

impl IdentityTemplate {
    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// Characters that end a value: punctuation of the text after the first placeholder. A value must not hold them as they are,
    /// because it could then look like the next one.
    #[must_use]
    pub fn delimiters(&self) -> &[char] {
        &self.delimiters
    }
}

impl FromStr for IdentityTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || text.trim_matches(' ') != text {
            return Err(TemplateError::Characters { text: text.escape_debug().to_string() });
        }
        let brace = || TemplateError::Brace { text: text.to_owned() };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            let (name, after) =
                from.strip_prefix('{').and_then(|from| from.split_once('}')).ok_or_else(brace)?;
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            if name.contains('{') {
                return Err(brace());
            }
            parts.push(TemplatePart::placeholder(name)?);
            rest = after;
        }
        if parts.is_empty() {
            return Err(TemplateError::Constant { text: text.to_owned() });
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        let (mut delimiters, mut after_value, mut separated) = (Vec::new(), false, true);
        for part in &parts {
            match part {
                TemplatePart::Text(between) if after_value => {
                    let own =
                        |letter: &char| !letter.is_ascii_alphanumeric() && !",%".contains(*letter);
                    let before = delimiters.len();
                    delimiters.extend(between.chars().filter(own));
                    separated |= delimiters.len() > before;
                }
                TemplatePart::Text(_) => {}
                _ if !separated => return Err(TemplateError::Ambiguous { text: text.to_owned() }),
                _ => (after_value, separated) = (true, false),
            }
        }
        delimiters.sort_unstable();
        delimiters.dedup();
        Ok(Self { text: text.to_owned(), parts, delimiters })
    }
}

impl TemplatePart {
    fn placeholder(name: &str) -> Result<Self, TemplateError> {
        Ok(match name {
            "user_name" => Self::UserName,
            "email" => Self::Email,
            "subject" => Self::Subject,
            "issuer" => Self::Issuer,
            "groups" => Self::Groups,
            "roles" => Self::Roles,
            _ => match name.strip_prefix("claims.").filter(|path| !path.is_empty()) {
                Some(path) => Self::Claim(path.to_owned()),
                None => return Err(TemplateError::Unknown { name: name.to_owned() }),
            },
        })
    }
}

impl fmt::Display for IdentityTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

written_as_text!(IdentityTemplate, "a template in quotation marks", "\"{user_name}\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_and_placeholders() {
        let read = |text: &str| text.parse::<IdentityTemplate>().map(|template| template.parts);
        assert_eq!(read("{user_name}").unwrap(), [TemplatePart::UserName]);
        assert_eq!(
            read("uid={subject},o={claims.org.name}").unwrap(),
            [
                TemplatePart::Text("uid=".into()),
                TemplatePart::Subject,
                TemplatePart::Text(",o=".into()),
                TemplatePart::Claim("org.name".into()),
            ]
        );
        for wrong in
            ["{", "}", "{user_name", "user_name}", "{{user_name}}", "a}{b", "{}", "{claims.}", ""]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for wrong in
            ["{email}{groups}", "{email}x{groups}", "{groups},{roles}", "{email}%2C{roles}"]
        {
            assert!(matches!(read(wrong), Err(TemplateError::Ambiguous { .. })), "{wrong}");
        }
        for wrong in [" {email}", "{email} ", "{email}\n", "caf\u{e9} {email}", "\t{email}"] {
            assert!(matches!(read(wrong), Err(TemplateError::Characters { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn credentials_become_one_sensitive_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join("secret");
            std::fs::write(&path, text).unwrap();
            SecretRef::File(path)
        };
        let basic = |text: &str| {
            let password = file(text);
            UpstreamCredentials::Basic(BasicCredentials { user: "svc".into(), password })
        };
        let value = basic("s\u{e9}same:1\n").authorization().unwrap();
        assert_eq!(value, "Basic c3ZjOnPDqXNhbWU6MQ==");
        assert!(value.is_sensitive());
        for wrong in ["two\nlines", "tab\there", ""] {
            assert!(basic(wrong).authorization().is_err(), "{wrong:?}");
        }
        let bearer = |text: &str| UpstreamCredentials::Bearer(file(text)).authorization();
        assert_eq!(bearer("a.b-c_d==\r\n").unwrap(), "Bearer a.b-c_d==");
        for wrong in ["two words", "a,b", "a\nb", "=", "t\u{f6}ken", "Bearer a"] {
            let error = bearer(wrong).unwrap_err().to_string();
            assert!(!error.contains(wrong) || wrong == "=", "{error}");
        }
    }
}
