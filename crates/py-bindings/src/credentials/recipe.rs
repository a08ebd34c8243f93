//! Settings of a source of tokens: plain values, so that each process makes its own source.

use std::path::PathBuf;

use m2m::{CachedTokens, ClientCredentials, ExchangedTokens, FileCache, IssuerTokens};
use oidc_core::client::{ClientAuth, TokenEndpoint};

use crate::trusted::Parts;

/// Client, authentication and grant of a source of tokens.
pub(crate) struct Recipe {
    pub(crate) client_id: String,
    pub(crate) authentication: ClientAuth,
    pub(crate) grant: ClientCredentials,
    /// Directory in which processes share their tokens.
    pub(crate) cache_dir: Option<PathBuf>,
}

impl Recipe {
    pub(super) fn tokens(&self, parts: &Parts) -> CachedTokens {
        let tokens = CachedTokens::new(IssuerTokens::new(self.endpoint(parts), self.grant.clone()));
        match &self.cache_dir {
            Some(directory) => tokens.with_file_cache(&FileCache::in_directory(directory)),
            None => tokens,
        }
    }

    /// Tokens obtained in exchange for callers' tokens (RFC 8693). They are kept in memory only.
    pub(super) fn exchanged(&self, parts: &Parts) -> ExchangedTokens {
        ExchangedTokens::new(self.endpoint(parts))
    }

    pub(super) fn endpoint(&self, parts: &Parts) -> TokenEndpoint {
        let (provider, auth) = (parts.provider.clone(), self.authentication.clone());
        TokenEndpoint::new(provider, self.client_id.as_str(), auth)
    }
}
