//! Conformance of every [`ReplayMemory`]. An adapter's test calls [`replay_memory_conforms`].

use std::sync::Arc;
use std::time::Duration;

use crate::dpop::{ProofUse, ReplayMemory, UsedProof};

fn proof(jkt: &str, jti: &str) -> UsedProof {
    UsedProof::new(jkt, jti, Duration::from_secs(80))
}

/// Checks an adapter of [`ReplayMemory`]. Each call of `fresh` returns an empty one, with room for
/// a thousand proofs of one key. Nothing waits here; the adapter itself must test that proofs are
/// dropped in the end.
///
/// # Panics
///
/// If it does not conform.
pub async fn replay_memory_conforms<M: ReplayMemory + 'static>(fresh: impl Fn() -> M) {
    a_proof_is_first_once(&fresh()).await;
    keys_do_not_share_their_proofs(&fresh()).await;
    any_text_is_a_jti(&fresh()).await;
    of_many_at_once_one_is_first(Arc::new(fresh())).await;
    many_proofs_of_one_key_are_each_known(&fresh()).await;
}

async fn use_of(memory: &impl ReplayMemory, proof: &UsedProof) -> ProofUse {
    memory.remember(proof).await.expect("there is room")
}

async fn a_proof_is_first_once(memory: &impl ReplayMemory) {
    assert_eq!(use_of(memory, &proof("key", "jti")).await, ProofUse::First);
    for _ in 0..3 {
        assert_eq!(use_of(memory, &proof("key", "jti")).await, ProofUse::Repeated);
    }
    // Regardless of the second proof's lifetime.
    for lifetime in [Duration::ZERO, Duration::from_secs(600)] {
        let again = UsedProof::new("key", "jti", lifetime);
        assert_eq!(use_of(memory, &again).await, ProofUse::Repeated);
    }
}

async fn keys_do_not_share_their_proofs(memory: &impl ReplayMemory) {
    for (jkt, jti) in [("one", "jti"), ("two", "jti"), ("one", "jtj"), ("onej", "ti")] {
        assert_eq!(use_of(memory, &proof(jkt, jti)).await, ProofUse::First, "{jkt} {jti}");
    }
}

async fn any_text_is_a_jti(memory: &impl ReplayMemory) {
    for jti in ["", " ", "\0", "a:b", "a\r\nb", "*", "{x}", &"x".repeat(16 * 1024)] {
        assert_eq!(use_of(memory, &proof("key", jti)).await, ProofUse::First, "{jti:.20}");
        assert_eq!(use_of(memory, &proof("key", jti)).await, ProofUse::Repeated, "{jti:.20}");
    }
}

async fn of_many_at_once_one_is_first<M: ReplayMemory + 'static>(memory: Arc<M>) {
    for round in 0..20 {
        let uses = (0..16).map(|_| {
            let memory = Arc::clone(&memory);
            let proof = proof("key", &format!("at-once-{round}"));
            tokio::spawn(async move { memory.remember(&proof).await })
        });
        let mut first = 0;
        for one in uses.collect::<Vec<_>>() {
            first += usize::from(
                one.await.expect("no panic").expect("there is room") == ProofUse::First,
            );
        }
        assert_eq!(first, 1);
    }
}

async fn many_proofs_of_one_key_are_each_known(memory: &impl ReplayMemory) {
    for n in 0..1_000 {
        assert_eq!(use_of(memory, &proof("key", &n.to_string())).await, ProofUse::First);
    }
    for n in 0..1_000 {
        assert_eq!(use_of(memory, &proof("key", &n.to_string())).await, ProofUse::Repeated);
    }
}
