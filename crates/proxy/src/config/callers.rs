//! Route keys about callers: how programs send credentials, which pages may open sockets, the card on the portal page.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::text::written_as_text;

/// Owner of the bearer tokens in `Authorization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BearerTokens {
    /// The gateway: it verifies them. Where anyone may call, one that names no configured issuer passes unread.
    #[default]
    Gateway,
    /// The application: they pass untouched, and make no identity. Sessions and `X-Doorward-Token` still count.
    Application,
}

/// The route's card on the portal page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PortalCard {
    /// Leaves the route out. Unless set, a route with `sign_in: challenge` is left out, because only programs use it.
    /// Example: `true`.
    pub hide: Option<bool>,
    /// Heading of the cards among which it stands. Example: `Models`.
    pub group: Option<String>,
    /// Place among the cards: lower first, then by title. Example: `10`.
    pub order: i32,
    /// Picture on the card; without it, the first letter of the title. Example: `chart`.
    pub icon: Option<Icon>,
    /// Page of the route that the card leads to, below `match.path`. Example: `/lab`.
    pub start: Option<String>,
}

/// A picture on the portal page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Icon {
    /// Dashboards and reports.
    Chart,
    /// Notebooks.
    Notebook,
    /// Databases and warehouses.
    Database,
    /// Schedulers and pipelines.
    Flow,
    /// Models.
    Model,
    /// Files, packages and images.
    Box,
    /// Source code.
    Code,
    /// Terminals.
    Terminal,
}

/// An origin, as browsers write it in `Origin` (RFC 6454 §6.2): `https://apps.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// The origin as browsers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reason a text is not an origin.
#[derive(Debug, thiserror::Error)]
pub enum WebOriginError {
    /// Not an address of a web page.
    #[error("invalid origin `{text}`; write scheme and host, such as `https://apps.example`")]
    NotAnOrigin {
        /// The text as written.
        text: String,
    },
    /// More than an origin, or an origin in another form.
    #[error("invalid origin `{text}`: browsers write `{origin}`")]
    OtherForm {
        /// The text as written.
        text: String,
        /// The origin in it.
        origin: String,
    },
}

impl FromStr for WebOrigin {
    type Err = WebOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url.filter(|_| !text.contains('*')) else {
            return Err(WebOriginError::NotAnOrigin { text: text.to_owned() });
        };
        let origin = url.origin().ascii_serialization();
        if origin != text {
            return Err(WebOriginError::OtherForm { text: text.to_owned(), origin });
        }
        Ok(Self(origin))
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(WebOrigin, "an origin", "https://apps.example");
