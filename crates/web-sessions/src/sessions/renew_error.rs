//! Reasons a refresh fails.

use std::time::Duration;

use crate::store::StoreError;

/// Reasons a session has no valid access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenewError {
    /// The session has ended, by logout or by its limits.
    #[error("session has ended")]
    Ended,
    /// The provider refused (`invalid_grant`); the session is over.
    #[error("provider refused to refresh: {reason}")]
    Refused {
        /// the provider's reason
        reason: String,
    },
    /// The access token has expired and there is nothing to refresh it with; the session is over.
    #[error("access token expired and there is no refresh token")]
    NoRefreshToken,
    /// The provider is unavailable now.
    #[error("provider unavailable: {reason}")]
    Unavailable {
        /// cause of the failure
        reason: String,
        /// time until the next attempt
        retry_after: Duration,
    },
    /// The provider issued new tokens that could not be stored yet, or that the store has no room for, which ends the session.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RenewError {
    /// A final refusal by the provider.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    /// The provider did not answer, or its answer was unusable.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: Duration::ZERO }
    }

    /// Whether the session is over; otherwise the error may pass and the session stays.
    pub fn session_ended(&self) -> bool {
        match self {
            Self::Ended
            | Self::Refused { .. }
            | Self::NoRefreshToken
            | Self::Store(StoreError::TooLarge { .. }) => true,
            Self::Unavailable { .. } | Self::Store(StoreError::Unavailable { .. }) => false,
        }
    }

    /// The same error, with a retry after `left`.
    pub(super) fn after(self, left: Duration) -> Self {
        match self {
            Self::Unavailable { reason, .. } => Self::Unavailable { reason, retry_after: left },
            other => other,
        }
    }
}
