use tokio::time::advance;

use super::*;
use crate::testing::replay_memory_conforms;

const LIFETIME: Duration = Duration::from_secs(80);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn local_replay_memory_conforms() {
    replay_memory_conforms(|| LocalReplayMemory::new(100_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_key_evicts_nothing_of_another() {
    let memory = LocalReplayMemory::new(1_000);
    let victim = UsedProof::new("victim", "once", LIFETIME);
    assert_eq!(memory.remember(&victim).await, Ok(ProofUse::First));
    let mut refused = 0;
    for n in 0..10_000 {
        let flood = UsedProof::new("attacker", &n.to_string(), LIFETIME);
        refused += usize::from(memory.remember(&flood).await.is_err());
    }
    assert_eq!(refused, 10_000 - 100, "a tenth for one key");
    assert_eq!(memory.remember(&victim).await, Ok(ProofUse::Repeated));
    let next = UsedProof::new("victim", "twice", LIFETIME);
    assert_eq!(memory.remember(&next).await, Ok(ProofUse::First));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_evicts_nothing() {
    let memory = LocalReplayMemory::new(1_000);
    let victim = UsedProof::new("victim", "once", LIFETIME);
    assert_eq!(memory.remember(&victim).await, Ok(ProofUse::First));
    for n in 0..10_000 {
        let _ = memory.remember(&UsedProof::new(format!("key-{n}"), "j", seconds(70))).await;
    }
    assert_eq!(memory.len(), 1_000);
    assert_eq!(memory.remember(&victim).await, Ok(ProofUse::Repeated));
    let refused = memory.remember(&UsedProof::new("victim", "twice", LIFETIME)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.retry_after, Some(seconds(71)), "{refused}");
    assert!(refused.reason.contains("1000 proofs of all keys"), "{refused}");
    // Expired proofs make room; the others stay.
    advance(seconds(71)).await;
    let next = UsedProof::new("victim", "twice", LIFETIME);
    assert_eq!(memory.remember(&next).await, Ok(ProofUse::First));
    assert_eq!(memory.remember(&victim).await, Ok(ProofUse::Repeated));
    assert_eq!(memory.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_at_its_bound_has_room_again_when_a_proof_ends() {
    let memory = LocalReplayMemory::new(100).with_proofs_per_key(3);
    let proof = |n: u64| UsedProof::new("key", &n.to_string(), seconds(10 + n));
    for n in 0..3 {
        assert_eq!(memory.remember(&proof(n)).await, Ok(ProofUse::First));
    }
    advance(seconds(10)).await;
    let refused = memory.remember(&proof(3)).await.unwrap_err();
    assert!(refused.reason.contains("3 proofs of this key"), "{refused}");
    assert!(refused.retry_after.is_some());
    assert_eq!(memory.remember(&proof(2)).await, Ok(ProofUse::Repeated), "known all the same");
    advance(Duration::from_millis(1)).await;
    assert_eq!(memory.remember(&proof(3)).await, Ok(ProofUse::First));
    assert_eq!(memory.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_proofs_that_ended() {
    let memory = LocalReplayMemory::new(100);
    for n in 0..50 {
        let proof = UsedProof::new(format!("key-{n}"), "j", seconds(n));
        assert_eq!(memory.remember(&proof).await, Ok(ProofUse::First));
    }
    advance(seconds(100)).await;
    memory.remember(&UsedProof::new("last", "j", LIFETIME)).await.unwrap();
    let used = memory.used.lock().unwrap();
    assert_eq!((used.proofs.len(), used.of_key.len(), used.ends.len()), (1, 1, 1));
}

#[test]
fn no_two_pairs_of_key_and_jti_read_alike() {
    let digest = |jkt: &str, jti: &str| *UsedProof::new(jkt, jti, LIFETIME).digest();
    assert_ne!(digest("ab", "c"), digest("a", "bc"));
    assert_ne!(digest("", "abc"), digest("abc", ""));
    assert_eq!(digest("ab", "c"), digest("ab", "c"));
}
