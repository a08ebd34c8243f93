//! A login kept in a file: refreshed once for all processes that use it, and ended only by the issuer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cli_auth::{KeptLogin, KeptLoginError, KeptLogins, Person};
use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Grant};
use m2m::{TokenError, TokenSource};
use oidc_core::Clock;
use oidc_core::client::{ClientAuth, TokenEndpoint, TokenSet, TokenType};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::provider::Provider;

#[derive(Clone, Debug)]
struct Hand(Arc<Mutex<SystemTime>>);

impl Hand {
    fn forward(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

struct Home {
    folder: tempfile::TempDir,
    issuer: DevIssuer,
    clock: Hand,
}

impl Home {
    async fn new() -> Self {
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Hand(Arc::new(Mutex::new(begin)));
        let time = clock.clone();
        let issuer = DevIssuer::demo_builder()
            .client(DevClient::public("cli"))
            .client(DevClient::public("notebook"))
            .clock(Arc::new(move || time.now()))
            .start("127.0.0.1:0")
            .await
            .unwrap();
        Self { folder: tempfile::tempdir().unwrap(), issuer, clock }
    }

    fn logins(&self) -> KeptLogins {
        KeptLogins::new(self.folder.path().join("logins")).with_clock(Arc::new(self.clock.clone()))
    }

    /// The login, as another process opens it.
    fn process(&self, client: &str) -> KeptLogin {
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
        let provider = Provider::new(self.issuer.url().parse().unwrap(), http);
        let endpoint = TokenEndpoint::new(provider, client, ClientAuth::None)
            .with_clock(Arc::new(self.clock.clone()));
        self.logins().login(endpoint)
    }

    async fn signed_in(&self, client: &str, user: &str) -> KeptLogin {
        let answer = self.issuer.log_in(user, client, "openid profile").unwrap();
        let now = self.clock.now();
        let mut tokens = TokenSet::new(answer.access_token.into());
        tokens.refresh_token = answer.refresh_token.map(Into::into);
        tokens.id_token = answer.id_token.map(Into::into);
        tokens.expires_at = Some(now + Duration::from_secs(answer.expires_in));
        let login = self.process(client);
        login.keep(Person::new(user).with_name(user), tokens).await.unwrap();
        login
    }

    fn refreshes(&self) -> u64 {
        self.issuer.token_requests_by_grant(Grant::RefreshToken)
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("logins")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn file(&self) -> PathBuf {
        let mut files = self.files().into_iter();
        files.find(|file| file.extension().is_some_and(|ends| ends == "json")).unwrap()
    }
}

#[tokio::test]
async fn a_login_is_refreshed_silently_and_kept_private() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    let first = login.token().await.unwrap();
    home.clock.forward(200);
    assert_eq!(login.token().await.unwrap(), first);
    assert_eq!(home.refreshes(), 0);
    for expected in 1..4 {
        home.clock.forward(301);
        assert_ne!(login.token().await.unwrap(), first);
        assert_eq!(home.refreshes(), expected);
    }
    for file in home.files() {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert!(!format!("{login:?}").contains(first.secret().expose()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_processes_present_a_refresh_token_once() {
    let home = Home::new().await;
    home.signed_in("cli", "alice").await;
    for _ in 0..3 {
        home.clock.forward(301);
        let before = home.refreshes();
        let processes: Vec<_> = (0..40)
            .map(|_| {
                let login = home.process("cli");
                tokio::spawn(async move { login.token().await })
            })
            .collect();
        let mut tokens = Vec::new();
        for process in processes {
            tokens.push(process.await.unwrap().unwrap());
        }
        assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]), "all have the same token");
        assert_eq!(home.refreshes(), before + 1);
    }
    assert_eq!(home.issuer.refresh_reuse_detected(), 0);
}

#[tokio::test]
async fn a_cancelled_caller_does_not_lose_the_refresh() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    home.clock.forward(301);
    home.issuer.faults().set(Fault::Slow(Duration::from_millis(400)), Endpoint::Token);
    let impatient = tokio::time::timeout(Duration::from_millis(100), login.token()).await;
    assert!(impatient.is_err(), "the answer is late");
    home.process("cli").token().await.unwrap();
    assert_eq!((home.refreshes(), home.issuer.refresh_reuse_detected()), (1, 0));
}

#[tokio::test]
async fn a_provider_that_is_down_ends_no_login() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    let first = login.token().await.unwrap();
    home.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    home.clock.forward(280);
    for _ in 0..20 {
        assert_eq!(login.token().await.unwrap(), first, "good until it ends");
    }
    assert_eq!(home.issuer.requests(Endpoint::Token), 1, "failures are backed off");
    home.clock.forward(30);
    let error = login.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    home.issuer.faults().clear();
    home.clock.forward(31);
    assert_ne!(login.token().await.unwrap(), first);
}

#[tokio::test]
async fn a_login_that_the_provider_ended_is_not_asked_for_again() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    home.issuer.end_session_for("alice").await;
    home.clock.forward(301);
    for _ in 0..3 {
        let error = login.access_token().await.unwrap_err();
        assert!(
            matches!(error, KeptLoginError::Ended { .. }) && error.is_login_needed(),
            "{error}"
        );
    }
    assert_eq!(home.refreshes(), 1);
    assert!(matches!(login.token().await.unwrap_err(), TokenError::Refused { .. }));
    let facts = login.facts().unwrap().unwrap();
    assert!(facts.ended && facts.person.subject == "alice", "the person is still known");
    let again = home.signed_in("cli", "alice").await;
    again.token().await.unwrap();
}

#[tokio::test]
async fn a_rejected_token_is_renewed_before_its_time() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    let first = login.token().await.unwrap();
    let next = login.token_after(&first).await.unwrap();
    assert_ne!(first, next);
    assert_eq!(login.token_after(&first).await.unwrap(), next, "it is another one already");
    assert_eq!(home.refreshes(), 1);
}

#[tokio::test]
async fn several_logins_are_kept_and_the_last_is_the_default() {
    let home = Home::new().await;
    assert!(home.logins().last().unwrap().is_none());
    let error = home.process("cli").access_token().await.unwrap_err();
    assert!(matches!(error, KeptLoginError::NotSignedIn { .. }), "{error}");
    for (client, user) in [("cli", "alice"), ("notebook", "alice"), ("cli", "bob")] {
        home.clock.forward(1);
        home.signed_in(client, user).await;
    }
    let all: Vec<_> = home.logins().all().unwrap();
    let found: Vec<_> =
        all.iter().map(|facts| (facts.client_id.as_str(), facts.person.subject.as_str())).collect();
    assert_eq!(found, [("cli", "bob"), ("notebook", "alice")], "a second login replaces the first");
    assert_eq!(home.logins().last().unwrap().unwrap().client_id, "cli");
}

#[tokio::test]
async fn ending_a_login_removes_it_even_while_the_issuer_is_down() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    let ended = login.end().await.unwrap();
    assert!(ended.revoked.is_ok() && ended.facts.is_some());
    assert_eq!(home.issuer.requests(Endpoint::Revocation), 2);
    assert!(home.logins().all().unwrap().is_empty());
    assert!(login.end().await.unwrap().facts.is_none(), "nothing is left to end");

    let login = home.signed_in("cli", "alice").await;
    home.issuer.stop().await;
    let ended = login.end().await.unwrap();
    assert!(ended.revoked.is_err());
    assert!(home.logins().all().unwrap().is_empty());
}

#[tokio::test]
async fn an_unusable_login_file_is_named_with_its_remedy() {
    let home = Home::new().await;
    let login = home.signed_in("cli", "alice").await;
    let file = home.file();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let error = login.access_token().await.unwrap_err();
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert!(!error.is_login_needed());
    fs::write(&file, "{\"version\":1,\"access_token\":\"hunter2\"}").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let error = login.access_token().await.unwrap_err().to_string();
    assert!(error.contains("remove it and sign in again") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_bound_token_is_never_sent_as_a_bearer_token() {
    let home = Home::new().await;
    let login = home.process("cli");
    let mut tokens = TokenSet::new("bound".into());
    tokens.token_type = TokenType::DPoP;
    login.keep(Person::new("alice"), tokens).await.unwrap();
    // Another process reads it from the file.
    let token = home.process("cli").token().await.unwrap();
    assert_eq!(token.token_type(), TokenType::DPoP);
    assert!(token.authorization().to_str().unwrap().starts_with("DPoP "));

    let mut tokens = TokenSet::new("no access token".into());
    tokens.token_type = TokenType::NotApplicable;
    let error = login.keep(Person::new("alice"), tokens).await.unwrap_err();
    assert!(matches!(error, KeptLoginError::Invalid(_)), "{error}");
}
