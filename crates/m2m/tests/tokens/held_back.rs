//! Failures that hold back other requests, and those that do not: an outage is every client's, a refusal is that of one
//! credential or of one user's token.

use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, User};
use m2m::{
    CachedTokens, ClientCredentials, Exchange, ExchangedTokens, FileCache, IssuerTokens,
    TokenError, TokenSource,
};
use oidc_core::Secret;
use oidc_core::client::{ClientAuth, ClientSecret, TokenEndpoint};
use oidc_core::provider::Provider;

use crate::job::{Job, endpoint, http};

/// Jobs of one client that share a folder, each in a process of its own.
struct Shared {
    job: Job,
    folder: tempfile::TempDir,
}

impl Shared {
    async fn start() -> Self {
        Self { job: Job::start().await, folder: tempfile::tempdir().unwrap() }
    }

    fn process(&self, secret: &str) -> CachedTokens {
        self.job.cached_as("job", secret).with_file_cache(&self.files())
    }

    fn files(&self) -> FileCache {
        FileCache::in_directory(self.folder.path().join("doorward"))
    }

    fn requests(&self) -> u64 {
        self.job.issuer.requests(Endpoint::Token)
    }
}

fn is_refused(answer: Result<m2m::AccessToken, TokenError>) -> bool {
    matches!(answer, Err(TokenError::Refused { .. }))
}

#[tokio::test]
async fn a_wrong_secret_holds_back_no_job_with_the_right_one() {
    let shared = Shared::start().await;
    for _ in 0..3 {
        assert!(is_refused(shared.process("guess").token().await));
    }
    let token = shared.process("job-secret").token().await.unwrap();
    assert_eq!(shared.requests(), 4);
    // Nor does it prevent the renewal of a token that a service rejected.
    assert!(is_refused(shared.process("guess").token_after(&token).await));
    let renewed = shared.process("job-secret").token_after(&token).await.unwrap();
    assert_ne!(renewed, token);
    assert_eq!(shared.requests(), 6);
    let stored = std::fs::read_dir(shared.folder.path().join("doorward")).unwrap();
    for file in stored.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()) {
        assert!(!file.contains("invalid_client") && !file.contains("guess"), "{file}");
    }
}

#[tokio::test]
async fn a_refused_source_in_the_same_process_asks_rarely() {
    let shared = Shared::start().await;
    let wrong = shared.process("guess");
    for _ in 0..20 {
        assert!(is_refused(wrong.token().await));
    }
    assert_eq!(shared.requests(), 1);
}

#[tokio::test]
async fn an_unreadable_secret_is_that_of_one_process() {
    let shared = Shared::start().await;
    let provider = Provider::new(shared.job.issuer.url().parse().unwrap(), http());
    let missing = ClientSecret::file(shared.folder.path().join("missing"));
    let unreadable = TokenEndpoint::new(provider, "job", ClientAuth::SecretBasic(missing));
    let grant = ClientCredentials::new().with_scope("score");
    let unreadable =
        CachedTokens::new(IssuerTokens::new(unreadable, grant)).with_file_cache(&shared.files());
    let error = unreadable.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    assert!(shared.process("job-secret").token().await.is_ok());
}

#[tokio::test]
async fn an_outage_is_shared_and_another_error_is_not() {
    for (status, expected) in [(429, 1), (503, 1), (500, 3), (502, 3), (400, 3), (408, 3)] {
        let shared = Shared::start().await;
        shared.job.issuer.faults().set(Fault::Down(status), Endpoint::Token);
        for _ in 0..3 {
            let error = shared.process("job-secret").token().await.unwrap_err();
            assert!(error.retry_after().is_some(), "{status}: {error}");
        }
        assert_eq!(shared.requests(), expected, "status {status}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_shared() {
    let shared = Shared::start().await;
    let (issuer, port) = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = gone.local_addr().unwrap().port();
        (format!("http://127.0.0.1:{port}/realms/lab"), port)
    };
    let tokens = || {
        let endpoint = endpoint(&issuer, http(), "job", "job-secret");
        CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()))
            .with_file_cache(&shared.files())
    };
    let first = tokens().token().await.unwrap_err();
    let _now_accepts = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    // The listener accepts and never answers; a process that asked would wait for it.
    let second = tokio::time::timeout(Duration::from_secs(2), tokens().token()).await.unwrap();
    assert_eq!(first.to_string(), second.unwrap_err().to_string());
}

/// A service that exchanges its callers' tokens.
struct Service {
    issuer: DevIssuer,
    tokens: ExchangedTokens,
}

impl Service {
    async fn start() -> Self {
        let issuer = DevIssuer::builder()
            .user(User::new("alice", "alice"))
            .user(User::new("bob", "bob"))
            .client(DevClient::public("portal").audience("reports"))
            .client(DevClient::confidential("reports", "reports-secret").audience("reports"))
            .client(DevClient::confidential("churn", "x"));
        let issuer = issuer.start("127.0.0.1:0").await.unwrap();
        let endpoint = endpoint(issuer.url(), http(), "reports", "reports-secret");
        Self { issuer, tokens: ExchangedTokens::new(endpoint) }
    }

    fn token_of(&self, user: &str) -> Secret {
        self.issuer.log_in(user, "portal", "openid").unwrap().access_token.into()
    }

    async fn exchange(&self, subject: &Secret) -> Result<m2m::AccessToken, TokenError> {
        self.tokens.exchange(subject, &Exchange::new().with_audience("churn")).await
    }

    fn requests(&self) -> u64 {
        self.issuer.requests(Endpoint::Token)
    }
}

#[tokio::test]
async fn a_failed_exchange_holds_back_one_user_only() {
    let service = Service::start().await;
    let (alice, bob) = (service.token_of("alice"), service.token_of("bob"));
    for fault in [Fault::Down(500), Fault::Garbage, Fault::CutOff] {
        service.issuer.faults().set(fault, Endpoint::Token);
        let before = service.requests();
        for _ in 0..5 {
            let error = service.exchange(&bob).await.unwrap_err();
            assert!(error.retry_after().is_some(), "{fault:?}: {error}");
        }
        assert!(service.requests() <= before + 1, "{fault:?}: bob's failures are backed off");
        service.issuer.faults().clear();
        assert!(service.exchange(&alice).await.is_ok(), "{fault:?}: alice is held back");
    }
}

#[tokio::test]
async fn a_refused_exchange_is_repeated_rarely() {
    let service = Service::start().await;
    let forged = Secret::from("eyJhbGciOiJub25lIn0.e30.");
    let before = service.requests();
    for _ in 0..20 {
        assert!(is_refused(service.exchange(&forged).await));
    }
    assert_eq!(service.requests(), before + 1);
    assert!(service.exchange(&service.token_of("alice")).await.is_ok());
}

#[tokio::test]
async fn the_first_failure_says_when_to_ask_again() {
    let job = Job::start().await;
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let wait = job.tokens.token().await.unwrap_err().retry_after();
    assert!(wait.is_some_and(|wait| wait <= Duration::from_secs(1)), "{wait:?}");
}
