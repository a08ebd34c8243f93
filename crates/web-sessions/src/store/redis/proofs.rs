//! Memory for used DPoP proofs that several processes share (RFC 9449 §11.1).

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use oidc_core::dpop::{ProofUse, ReplayMemory, ReplayMemoryUnavailable, UsedProof};

use super::{
    link::Link,
    millis,
    names::{self, Names},
    scripts,
};

/// Unexpired proofs of one key. They are in one sorted set, so that one key uses up no other's share.
const PER_KEY: u64 = 10_000;

/// Remembers used proofs on the server. A proof is also refused when a call was repeated on a new connection and the first attempt
/// had arrived: the client makes another.
#[derive(Clone)]
pub struct SharedReplayMemory {
    calls: Arc<Link>,
    names: Names,
}

impl SharedReplayMemory {
    pub(super) fn new(calls: Arc<Link>, names: Names) -> Self {
        Self { calls, names }
    }
}

#[async_trait]
impl ReplayMemory for SharedReplayMemory {
    async fn remember(&self, proof: &UsedProof) -> Result<ProofUse, ReplayMemoryUnavailable> {
        let lifetime = millis(proof.lifetime()).max(1);
        let script = scripts::ENTER
            .on([self.names.proofs(proof.jkt())])
            .arg(names::text(proof.digest()))
            .arg(lifetime)
            .arg(PER_KEY);
        match self.calls.call::<i8>("remember_proof", script).await {
            Ok(1) => Ok(ProofUse::First),
            Ok(0) => Ok(ProofUse::Repeated),
            Ok(_) => Err(ReplayMemoryUnavailable {
                reason: format!("one key has {PER_KEY} unexpired proofs"),
                retry_after: Some(proof.lifetime()),
            }),
            Err(error) => {
                Err(ReplayMemoryUnavailable { reason: error.to_string(), retry_after: None })
            }
        }
    }
}

impl fmt::Debug for SharedReplayMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReplayMemory").finish_non_exhaustive()
    }
}
