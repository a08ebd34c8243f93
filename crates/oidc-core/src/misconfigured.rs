//! Mistakes that time does not correct: the issuer's address, its documents, or its keys.

use thiserror::Error;

use crate::http::{FetchError, HttpError};
use crate::issuer::Issuer;

/// The provider cannot be used until its configuration is corrected, here or at the provider.
///
/// It is still asked at intervals, so a correction at the provider is noticed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the issuer {issuer} is misconfigured: `{member}`: {problem}; {remedy}")]
#[non_exhaustive]
pub struct IssuerMisconfigured {
    /// The provider's issuer.
    pub issuer: Issuer,
    /// The setting or member of the metadata with the problem: `url` and `discovery_url` are settings
    /// here, `issuer`, `jwks_uri` and others are members.
    pub member: &'static str,
    /// The problem with it.
    pub problem: String,
    /// The correction.
    pub remedy: &'static str,
}

impl IssuerMisconfigured {
    /// The mistake that shows in a failed fetch of the document at `member`; `None` if a later attempt
    /// may succeed.
    pub(crate) fn of_fetch(
        issuer: &Issuer,
        member: &'static str,
        error: &FetchError,
    ) -> Option<Box<Self>> {
        if error.is_temporary() {
            return None;
        }
        let remedy = match error {
            FetchError::Redirected { .. } => {
                "configure the address that it redirects to, if that is the provider's own"
            }
            FetchError::Http(HttpError::NotTls { .. }) => {
                "name the port that serves https; for plain http off loopback, write http:// and list the host in dangerous_allow_http"
            }
            FetchError::Http(_) => {
                "name the CA that signed the certificate (ca_file), or have the provider show one for this host that has not expired"
            }
            FetchError::Status { .. } if member != "jwks_uri" => {
                "write the issuer exactly as the provider names it, for Keycloak https://HOST/realms/REALM, and see that the realm exists"
            }
            FetchError::Status { .. } => "correct the member at the provider",
            FetchError::Address { .. } => "correct the address",
        };
        let problem = match error {
            FetchError::Redirected { url, status } => {
                format!("{url} answered with a redirect ({status}), which is not followed")
            }
            error => error.to_string(),
        };
        Some(Box::new(Self { issuer: issuer.clone(), member, problem, remedy }))
    }
}
