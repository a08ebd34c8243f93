use std::sync::Arc;

use ::api_keys::{KeyRules, Owner};

use super::*;
use crate::{
    store::EmbeddedStore,
    testing::{MovableClock, person},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Stage {
    clock: Arc<MovableClock>,
    seals: Arc<Keys>,
    ring: Arc<ApiKeys>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, seals) = (MovableClock::new(), Arc::new(Keys::new(&[[7; 32]]).unwrap()));
        let ring = ring(&folder, &seals, &clock);
        Self { clock, seals, ring, folder }
    }

    fn new_key(&self, owner: Owner) -> NewKey {
        NewKey {
            owner,
            name: "alice".to_owned(),
            routes: vec!["index".to_owned()],
            label: "laptop".to_owned(),
            expires_at: self.clock.now() + DAY,
        }
    }

    /// Opens the file again, as another process does after this one.
    fn restarted(self) -> Self {
        let Self { clock, seals, ring: old, folder } = self;
        drop(old);
        let again = ring(&folder, &seals, &clock);
        Self { clock, seals, ring: again, folder }
    }
}

fn ring(folder: &tempfile::TempDir, seals: &Arc<Keys>, clock: &Arc<MovableClock>) -> Arc<ApiKeys> {
    let store = EmbeddedStore::open(&folder.path().join("s.redb"), Arc::clone(seals)).unwrap();
    let clock: Arc<dyn Clock> = clock.clone();
    let ring = ApiKeys::new(Arc::new(store), Arc::clone(seals), clock);
    ring.keep_owners(Some(30 * DAY));
    Arc::new(ring)
}

#[tokio::test]
async fn a_key_has_the_identity_that_was_stated_last() {
    let stage = Stage::new();
    let mut alice = person("main", "alice");
    let (key, record) = stage.ring.create(stage.new_key(Owner::user(&alice))).await.unwrap();
    let found = stage.ring.find(key.id()).await.unwrap().unwrap();
    assert!(found.owner.is_none(), "she has not signed in");
    stage.ring.note_owner(&alice, stage.clock.now()).await.unwrap();
    let owner = || async { stage.ring.find(key.id()).await.unwrap().unwrap().owner.unwrap() };
    assert_eq!(owner().await.record().known.roles, ["data-scientist"]);
    assert!(owner().await.record().known.scopes.is_empty());
    assert!(stage.ring.remembered(key.id()).is_some());
    stage.clock.advance(DAY / 2);
    alice.roles.clear();
    stage.ring.note_owner(&alice, stage.clock.now()).await.unwrap();
    assert!(stage.ring.remembered(key.id()).is_none(), "what changed is read again");
    assert!(owner().await.record().known.roles.is_empty());
    // An identity that was stated earlier and arrives later changes nothing.
    alice.roles.push("admin".to_owned());
    stage.ring.note_owner(&alice, stage.clock.now() - DAY).await.unwrap();
    assert!(owner().await.record().known.roles.is_empty());
    // The same subject of another issuer is another person.
    let other = person("other", "alice");
    stage.ring.note_owner(&other, stage.clock.now()).await.unwrap();
    assert_eq!(owner().await.record().known.issuer, "main");
    assert!(record.check(&key).is_ok());
    let text = format!("{:?} {:?}", stage.ring, stage.ring.find(key.id()).await.unwrap());
    assert!(!text.contains(key.expose()));
}

#[tokio::test]
async fn a_revoked_key_is_told_and_stays_revoked() {
    let stage = Stage::new();
    let owner = Owner::client("main", "https://main.example", "ci");
    let (key, _) = stage.ring.create(stage.new_key(owner.clone())).await.unwrap();
    let (other, _) = stage.ring.create(stage.new_key(owner.clone())).await.unwrap();
    let found = stage.ring.find(key.id()).await.unwrap().unwrap();
    assert_eq!(found.key.client().unwrap().client.as_deref(), Some("ci"));
    let changes = found.key.changes().notified();
    stage.ring.revoke(key.id()).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(20), changes).await.expect("a stream is told");
    let rules = KeyRules { max_age: 90 * DAY, suspend_after: 30 * DAY };
    let code = |found: &Found| {
        rules.check(found.key.record(), stage.clock.now()).err().map(|error| error.code())
    };
    assert_eq!(code(&stage.ring.find(key.id()).await.unwrap().unwrap()), Some("revoked"));
    assert_eq!(code(&stage.ring.find(other.id()).await.unwrap().unwrap()), None);
    let revoked = stage.ring.revoke_all_of(&owner).await.unwrap();
    assert_eq!(revoked, std::slice::from_ref(other.id()));
    let unknown = ::api_keys::ApiKey::new(&[1; ::api_keys::ApiKey::RANDOM]);
    assert!(stage.ring.revoke(unknown.id()).await.unwrap().is_none());
    assert!(stage.ring.find(unknown.id()).await.unwrap().is_none());
    let stage = stage.restarted();
    let again = stage.ring.find(other.id()).await.unwrap().unwrap();
    assert!(again.key.record().revoked_at.is_some());
    assert_eq!(stage.ring.of(&owner).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_use_is_stored_once_a_minute() {
    let stage = Stage::new();
    let owner = Owner::client("main", "https://main.example", "ci");
    let (key, _) = stage.ring.create(stage.new_key(owner.clone())).await.unwrap();
    let last = || async { stage.ring.of(&owner).await.unwrap().remove(0).last_used };
    assert_eq!(last().await, None);
    let found = stage.ring.find(key.id()).await.unwrap().unwrap();
    let first = stage.clock.now();
    stage.ring.used(&found.key);
    stage.ring.used(&found.key);
    assert_eq!(stage.ring.unwritten().len(), 1);
    stage.ring.flush().await;
    stage.clock.advance(Duration::from_secs(59));
    stage.ring.used(&found.key);
    assert!(stage.ring.unwritten().is_empty());
    assert_eq!(last().await, Some(stage.clock.now()), "this process knows the later use");
    let stage = stage.restarted();
    let kept = stage.ring.of(&owner).await.unwrap().remove(0).last_used;
    assert_eq!(kept, Some(first));
}

#[tokio::test]
async fn keys_survive_the_rotation_of_the_session_key() {
    let stage = Stage::new();
    let owner = Owner::client("main", "https://main.example", "ci");
    let (key, _) = stage.ring.create(stage.new_key(owner)).await.unwrap();
    stage.seals.replace(&[[8; 32], [7; 32]]).unwrap();
    stage.ring.sweep().await.unwrap();
    stage.seals.replace(&[[8; 32]]).unwrap();
    let stage = stage.restarted();
    assert!(stage.ring.find(key.id()).await.unwrap().is_some());
    stage.seals.replace(&[[9; 32]]).unwrap();
    let stage = stage.restarted();
    assert!(stage.ring.find(key.id()).await.unwrap().is_none(), "without any of its keys");
}

#[tokio::test]
async fn people_are_found_by_user_name_and_subject() {
    let stage = Stage::new();
    let mut alice = person("main", "a1");
    alice.preferred_username = Some("alice".to_owned());
    stage.ring.note_owner(&alice, stage.clock.now()).await.unwrap();
    let mut impostor = person("main", "alice");
    impostor.preferred_username = Some("mallory".to_owned());
    let count = |name: &'static str| {
        let ring = Arc::clone(&stage.ring);
        async move { ring.people("main", name).await.unwrap().len() }
    };
    assert_eq!((count("alice").await, count("a1").await, count("bob").await), (1, 1, 0));
    stage.ring.note_owner(&impostor, stage.clock.now()).await.unwrap();
    assert_eq!(count("alice").await, 2, "two people could be meant");
    // A user name that changed finds its person no more.
    stage.clock.advance(DAY);
    alice.preferred_username = Some("alicia".to_owned());
    stage.ring.note_owner(&alice, stage.clock.now()).await.unwrap();
    assert_eq!((count("alice").await, count("alicia").await), (1, 1));
}

#[tokio::test]
async fn an_owner_has_a_bounded_number_of_keys() {
    let stage = Stage::new();
    let owner = Owner::client("main", "https://main.example", "ci");
    let mut made = 0;
    while stage.ring.create(stage.new_key(owner.clone())).await.is_ok() {
        made += 1;
        assert!(made <= 200);
    }
    assert_eq!(made, 200);
    assert_eq!(
        stage.ring.create(stage.new_key(owner.clone())).await.err(),
        Some(NotCreated::TooMany)
    );
    stage.clock.advance(32 * DAY);
    stage.ring.sweep().await.unwrap();
    assert!(stage.ring.create(stage.new_key(owner)).await.is_ok(), "those that ended are deleted");
}
