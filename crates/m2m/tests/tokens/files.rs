//! Tokens in files, shared by processes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dev_issuer::{Endpoint, Fault};
use m2m::{CachedTokens, FileCache, TokenError, TokenSource};
use oidc_core::Secret;
use serde_json::{Value, json};

use crate::job::Job;

/// A job, a folder for its tokens, and any number of caches, each as in a process of its own.
struct Shared {
    job: Job,
    folder: tempfile::TempDir,
}

impl Shared {
    async fn start() -> Self {
        Self { job: Job::start().await, folder: tempfile::tempdir().unwrap() }
    }

    fn files(&self) -> FileCache {
        FileCache::in_directory(self.folder.path().join("doorward"))
    }

    fn process(&self) -> CachedTokens {
        self.job.cached_as("job", "job-secret").with_file_cache(&self.files())
    }

    /// The entry's file, which is written already.
    fn entry(&self) -> PathBuf {
        let folder = self.folder.path().join("doorward");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_entry = |path: &PathBuf| path.extension().is_some_and(|it| it != "lock");
        let mut entries: Vec<_> = entries.filter(is_entry).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    async fn with_entry() -> (Self, PathBuf) {
        let shared = Self::start().await;
        shared.process().token().await.unwrap();
        let entry = shared.entry();
        (shared, entry)
    }

    /// Checks that the file is not used, and is replaced by a valid one.
    async fn refuses_and_replaces(&self, entry: &Path) {
        let before = self.job.asked();
        let token = self.process().token().await.unwrap();
        assert_eq!(self.job.asked(), before + 1, "it was believed");
        let found = fs::symlink_metadata(entry).unwrap();
        assert!(found.is_file() && found.mode() & 0o7777 == 0o600, "it was not replaced");
        assert_eq!(self.process().token().await.unwrap(), token);
        assert_eq!(self.job.asked(), before + 1);
    }
}

fn edited(entry: &Path, edit: impl FnOnce(&mut Value)) {
    let mut record = serde_json::from_slice(&fs::read(entry).unwrap()).unwrap();
    edit(&mut record);
    fs::write(entry, record.to_string()).unwrap();
}

#[tokio::test]
async fn the_second_process_sends_no_request() {
    let shared = Shared::start().await;
    let first = shared.process().token().await.unwrap();
    let second = shared.process().token().await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.expires_at(), second.expires_at());
    assert_eq!(shared.job.asked(), 1);
}

#[tokio::test]
async fn fifty_caches_that_start_together_ask_once() {
    let shared = Shared::start().await;
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let tokens = shared.process();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for task in asking {
        task.await.unwrap().unwrap();
    }
    assert_eq!(shared.job.asked(), 1);
}

#[tokio::test]
async fn folder_and_file_are_private_and_their_names_reveal_nothing() {
    let (_shared, entry) = Shared::with_entry().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(entry.parent().unwrap()), 0o700);
    for file in fs::read_dir(entry.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600);
        let name = file.file_name().into_string().unwrap();
        assert!(!name.contains("job"), "{name}");
    }
}

#[tokio::test]
async fn a_refresh_is_made_by_one_process_for_all() {
    let shared = Shared::start().await;
    let processes: Vec<_> = (0..10).map(|_| shared.process()).collect();
    for tokens in &processes {
        tokens.token().await.unwrap();
    }
    let first = processes[0].token().await.unwrap();
    shared.job.pass(Duration::from_secs(277)).await;
    for tokens in &processes {
        assert_eq!(tokens.token().await.unwrap(), first, "no caller waits for a refresh");
    }
    for tokens in &processes {
        shared.job.until(|_| tokens.current().filter(|token| *token != first)).await;
    }
    assert_eq!(shared.job.asked(), 2);
}

#[tokio::test]
async fn a_new_process_renews_an_ageing_token_or_keeps_it_on_failure() {
    let shared = Shared::start().await;
    let first = shared.process().token().await.unwrap();
    shared.job.pass(Duration::from_secs(280)).await;
    shared.job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    for _ in 0..20 {
        assert_eq!(shared.process().token().await.unwrap(), first);
    }
    assert_eq!(shared.job.issuer.requests(Endpoint::Token), 2, "the failure is known to all");
    shared.job.issuer.faults().clear();
    shared.job.pass(Duration::from_secs(2)).await;
    assert_ne!(shared.process().token().await.unwrap(), first);
}

#[tokio::test]
async fn a_dead_issuer_is_not_stormed_by_short_jobs() {
    let shared = Shared::start().await;
    shared.job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    for _ in 0..100 {
        let error = shared.process().token().await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("status 503"), "{error}");
        assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(1)));
    }
    assert_eq!(shared.job.issuer.requests(Endpoint::Token), 1);
    shared.job.issuer.faults().clear();
    shared.job.pass(Duration::from_secs(2)).await;
    assert!(shared.process().token().await.is_ok());
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once_for_all_processes() {
    let shared = Shared::start().await;
    let mut last = shared.process().token().await.unwrap();
    for _ in 0..20 {
        last = shared.process().token_after(&last).await.unwrap();
    }
    assert_eq!(shared.job.asked(), 2);
    shared.job.pass(Duration::from_secs(31)).await;
    assert_ne!(shared.process().token_after(&last).await.unwrap(), last);
    assert_eq!(shared.job.asked(), 3);
}

#[tokio::test]
async fn clients_scopes_and_audiences_do_not_share() {
    use m2m::{ClientCredentials, IssuerTokens};
    let shared = Shared::start().await;
    let key = |grant: ClientCredentials| {
        IssuerTokens::new(shared.job.endpoint("job", "job-secret"), grant).cache_key().unwrap()
    };
    let keys = [
        key(ClientCredentials::new()),
        key(ClientCredentials::new().with_scope("score")),
        key(ClientCredentials::new().with_audience("churn")),
        key(ClientCredentials::new().with_resource("https://churn.example")),
        IssuerTokens::new(shared.job.endpoint("other", "job-secret"), ClientCredentials::new())
            .cache_key()
            .unwrap(),
    ];
    for (at, one) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(one));
    }
    let secret = IssuerTokens::new(shared.job.endpoint("job", "rotated"), ClientCredentials::new());
    assert_eq!(secret.cache_key().unwrap(), keys[0], "a new secret is the same client");
}

#[tokio::test]
async fn a_file_that_is_cut_short_is_replaced() {
    let (shared, entry) = Shared::with_entry().await;
    let whole = fs::read(&entry).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&entry, &whole[..length]).unwrap();
        shared.refuses_and_replaces(&entry).await;
    }
    fs::write(&entry, b"\xff\xfe no text").unwrap();
    shared.refuses_and_replaces(&entry).await;
}

#[tokio::test]
async fn a_file_of_another_version_or_source_is_replaced() {
    let (shared, entry) = Shared::with_entry().await;
    edited(&entry, |record| record["version"] = json!(1));
    shared.refuses_and_replaces(&entry).await;
    edited(&entry, |record| record["key"] = json!("0".repeat(64)));
    shared.refuses_and_replaces(&entry).await;
}

#[tokio::test]
async fn a_file_that_others_can_open_is_replaced() {
    let (shared, entry) = Shared::with_entry().await;
    for mode in [0o644, 0o640, 0o606] {
        fs::set_permissions(&entry, Permissions::from_mode(mode)).unwrap();
        shared.refuses_and_replaces(&entry).await;
    }
}

#[tokio::test]
async fn a_link_is_replaced_and_what_it_points_at_is_left_alone() {
    let (shared, entry) = Shared::with_entry().await;
    let elsewhere = shared.folder.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    shared.refuses_and_replaces(&entry).await;
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_another_user_is_replaced() {
    let (shared, entry) = Shared::with_entry().await;
    // Only root can change a file's owner; other users cannot test this case.
    if std::os::unix::fs::chown(&entry, Some(12345), None).is_ok() {
        shared.refuses_and_replaces(&entry).await;
    }
}

#[tokio::test]
async fn a_file_that_says_something_impossible_is_replaced() {
    let (shared, entry) = Shared::with_entry().await;
    let later = |value: &Value, by: u64| json!(value.as_u64().unwrap() + by);
    let (hour, decade) = (3_600_000, 11 * 365 * 24 * 3_600_000);
    edited(&entry, |record| {
        record["token"]["issued_at"] = later(&record["token"]["issued_at"], hour);
        record["token"]["expires_at"] = later(&record["token"]["expires_at"], hour);
    });
    shared.refuses_and_replaces(&entry).await;
    edited(&entry, |record| {
        record["token"]["expires_at"] = later(&record["token"]["expires_at"], decade);
    });
    shared.refuses_and_replaces(&entry).await;
    edited(&entry, |record| record["token"]["access_token"] = json!("two\r\nlines"));
    shared.refuses_and_replaces(&entry).await;
    edited(&entry, |record| record["token"]["expires_at"] = json!(u64::MAX));
    shared.refuses_and_replaces(&entry).await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_replaced() {
    let (shared, entry) = Shared::with_entry().await;
    fs::write(&entry, " ".repeat(2 << 20)).unwrap();
    shared.refuses_and_replaces(&entry).await;
}

#[tokio::test]
async fn what_killed_writers_left_is_swept_up() {
    let (shared, entry) = Shared::with_entry().await;
    let name = entry.file_name().unwrap().to_str().unwrap();
    let left = entry.with_file_name(format!(".{name}.0123456789abcdef"));
    fs::write(&left, "half a tok").unwrap();
    fs::remove_file(&entry).unwrap();
    shared.process().token().await.unwrap();
    assert!(!left.exists());
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_not_used() {
    let shared = Shared::start().await;
    let folder = shared.folder.path().join("doorward");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    shared.process().token().await.unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_costs_the_sharing_only() {
    let shared = Shared::start().await;
    let file = shared.folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for place in [file, PathBuf::from("/proc/doorward")] {
        let files = FileCache::in_directory(place);
        let tokens = shared.job.cached_as("job", "job-secret").with_file_cache(&files);
        let before = shared.job.asked();
        for _ in 0..10 {
            tokens.token().await.unwrap();
        }
        assert_eq!(shared.job.asked(), before + 1);
    }
}

#[tokio::test]
async fn a_sealed_file_is_of_use_with_its_key_only() {
    let shared = Shared::start().await;
    let with_key = |key: &str| {
        let folder = shared.folder.path().join("doorward");
        let files = FileCache::sealed(folder, &Secret::from(key)).unwrap();
        shared.job.cached_as("job", "job-secret").with_file_cache(&files)
    };
    let (key, other) = ("k".repeat(32), "o".repeat(32));
    let token = with_key(&key).token().await.unwrap();
    assert_eq!(with_key(&key).token().await.unwrap(), token);
    assert_eq!(shared.job.asked(), 1);
    let text = fs::read_to_string(shared.entry()).unwrap();
    assert!(!text.contains(token.secret().expose()));

    let renewed = with_key(&other).token().await.unwrap();
    assert_ne!(renewed, token);
    assert_eq!(shared.job.asked(), 2, "the wrong key opens nothing, and a new token is sealed");
    assert_eq!(with_key(&other).token().await.unwrap(), renewed);
}
