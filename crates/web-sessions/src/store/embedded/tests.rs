use std::time::Duration;

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use oidc_core::Clock as _;
use tempfile::TempDir;

use super::{super::conformance::conforms, *};
use crate::fixtures::*;

/// A directory of this test, and the path of a session file within a directory that is not there yet.
fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state/sessions.redb");
    (directory, path)
}

fn store(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, keys()).unwrap()
}

/// Opens a copy as a killed process would leave it: the file as it is on disk now, while the store still holds it.
fn after_a_kill(path: &Path) -> (TempDir, EmbeddedStore) {
    let (directory, copy) = place();
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(path, &copy).unwrap();
    (directory, store(&copy))
}

#[tokio::test]
async fn embedded_store_conforms() {
    let directory = TempDir::new().unwrap();
    let count = std::cell::Cell::new(0);
    conforms(|_| {
        count.set(count.get() + 1);
        store(&directory.path().join(format!("{}.redb", count.get())))
    })
    .await;
}

#[tokio::test]
async fn a_released_file_belongs_to_the_next_process() {
    let (_directory, path) = place();
    let first = store(&path);
    let record = record(MovableClock::new().now());
    let ticket = first.create(&record).await.unwrap();
    first.release().await.unwrap();
    let second = store(&path);
    assert_eq!(second.load(&ticket).await.unwrap().map(|found| found.id), Some(record.id.clone()));
    // The first one never takes it back, although it opens a file again after an error.
    for _ in 0..2 {
        let refused = first.load(&ticket).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
        assert!(first.ready().await.is_err());
    }
    drop(second);
    assert!(first.create(&record).await.is_err(), "also when nothing has it open");
}

#[tokio::test]
async fn a_kill_loses_no_acknowledged_write() {
    let (_directory, path) = place();
    let clock = MovableClock::new();
    let store = store(&path);
    let kept = record(clock.now());
    let ended = Record { id: SessionId::random(), ..kept.clone() };
    let renewed = Record { generation: 1, access_token: "new".into(), ..kept.clone() };
    let kept_ticket = store.create(&kept).await.unwrap();
    let ended_ticket = store.create(&ended).await.unwrap();
    let (_copy, found) = after_a_kill(&path);
    assert_same(&found.load(&kept_ticket).await.unwrap().unwrap(), &kept);

    store.replace(&kept_ticket, &renewed).await.unwrap().unwrap();
    let (_copy, found) = after_a_kill(&path);
    assert_same(&found.load(&kept_ticket).await.unwrap().unwrap(), &renewed);

    store.end(&ended.id).await.unwrap();
    let (_copy, found) = after_a_kill(&path);
    assert!(found.load(&ended_ticket).await.unwrap().is_none());
    assert!(found.load(&kept_ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn sessions_survive_a_restart_and_a_new_key() {
    let (_directory, path) = place();
    let clock = MovableClock::new();
    let record = record(clock.now());
    let ticket = store(&path).create(&record).await.unwrap();
    let rotated = Arc::new(Keys::new(&[[9; 32], [7; 32]]).unwrap());
    let store = EmbeddedStore::open(&path, rotated).unwrap();
    assert_same(&store.load(&ticket).await.unwrap().unwrap(), &record);
}

#[tokio::test]
async fn the_file_opens_no_session_and_shows_no_token() {
    let (_directory, path) = place();
    let store = store(&path);
    let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for secret in [ticket.expose(), "access-token", "refresh-token", "id-token", "alice"] {
        assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{secret}");
    }
}

#[test]
fn only_the_owner_may_read_the_file() {
    let (_directory, path) = place();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(store(&path));
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(store(&path));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_second_process_gets_a_clear_error() {
    let (_directory, path) = place();
    let _first = store(&path);
    let refused = EmbeddedStore::open(&path, keys()).unwrap_err();
    assert!(matches!(refused, EmbeddedError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains("in use by another process"));
}

#[test]
fn a_foreign_file_is_left_unchanged() {
    let (_directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = "not a session file".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    let refused = EmbeddedStore::open(&path, keys()).unwrap_err();
    assert!(matches!(refused, EmbeddedError::Damaged { .. }), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_record_is_skipped_and_the_others_are_there() {
    let (_directory, path) = place();
    let clock = MovableClock::new();
    let store = store(&path);
    let (damaged, whole) = (record(clock.now()), record(clock.now()));
    let damaged_ticket = store.create(&damaged).await.unwrap();
    let whole_ticket = store.create(&whole).await.unwrap();
    let mut entry = store.file.entry(&damaged_ticket.digest(), &damaged).unwrap();
    entry.damage();
    store.file.write(|writer| writer.insert(&damaged_ticket.digest(), &entry)).unwrap();

    assert!(store.load(&damaged_ticket).await.unwrap().is_none());
    assert!(store.load(&whole_ticket).await.unwrap().is_some());
    assert_eq!(store.list(10).await.unwrap(), [Summary::from(&whole)]);
    store.end(&damaged.id).await.unwrap();
}

#[tokio::test]
async fn a_record_filed_under_another_ticket_does_not_open() {
    let (_directory, path) = place();
    let clock = MovableClock::new();
    let store = store(&path);
    let (mine, theirs) = (record(clock.now()), record(clock.now()));
    let ticket = store.create(&mine).await.unwrap();
    let their_ticket = store.create(&theirs).await.unwrap();
    let entry = store.file.entry(&their_ticket.digest(), &theirs).unwrap();
    store.file.write(|writer| writer.insert(&ticket.digest(), &entry)).unwrap();
    assert!(store.load(&ticket).await.unwrap().is_none());
}

#[tokio::test]
async fn last_use_is_stored_and_expired_sessions_are_swept() {
    let (_directory, path) = place();
    let clock = MovableClock::new();
    let limits = Limits::new(Duration::from_secs(3600), Duration::from_secs(3 * 3600));
    let store = store(&path);
    let (used, unused) = (record(clock.now()), record(clock.now()));
    let used_ticket = store.create(&used).await.unwrap();
    let unused_ticket = store.create(&unused).await.unwrap();
    let seen = |record: &Record, ticket: &Ticket| Seen {
        id: record.id.clone(),
        ticket: ticket.digest(),
        at: clock.now(),
    };
    clock.advance(Duration::from_secs(3000));
    store.touch(&[seen(&used, &used_ticket)]).await.unwrap();
    clock.advance(Duration::from_secs(700));
    assert_eq!(store.sweep(&limits, clock.now()).await.unwrap(), 1);
    assert!(store.load(&unused_ticket).await.unwrap().is_none());
    let loaded = store.load(&used_ticket).await.unwrap().unwrap();
    assert_eq!(loaded.last_seen, clock.now() - Duration::from_secs(700));

    clock.advance(Duration::from_secs(3 * 3600));
    store.touch(&[seen(&used, &used_ticket)]).await.unwrap();
    assert_eq!(store.sweep(&limits, clock.now()).await.unwrap(), 1);
    assert!(store.list(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn ending_names_the_sessions_that_ended() {
    let (_directory, path) = place();
    let clock = MovableClock::new();
    let store = store(&path);
    let (one, two) = (record(clock.now()), record(clock.now()));
    store.create(&one).await.unwrap();
    store.create(&two).await.unwrap();
    let which = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    let mut ended = store.end_matching(&which, None).await.unwrap().ids;
    ended.sort();
    let mut expected = vec![one.id, two.id];
    expected.sort();
    assert_eq!(ended, expected);
    assert_eq!(store.end_matching(&which, None).await.unwrap(), Ended::default());
}

#[tokio::test]
async fn a_failed_file_is_reopened() {
    let (directory, path) = place();
    let store = store(&path);
    let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
    store.file.database.write().unwrap().database = None;
    let opened = futures_util::future::join_all((0..10).map(|_| store.load(&ticket))).await;
    assert!(opened.into_iter().all(|opened| opened.unwrap().is_some()));
    assert_eq!(store.file.database.read().unwrap().times, 2);
    store.ready().await.unwrap();

    // As long as the file cannot be opened that is an error, never "logged out".
    let (state, away) = (path.parent().unwrap(), directory.path().join("away"));
    std::fs::rename(state, &away).unwrap();
    std::fs::write(state, "in the way").unwrap();
    store.file.database.write().unwrap().database = None;
    assert!(store.load(&ticket).await.is_err());
    std::fs::remove_file(state).unwrap();
    std::fs::rename(&away, state).unwrap();
    assert!(store.load(&ticket).await.unwrap().is_some());
}

#[tokio::test]
async fn logins_beyond_the_bound_are_not_kept() {
    let (_directory, path) = place();
    let store = store(&path);
    let until = MovableClock::new().now();
    for (number, kept) in [(1, true), (2, true), (3, false)] {
        let keep = |writer: &mut Writer<'_>| writer.keep_login(&[number; 32], b"x", until, 2);
        assert_eq!(store.file.write(keep).unwrap(), kept, "{number}");
    }
    store.forget_login(&[1; 32]).await.unwrap();
    assert!(store.keep_login(&[3; 32], b"x", until).await.unwrap());
}
