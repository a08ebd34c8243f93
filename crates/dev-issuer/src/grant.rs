//! Grant types of the token endpoint ([RFC 6749 §4](https://www.rfc-editor.org/rfc/rfc6749#section-4)), and the number of requests of each.

use std::collections::HashMap;

use crate::shared::Shared;

/// Grant type of a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// `authorization_code`
    AuthorizationCode,
    /// `refresh_token`
    RefreshToken,
    /// `client_credentials`
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:token-exchange`
    TokenExchange,
    /// `urn:ietf:params:oauth:grant-type:device_code`
    DeviceCode,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`
    JwtBearer,
    /// An unsupported grant type.
    Other,
}

impl Grant {
    /// The supported grant types.
    pub(crate) const SUPPORTED: [Self; 6] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::TokenExchange,
        Self::DeviceCode,
        Self::JwtBearer,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::Other => "",
        }
    }

    /// The grant type that `grant_type` names.
    pub(crate) fn named(name: &str) -> Self {
        let supported = Self::SUPPORTED.into_iter().find(|grant| grant.as_str() == name);
        supported.unwrap_or(Self::Other)
    }
}

/// Number of token requests of each grant, including refused ones.
#[derive(Debug, Default)]
pub(crate) struct GrantCounts(Shared<HashMap<Grant, u64>>);

impl GrantCounts {
    pub(crate) fn of(&self, grant: Grant) -> u64 {
        self.0.lock().get(&grant).copied().unwrap_or(0)
    }

    pub(crate) fn count(&self, grant: Grant) {
        *self.0.lock().entry(grant).or_default() += 1;
    }
}
