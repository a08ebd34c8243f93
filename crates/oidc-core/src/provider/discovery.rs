//! The way to a provider's metadata, and the reasons there is none.

use thiserror::Error;
use url::Url;

use crate::foreign_text::quoted;
use crate::http::FetchError;
use crate::issuer::{Issuer, PlainHttpHosts, is_loopback};
use crate::misconfigured::IssuerMisconfigured;

/// The way to the metadata, where it is not the issuer's own URL, and the hosts that plain `http` may
/// be used with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Discovery {
    pub(crate) url: Option<Url>,
    pub(crate) plain_http: PlainHttpHosts,
}

impl Discovery {
    /// The document's URL: the well-known path appended to the configured URL, or that URL itself if
    /// it names a document.
    pub(super) fn document(&self, issuer: &Issuer) -> Result<String, DiscoveryError> {
        let Some(url) = &self.url else { return Ok(issuer.discovery_url()) };
        if !self.accepts(issuer, url) {
            let (member, url) = ("discovery_url", quoted(url.as_str()));
            return Err(DiscoveryError::InsecureEndpoint { member, url });
        }
        let text = url.as_str();
        Ok(match url.path().contains("/.well-known/") {
            true => text.to_owned(),
            false => format!("{}/.well-known/openid-configuration", text.trim_end_matches('/')),
        })
    }

    /// The setting that names the document's URL.
    pub(super) fn setting(&self) -> &'static str {
        if self.url.is_some() { "discovery_url" } else { "url" }
    }

    /// Whether requests may be sent to `url`: by TLS, to this machine if the issuer is reached there, or
    /// to a host for which plain `http` is accepted.
    pub(super) fn accepts(&self, issuer: &Issuer, url: &Url) -> bool {
        let reached_here = self.url.as_ref().is_some_and(is_loopback);
        let secure = match url.scheme() {
            "https" => true,
            "http" => {
                issuer.is_loopback()
                    || reached_here && is_loopback(url)
                    || self.plain_http.include(url)
            }
            _ => false,
        };
        secure && url.has_host()
    }
}

/// Reason there is no metadata.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The document could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The document names another issuer.
    #[error(
        "the provider calls itself {found}, but {expected} was asked; configure the issuer exactly as the provider writes it"
    )]
    IssuerMismatch {
        /// The issuer requested.
        expected: String,
        /// The issuer in the document.
        found: String,
    },
    /// An endpoint without TLS.
    #[error("the provider's {member} is {url}, which does not use https")]
    InsecureEndpoint {
        /// The member's name.
        member: &'static str,
        /// Its value.
        url: String,
    },
    /// A member that a check needs has a value of the wrong kind.
    #[error("the provider's {member} cannot be used: {problem}")]
    Member {
        /// The member's name.
        member: &'static str,
        /// The problem with it.
        problem: String,
    },
    /// Not a discovery document.
    #[error("the discovery document cannot be used: {reason}")]
    Invalid {
        /// The problem with it.
        reason: String,
    },
}

impl DiscoveryError {
    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::InsecureEndpoint { .. } => "insecure_endpoint",
            Self::Member { .. } | Self::Invalid { .. } => "invalid_metadata",
        }
    }

    /// The mistake that this error shows; `None` if a later attempt may succeed.
    pub(super) fn mistake(
        &self,
        issuer: &Issuer,
        setting: &'static str,
    ) -> Option<Box<IssuerMisconfigured>> {
        let (member, problem, remedy) = match self {
            Self::Fetch(error) => return IssuerMisconfigured::of_fetch(issuer, setting, error),
            Self::Invalid { .. } => return None,
            Self::IssuerMismatch { found, .. } => {
                let problem = format!("the provider calls itself {found}");
                let remedy = "write the issuer exactly as the provider does, with or without a slash at its end";
                ("issuer", problem, remedy)
            }
            Self::InsecureEndpoint { member, url } => {
                let problem = format!("{url} does not use https");
                let remedy = "have the provider announce https; for plain http off loopback, list the host in dangerous_allow_http";
                (*member, problem, remedy)
            }
            Self::Member { member, problem } => {
                (*member, problem.clone(), "correct the member at the provider")
            }
        };
        Some(Box::new(IssuerMisconfigured { issuer: issuer.clone(), member, problem, remedy }))
    }
}
