//! What a source of tokens is made of: plain values, so that each process makes its own.

use std::path::PathBuf;

use m2m::{CachedTokens, ClientCredentials, ExchangedTokens, FileCache, IssuerTokens};
use oidc_core::{ClientAuth, TokenEndpoint};

use crate::trusted::Parts;

/// Who asks, how, and for what.
pub(crate) struct Recipe {
    pub(crate) client_id: String,
    pub(crate) authentication: ClientAuth,
    pub(crate) grant: ClientCredentials,
    /// Where processes share their tokens.
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

    /// Tokens of others, for theirs. They are kept in memory only.
    pub(super) fn exchanged(&self, parts: &Parts) -> ExchangedTokens {
        ExchangedTokens::new(self.endpoint(parts))
    }

    pub(super) fn endpoint(&self, parts: &Parts) -> TokenEndpoint {
        let (provider, auth) = (parts.provider.clone(), self.authentication.clone());
        TokenEndpoint::new(provider, self.client_id.as_str(), auth)
    }
}
