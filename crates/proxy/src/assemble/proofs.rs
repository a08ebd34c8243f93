//! Checks of DPoP proofs, by the configuration.

use std::sync::Arc;

use oidc_core::dpop::{DpopChecker, DpopPolicy, ReplayMemory};
use web_sessions::Keys;

use super::{AssembleError, at};
use crate::config::{BoundTo, Config};

/// The checker of a configuration, with the memory of used proofs that outlives it. Gateways that share the session keys make the
/// same nonces.
pub(super) fn checker(
    config: &Config,
    keys: &Keys,
    memory: &Arc<dyn ReplayMemory>,
) -> Result<Arc<DpopChecker>, AssembleError> {
    let mut policy = DpopPolicy::default().with_max_age(config.dpop.max_age);
    if let Some(lifetime) = config.dpop.nonce {
        let key = keys.derive_secret("dpop nonce").map_err(at("session.key"))?;
        policy = policy.with_shared_nonces(lifetime, &key);
    }
    Ok(Arc::new(DpopChecker::new(policy, Arc::clone(memory))))
}

/// Whether an issuer accepts no tokens but those with a proof.
pub(super) fn are_required(config: &Config) -> bool {
    config.issuers.values().any(|issuer| issuer.tokens.bound == Some(BoundTo::Dpop))
}
