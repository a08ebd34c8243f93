//! The claims of a token, typed (RFC 7519 §4.1, OpenID Connect Core 1.0 §5.1).
//!
//! A registered claim that a rule depends on makes the whole set invalid if it has the wrong type; it
//! is never skipped. `acr`, `auth_time`, `jti` and `sid` are absent then: no rule accepts a token for
//! their absence. This module does not verify claims: [`Verifier`](crate::Verifier) does.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::json::Document;

mod actor;
mod keycloak;
mod names;
mod path;
mod values;

pub use crate::json::{ClaimArray, ClaimObject, ClaimValue};
pub use actor::Actor;
pub use keycloak::{ClientRoles, Groups, RealmRoles};
pub use names::{ClaimPaths, Names};
pub use values::{Audience, Scope};

/// Claims Set of a token or of a UserInfo answer.
///
/// ```
/// use oidc_core::Claims;
/// let claims = Claims::parse(
///     br#"{"iss":"https://id.example","sub":"248289","aud":["hub"],"exp":1893456000,
///         "realm_access":{"roles":["data-scientist"]},"department":"risk"}"#,
/// )?;
/// assert!(claims.audience.contains("hub"));
/// assert!(claims.realm_roles().contains("data-scientist"));
/// assert!(!claims.client_roles("hub").contains("data-scientist"));
/// assert_eq!(claims.get("department").and_then(|d| d.as_str()), Some("risk"));
/// assert!(Claims::parse(br#"{"exp":"1893456000"}"#).is_err());
/// # Ok::<(), oidc_core::token::InvalidClaims>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Claims {
    /// `iss`
    pub issuer: Option<String>,
    /// `sub`, or the claim at the verifier's path; never empty.
    pub subject: Option<String>,
    /// `aud`; empty when absent.
    pub audience: Audience,
    /// `exp`
    pub expires_at: Option<SystemTime>,
    /// `nbf`
    pub not_before: Option<SystemTime>,
    /// `iat`
    pub issued_at: Option<SystemTime>,
    /// `auth_time`: time the person last authenticated.
    pub auth_time: Option<SystemTime>,
    /// `jti`
    pub jwt_id: Option<String>,
    /// `azp`: the client the token was issued to.
    pub authorized_party: Option<String>,
    /// `client_id` (RFC 9068 §2.2)
    pub client_id: Option<String>,
    /// `sid`: the session at the provider.
    pub session_id: Option<String>,
    /// `nonce`
    pub nonce: Option<String>,
    /// `acr`: how strongly the person authenticated. A whole number is read as its digits.
    pub acr: Option<String>,
    /// `typ` in the body, as Keycloak writes it: `Bearer`, `ID`, `Refresh`, `Logout`, ….
    pub token_type: Option<String>,
    /// `scope`; empty when absent. Text, or a list of texts as some providers write it.
    pub scope: Scope,
    members: Members,
    /// The names that the verifier's paths found; `None`: they are read from Keycloak's claims.
    names: Option<Arc<Names>>,
}

/// The members, and their tree once a reader asked for it.
#[derive(Clone, Default)]
struct Members {
    document: Document,
    tree: OnceLock<Map<String, Value>>,
}

/// Reason a text is not a usable Claims Set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidClaims {
    /// Not strict JSON, or not an object.
    #[error("the claims cannot be read: {reason}")]
    Malformed {
        /// The parser's error.
        reason: String,
    },
    /// A registered claim has the wrong type or an impossible value.
    #[error("the claim `{claim}` is not usable: {reason}")]
    Claim {
        /// The claim's name.
        claim: &'static str,
        /// The problem with it.
        reason: &'static str,
    },
}

impl Claims {
    /// Reads a JSON object strictly: no member twice, nothing after the end.
    ///
    /// # Errors
    ///
    /// [`InvalidClaims::Malformed`] if it is not one JSON object that can be read in one way only;
    /// [`InvalidClaims::Claim`] names a registered claim of the wrong type (RFC 7519 §4.1).
    pub fn parse(json: &[u8]) -> Result<Self, InvalidClaims> {
        let document =
            Document::parse(json.to_vec()).map_err(|reason| InvalidClaims::Malformed { reason })?;
        Self::of(document)
    }

    /// Reads the members of an object that is already parsed.
    ///
    /// # Errors
    ///
    /// [`InvalidClaims::Claim`] names a registered claim of the wrong type (RFC 7519 §4.1).
    pub fn from_members(members: Map<String, Value>) -> Result<Self, InvalidClaims> {
        let document = Document::try_from(&members)
            .map_err(|error| InvalidClaims::Malformed { reason: error.to_string() })?;
        let mut claims = Self::of(document)?;
        claims.members.tree = OnceLock::from(members);
        Ok(claims)
    }

    /// Reads the members of an object that is already parsed.
    pub(crate) fn of(document: Document) -> Result<Self, InvalidClaims> {
        actor::check(&document.members())?;
        let mut claims = Self::default();
        for (name, value) in document.members() {
            claims.read(name, &value)?;
        }
        claims.members.document = document;
        Ok(claims)
    }

    /// Reads a registered claim into its place; one of the wrong type is an error.
    fn read(&mut self, name: &str, value: &ClaimValue<'_>) -> Result<(), InvalidClaims> {
        match name {
            "iss" => self.issuer = Some(text("iss", value)?),
            "sub" => self.subject = Some(subject(value)?),
            "aud" => self.audience = audience(value)?,
            "exp" => self.expires_at = Some(time("exp", value)?),
            "nbf" => self.not_before = Some(time("nbf", value)?),
            "iat" => self.issued_at = Some(time("iat", value)?),
            "auth_time" => self.auth_time = time("auth_time", value).ok(),
            "jti" => self.jwt_id = text("jti", value).ok(),
            "azp" => self.authorized_party = Some(text("azp", value)?),
            "client_id" => self.client_id = Some(text("client_id", value)?),
            "sid" => self.session_id = text("sid", value).ok(),
            "nonce" => self.nonce = Some(text("nonce", value)?),
            "acr" => self.acr = context(value),
            "typ" => self.token_type = Some(text("typ", value)?),
            "scope" => self.scope = scope(value)?,
            _ => {}
        }
        Ok(())
    }

    /// `email`, verified or not: see [`Claims::verified_email`].
    pub fn email(&self) -> Option<&str> {
        match &self.names {
            Some(names) => names.email.as_deref(),
            None => self.text("email"),
        }
    }

    /// `email_verified`: the JSON value `true`, or the text `"true"`, which some providers write. All
    /// else is not.
    pub fn email_verified(&self) -> bool {
        match self.member("email_verified") {
            Some(ClaimValue::Bool(verified)) => verified,
            Some(ClaimValue::Text(text)) => text == "true",
            _ => false,
        }
    }

    /// `email`, if the provider verified it and it has exactly one `@` with something on both sides.
    pub fn verified_email(&self) -> Option<&str> {
        // `email_verified` is about this claim, not about the one at another path.
        let email = self.text("email").filter(|_| self.email_verified())?;
        let email = self.email().filter(|named| *named == email)?;
        let (local, domain) = email.split_once('@')?;
        let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
        (plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@')).then_some(email)
    }

    /// `preferred_username`: a name the person chose. Not unique over time; use `subject`.
    pub fn preferred_username(&self) -> Option<&str> {
        match &self.names {
            Some(names) => names.user_name.as_deref(),
            None => self.text("preferred_username"),
        }
    }

    /// `name`: for display.
    pub fn name(&self) -> Option<&str> {
        match &self.names {
            Some(names) => names.name.as_deref(),
            None => self.text("name"),
        }
    }

    /// The client the token was issued to: `client_id`, else `azp`.
    pub fn client(&self) -> Option<&str> {
        self.client_id.as_deref().or(self.authorized_party.as_deref())
    }

    /// All members as received, registered ones included, as a tree. It is built at the first call and kept;
    /// [`Claims::iter`] and [`Claims::get`] need none.
    pub fn members(&self) -> &Map<String, Value> {
        self.members.tree.get_or_init(|| self.iter().to_map())
    }

    /// All members as a tree of the caller's own.
    pub fn to_map(&self) -> Map<String, Value> {
        self.members.tree.get().cloned().unwrap_or_else(|| self.iter().to_map())
    }

    /// All members as received, registered ones included, in the order of the token.
    pub fn iter(&self) -> ClaimObject<'_> {
        self.members.document.members()
    }

    /// The member of exactly this name.
    pub fn member(&self, name: &str) -> Option<ClaimValue<'_>> {
        self.iter().get(name)
    }

    /// Whether there is a member of exactly this name.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().contains(name)
    }

    /// Reads roles, groups and scopes as `names` says from now on.
    pub(crate) fn with_names(mut self, names: Names) -> Self {
        self.scope = names.scopes.clone();
        self.subject.clone_from(&names.subject);
        self.names = Some(Arc::new(names));
        self
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.document.members() == other.document.members()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

impl<'c> IntoIterator for &'c Claims {
    type Item = (&'c str, ClaimValue<'c>);
    type IntoIter = ClaimObject<'c>;

    fn into_iter(self) -> ClaimObject<'c> {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_members(Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn borrowed<'v>(claim: &'static str, value: &ClaimValue<'v>) -> Result<&'v str, InvalidClaims> {
    value.as_str().ok_or(InvalidClaims::Claim { claim, reason: "it is not a string" })
}

fn text(claim: &'static str, value: &ClaimValue<'_>) -> Result<String, InvalidClaims> {
    borrowed(claim, value).map(str::to_owned)
}

/// Text, or a whole number, which some providers write.
fn context(value: &ClaimValue<'_>) -> Option<String> {
    match value {
        ClaimValue::Text(text) => Some((*text).to_owned()),
        ClaimValue::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// RFC 6749 §3.3: words of one text. A list of words says the same.
fn scope(value: &ClaimValue<'_>) -> Result<Scope, InvalidClaims> {
    let words = match value {
        ClaimValue::Text(text) => return Ok(Scope::from(*text)),
        ClaimValue::Array(words) => words
            .clone()
            .map(|word| word.as_str().filter(|word| !word.contains(' ')))
            .collect::<Option<Scope>>(),
        _ => None,
    };
    let reason = "it is neither a string nor an array with one scope in each string";
    words.ok_or(InvalidClaims::Claim { claim: "scope", reason })
}

fn subject(value: &ClaimValue<'_>) -> Result<String, InvalidClaims> {
    let subject = borrowed("sub", value)?;
    if subject.trim().is_empty() {
        return Err(InvalidClaims::Claim { claim: "sub", reason: "it is empty" });
    }
    Ok(subject.to_owned())
}

fn audience(value: &ClaimValue<'_>) -> Result<Audience, InvalidClaims> {
    let texts = match value {
        ClaimValue::Text(one) => Some(vec![(*one).to_owned()]),
        ClaimValue::Array(many) => {
            many.clone().map(|one| one.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    texts.map(Audience::new).ok_or(InvalidClaims::Claim {
        claim: "aud",
        reason: "it is neither a string nor an array of strings",
    })
}

/// NumericDate (RFC 7519 §2): seconds since 1970, whole or not, up to the year 9999.
fn time(claim: &'static str, value: &ClaimValue<'_>) -> Result<SystemTime, InvalidClaims> {
    const YEAR_9999: f64 = 253_402_300_799.0;
    let ClaimValue::Number(number) = value else {
        return Err(InvalidClaims::Claim { claim, reason: "it is not a number" });
    };
    number
        .as_f64()
        .filter(|seconds| (0.0..=YEAR_9999).contains(seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|since| UNIX_EPOCH.checked_add(since))
        .ok_or(InvalidClaims::Claim { claim, reason: "it is not a time up to the year 9999" })
}

#[cfg(test)]
mod tests;
