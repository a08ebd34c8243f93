//! Waiting for tokens of an issuer, and the reasons there is none, by the party that can correct them.

use std::time::Duration;

use m2m::{AccessToken, TokenError};
use oidc_core::client::TokenEndpointError;
use tokio::time::timeout;

use crate::workers;

/// Time for which a request waits for its token.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for a token in the background: a caller that leaves ends no grant that others wait for.
///
/// # Errors
///
/// The reason there is no token, or none in time.
pub(crate) async fn patiently(
    asking: impl Future<Output = Result<AccessToken, TokenError>> + Send + 'static,
) -> Result<AccessToken, TokenFailure> {
    match timeout(PATIENCE, workers::in_background(asking)).await {
        Ok(Ok(answer)) => answer.map_err(|error| TokenFailure::of(&error)),
        Ok(Err(_)) => Err(TokenFailure::Unavailable("the gateway stops".to_owned())),
        Err(_) => Err(TokenFailure::Unavailable(format!(
            "no answer within {}",
            humantime::format_duration(PATIENCE)
        ))),
    }
}

/// Reason there is no token, for the log.
#[derive(Debug)]
pub(crate) enum TokenFailure {
    /// The issuer does not answer now.
    Unavailable(String),
    /// The gateway's client is not set up, here or at the issuer.
    Misconfigured(String),
    /// The issuer gives no such token for this subject.
    Refused(String),
    /// The answer is no token.
    Invalid(String),
}

impl TokenFailure {
    /// The reason of an error.
    pub(crate) fn of(error: &TokenError) -> Self {
        match error {
            TokenError::Unavailable { source, .. } | TokenError::Refused { source } => {
                Self::of_answer(source)
            }
            other => Self::Misconfigured(other.to_string()),
        }
    }

    /// The reason of an answer of a token endpoint.
    pub(crate) fn of_answer(source: &TokenEndpointError) -> Self {
        let because = |code: &str, description: &Option<String>| match description {
            Some(description) => format!("{code} ({description})"),
            None => code.to_owned(),
        };
        match source {
            TokenEndpointError::InvalidGrant { description, .. } => {
                Self::Refused(because("invalid_grant", description))
            }
            TokenEndpointError::OAuth { error, description, .. }
                if !matches!(error.as_str(), "unauthorized_client" | "unsupported_grant_type") =>
            {
                Self::Refused(because(error, description))
            }
            TokenEndpointError::InvalidResponse { .. }
            | TokenEndpointError::InvalidMember { .. }
            | TokenEndpointError::NotBound => Self::Invalid(source.to_string()),
            _ if source.is_temporary() => Self::Unavailable(source.to_string()),
            _ => Self::Misconfigured(source.to_string()),
        }
    }
}
