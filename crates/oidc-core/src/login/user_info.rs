//! Claims about the person from the UserInfo endpoint (OpenID Connect Core 1.0 §5.3).
//!
//! A token that is bound to a key is sent with a proof (RFC 9449 §7.1), and once more if the
//! provider requires its nonce in it (§9). If the answer's `sub` is not the one of the ID token
//! (§5.3.2), the whole answer is refused. So is a signed one that is not the provider's for this client,
//! and an encrypted one.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use thiserror::Error;
use url::Url;

use crate::client::TokenEndpoint;
use crate::http::{self as port, FetchError};
use crate::jose::InvalidPrivateKey;
use crate::provider::ProviderError;
use crate::refusal::TokenRefusal;
use crate::secret::Secret;
use crate::token::{Claims, InvalidClaims};
use crate::verify::Verifier;

/// Reason there are no UserInfo claims.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum UserInfoError {
    /// The provider cannot be used, now or before a configuration is corrected.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The provider has no such endpoint.
    #[error("the provider's metadata has no userinfo_endpoint")]
    NotSupported,
    /// The document could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The endpoint does not accept the access token.
    #[error(
        "the provider does not accept the access token for UserInfo; get a fresh one with scope openid"
    )]
    Unauthorized,
    /// The token is bound to a key that cannot sign the proof.
    #[error("the proof for the access token cannot be made: {0}")]
    Proof(#[from] InvalidPrivateKey),
    /// The claims are about another subject (OpenID Connect Core 1.0 §5.3.2).
    #[error("the UserInfo answer is about another subject than the ID token")]
    WrongSubject,
    /// Neither JSON nor a JWT.
    #[error("the UserInfo answer is neither application/json nor application/jwt")]
    NotJson,
    /// An encrypted answer (OpenID Connect Core 1.0 §5.3.2); this client has no key to decrypt it.
    #[error(
        "the UserInfo answer is encrypted; have the provider answer with plain JSON or a signed JWT (userinfo_encrypted_response_alg)"
    )]
    Encrypted,
    /// A signed answer that is not this provider's, or not for this client.
    #[error("the signed UserInfo answer is refused: {0}")]
    Refused(#[from] TokenRefusal),
    /// Not a Claims Set.
    #[error("the UserInfo answer cannot be used")]
    Invalid(#[from] InvalidClaims),
}

impl UserInfoError {
    /// Whether a later attempt may succeed without a change on either side.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Provider(error) => error.is_temporary(),
            Self::Fetch(error) => error.is_temporary(),
            Self::Refused(refusal) => refusal.is_unavailable() && refusal.mistake().is_none(),
            _ => false,
        }
    }
}

pub(crate) async fn user_info(
    endpoint: &TokenEndpoint,
    verifier: &Verifier,
    access_token: &Secret,
    expected_subject: &str,
) -> Result<Claims, UserInfoError> {
    let metadata = endpoint.provider().metadata().await?;
    // RFC 8705 §5: a token that is bound to the client's certificate is valid there only.
    let alias = metadata.mtls_endpoint_aliases.userinfo_endpoint.as_ref();
    let alias = alias.filter(|_| endpoint.has_certificate());
    let url = alias.or(metadata.userinfo_endpoint.as_ref()).ok_or(UserInfoError::NotSupported)?;
    let answer = ask(endpoint, url, access_token).await?;
    if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(UserInfoError::Unauthorized);
    }
    let answer = port::document(url.as_str(), answer)?;
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let claims = match media_type.to_ascii_lowercase().as_str() {
        "application/json" => Claims::parse(answer.body())?,
        "application/jwt" => {
            let announced = &metadata.userinfo_signing_alg_values_supported;
            signed(verifier, answer.body(), announced).await?
        }
        _ => return Err(UserInfoError::NotJson),
    };
    if claims.subject.as_deref() != Some(expected_subject) {
        return Err(UserInfoError::WrongSubject);
    }
    Ok(claims)
}

/// The claims of an answer that must be a signed JWT.
async fn signed(
    verifier: &Verifier,
    body: &[u8],
    announced: &[String],
) -> Result<Claims, UserInfoError> {
    let answer = std::str::from_utf8(body).map_err(|_| UserInfoError::NotJson)?;
    // RFC 7516 §9: five parts are encrypted, three are signed.
    if answer.bytes().filter(|byte| *byte == b'.').count() == 4 {
        return Err(UserInfoError::Encrypted);
    }
    Ok(verifier.user_info(answer, announced).await?)
}

async fn ask(
    endpoint: &TokenEndpoint,
    url: &Url,
    access_token: &Secret,
) -> Result<Response<Bytes>, UserInfoError> {
    let mut nonce_wanted = false;
    loop {
        let headers = credentials(endpoint, url, access_token)?;
        let answer = port::ask(endpoint.provider().http().as_ref(), url.as_str(), headers).await?;
        let Some(dpop) = endpoint.dpop() else { return Ok(answer) };
        let new_nonce = dpop.nonces_of_resources.note(url, answer.headers());
        if !new_nonce || nonce_wanted || !wants_nonce(&answer) {
            return Ok(answer);
        }
        nonce_wanted = true;
    }
}

/// The token, and the proof for this request if the token is bound.
fn credentials(
    endpoint: &TokenEndpoint,
    url: &Url,
    access_token: &Secret,
) -> Result<HeaderMap, UserInfoError> {
    let sensitive = |text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| UserInfoError::Unauthorized)?;
        value.set_sensitive(true);
        Ok::<_, UserInfoError>(value)
    };
    let mut headers = HeaderMap::new();
    let scheme = if endpoint.dpop().is_some() { "DPoP" } else { "Bearer" };
    let authorization = sensitive(&format!("{scheme} {}", access_token.expose()))?;
    headers.insert(header::AUTHORIZATION, authorization);
    if let Some(dpop) = endpoint.dpop() {
        let nonce = dpop.nonces_of_resources.latest(url);
        let (token, now) = (Some(access_token), endpoint.now());
        let proof = dpop.key.proof(&Method::GET, url, token, nonce.as_deref(), now)?;
        headers.insert("dpop", sensitive(proof.expose())?);
    }
    Ok(headers)
}

/// RFC 9449 §9: a challenge with `use_dpop_nonce`.
fn wants_nonce(answer: &Response<Bytes>) -> bool {
    let challenges = answer.headers().get_all(header::WWW_AUTHENTICATE).iter();
    let mut texts = challenges.filter_map(|value| value.to_str().ok());
    answer.status() == StatusCode::UNAUTHORIZED && texts.any(|text| text.contains("use_dpop_nonce"))
}
