//! Claims about the person from the UserInfo endpoint (OpenID Connect Core 1.0 §5.3).
//!
//! The answer's `sub` must be the one of the ID token (§5.3.2), or nothing of it is used.

use http::HeaderValue;
use thiserror::Error;

use crate::claims::{Claims, InvalidClaims};
use crate::http::{self as port, FetchError};
use crate::provider::{Provider, ProviderUnavailable};
use crate::secret::Secret;

/// Why there is no UserInfo.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum UserInfoError {
    /// The provider cannot be used now.
    #[error(transparent)]
    Provider(#[from] ProviderUnavailable),
    /// The provider has no such endpoint.
    #[error("the provider's metadata has no userinfo_endpoint")]
    NotSupported,
    /// The document could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The access token is not accepted there.
    #[error(
        "the provider does not accept the access token for UserInfo; get a fresh one with scope openid"
    )]
    Unauthorized,
    /// Claims of somebody else (OpenID Connect Core 1.0 §5.3.2).
    #[error("the UserInfo answer is about another subject than the ID token")]
    WrongSubject,
    /// A signed or encrypted answer; plain JSON was asked for.
    #[error("the UserInfo answer is not JSON; have the provider answer with plain JSON")]
    NotJson,
    /// Not a Claims Set.
    #[error("the UserInfo answer cannot be used")]
    Invalid(#[from] InvalidClaims),
}

pub(crate) async fn user_info(
    provider: &Provider,
    access_token: &Secret,
    expected_subject: &str,
) -> Result<Claims, UserInfoError> {
    let metadata = provider.metadata().await?;
    let url = metadata.userinfo_endpoint.as_ref().ok_or(UserInfoError::NotSupported)?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access_token.expose()))
        .map_err(|_| UserInfoError::Unauthorized)?;
    bearer.set_sensitive(true);
    let answer = match port::get(provider.http().as_ref(), url.as_str(), Some(bearer)).await {
        Err(FetchError::Status { status: 401 | 403, .. }) => {
            return Err(UserInfoError::Unauthorized);
        }
        answer => answer?,
    };
    let content_type = answer.headers().get(::http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("application/json") {
        return Err(UserInfoError::NotJson);
    }
    let claims = Claims::parse(answer.body())?;
    if claims.subject.as_deref() != Some(expected_subject) {
        return Err(UserInfoError::WrongSubject);
    }
    Ok(claims)
}
