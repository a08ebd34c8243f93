//! Grants of RFC 6749, RFC 7523, RFC 8628 and RFC 8693 as values.

use url::Url;

use crate::client::Form;
use crate::secret::Secret;
use crate::token::Scope;

/// `subject_token_type` and `actor_token_type` unless set (RFC 8693 §3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// RFC 8693 §2.1
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 §2.1
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8628 §3.4
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Every `grant_type` of [`Grant`].
#[cfg(feature = "oauth2")]
pub(crate) const GRANT_TYPES: [&str; 6] = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    TOKEN_EXCHANGE,
    JWT_BEARER,
    DEVICE_CODE,
];

/// Grant of a token request.
///
/// ```
/// use oidc_core::Secret;
/// use oidc_core::client::Grant;
/// // The user's token for one that the model server takes, on the user's behalf.
/// let grant = Grant::exchange(Secret::from("eyJ..."), "churn");
/// assert!(!format!("{grant:?}").contains("eyJ"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Grant {
    /// A code from the authorization endpoint (RFC 6749 §4.1.3, RFC 7636 §4.5).
    AuthorizationCode {
        /// `code`
        code: Secret,
        /// `redirect_uri`, as it was in the authorization request.
        redirect_uri: Url,
        /// `code_verifier`
        code_verifier: Secret,
    },
    /// A refresh token (RFC 6749 §6).
    RefreshToken {
        /// `refresh_token`
        refresh_token: Secret,
        /// `scope`, to ask for less than before.
        scope: Option<Scope>,
    },
    /// The client's own authority (RFC 6749 §4.4).
    ClientCredentials {
        /// `scope`
        scope: Option<Scope>,
        /// `audience`, for providers that support it.
        audience: Option<String>,
        /// `resource`: absolute URIs without fragment, several may be named (RFC 8707 §2).
        resource: Vec<String>,
    },
    /// Another token (RFC 8693 §2.1).
    TokenExchange {
        /// `subject_token`: identifies the party on whose behalf the token is requested.
        subject_token: Secret,
        /// `subject_token_type`; an access token unless set.
        subject_token_type: Option<String>,
        /// `actor_token`: the party that acts, if that is not the client. The new token names it in
        /// `act`.
        actor_token: Option<Secret>,
        /// `actor_token_type`; an access token unless set. Not sent without an `actor_token`.
        actor_token_type: Option<String>,
        /// `requested_token_type`; the provider's choice unless set.
        requested_token_type: Option<String>,
        /// `audience`: names at the provider, several may be given.
        audience: Vec<String>,
        /// `resource`: absolute URIs without fragment, several may be given (RFC 8707 §2).
        resource: Vec<String>,
        /// `scope`
        scope: Option<Scope>,
    },
    /// A JWT from a party that the provider trusts (RFC 7523 §2.1).
    JwtBearer {
        /// `assertion`
        assertion: Secret,
        /// `scope`
        scope: Option<Scope>,
    },
    /// A device's code, once its person has answered (RFC 8628 §3.4).
    DeviceCode {
        /// `device_code`
        device_code: Secret,
        /// `code_verifier`, if a challenge was sent (RFC 7636 §4.5).
        code_verifier: Option<Secret>,
    },
}

impl Grant {
    /// [`Grant::TokenExchange`] of an access token for one that is meant for `audience`.
    pub fn exchange(subject_token: Secret, audience: impl Into<String>) -> Self {
        Self::TokenExchange {
            subject_token,
            subject_token_type: None,
            actor_token: None,
            actor_token_type: None,
            requested_token_type: None,
            audience: vec![audience.into()],
            resource: Vec::new(),
            scope: None,
        }
    }

    /// `grant_type`
    pub(super) fn grant_type(&self) -> &'static str {
        match self {
            Self::AuthorizationCode { .. } => "authorization_code",
            Self::RefreshToken { .. } => "refresh_token",
            Self::ClientCredentials { .. } => "client_credentials",
            Self::TokenExchange { .. } => TOKEN_EXCHANGE,
            Self::JwtBearer { .. } => JWT_BEARER,
            Self::DeviceCode { .. } => DEVICE_CODE,
        }
    }

    pub(super) fn into_form(self) -> Form {
        let mut form: Form = Vec::new();
        let mut add = |name: &'static str, value: Option<Secret>| {
            form.extend(value.map(|value| (name.into(), value)));
        };
        let scope_text = |scope: Option<Scope>| scope.map(|scope| Secret::from(scope.to_string()));
        add("grant_type", Some(self.grant_type().into()));
        match self {
            Self::AuthorizationCode { code, redirect_uri, code_verifier } => {
                add("code", Some(code));
                add("redirect_uri", Some(redirect_uri.as_str().into()));
                add("code_verifier", Some(code_verifier));
            }
            Self::RefreshToken { refresh_token, scope } => {
                add("refresh_token", Some(refresh_token));
                add("scope", scope_text(scope));
            }
            Self::ClientCredentials { scope, audience, resource } => {
                add("scope", scope_text(scope));
                add("audience", audience.map(Secret::from));
                resource.into_iter().for_each(|uri| add("resource", Some(uri.into())));
            }
            Self::TokenExchange {
                subject_token,
                subject_token_type,
                actor_token,
                actor_token_type,
                requested_token_type,
                audience,
                resource,
                scope,
            } => {
                let kind =
                    |kind: Option<String>| Some(kind.map_or(ACCESS_TOKEN.into(), Into::into));
                add("subject_token", Some(subject_token));
                add("subject_token_type", kind(subject_token_type));
                if actor_token.is_some() {
                    add("actor_token", actor_token);
                    add("actor_token_type", kind(actor_token_type));
                }
                add("requested_token_type", requested_token_type.map(Secret::from));
                audience.into_iter().for_each(|name| add("audience", Some(name.into())));
                resource.into_iter().for_each(|uri| add("resource", Some(uri.into())));
                add("scope", scope_text(scope));
            }
            Self::JwtBearer { assertion, scope } => {
                add("assertion", Some(assertion));
                add("scope", scope_text(scope));
            }
            Self::DeviceCode { device_code, code_verifier } => {
                add("device_code", Some(device_code));
                add("code_verifier", code_verifier);
            }
        }
        form
    }
}
