//! Many callers, one request; expiry; an issuer that is away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Grant};
use m2m::{CachedTokens, ClientCredentials, IssuerTokens, TokenError, TokenSource};
use oidc_core::{
    ClientAuth, Clock, Provider, Secret, TokenEndpoint,
    http::reqwest::{HttpOptions, ReqwestHttp},
};

#[derive(Debug, Clone)]
struct Hand(Arc<Mutex<SystemTime>>);

impl Hand {
    fn now_is(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

struct Job {
    issuer: DevIssuer,
    clock: Hand,
    tokens: CachedTokens,
}

impl Job {
    async fn new() -> Self {
        let clock = Hand::now_is(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let time = clock.clone();
        let issuer = DevIssuer::builder()
            .client(DevClient::confidential("job", "job-secret").audience("churn").scope("score"))
            .clock(Arc::new(move || time.now()))
            .start("127.0.0.1:0")
            .await
            .unwrap();
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
        let provider = Provider::new(issuer.url().parse().unwrap(), http);
        let auth = ClientAuth::SecretBasic(Secret::from("job-secret"));
        let endpoint =
            TokenEndpoint::new(provider, "job", auth).with_clock(Arc::new(clock.clone()));
        let source = IssuerTokens::new(endpoint, ClientCredentials::new().with_scope("score"));
        let tokens = CachedTokens::with_clock(source, Arc::new(clock.clone()));
        Self { issuer, clock, tokens }
    }

    fn asked(&self) -> u64 {
        self.issuer.token_requests_by_grant(Grant::ClientCredentials)
    }
}

#[tokio::test]
async fn two_hundred_tasks_on_a_cold_cache_make_one_request() {
    let job = Job::new().await;
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let tokens = job.tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for task in asking {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(job.asked(), 1);
}

#[tokio::test]
async fn a_token_is_served_from_memory_for_most_of_its_life() {
    let job = Job::new().await;
    let first = job.tokens.token().await.unwrap();
    job.clock.forward(Duration::from_secs(260));
    let later = job.tokens.token().await.unwrap();
    assert_eq!(first.secret.expose(), later.secret.expose());
    assert_eq!(job.asked(), 1);
}

#[tokio::test]
async fn an_expired_token_is_never_served() {
    let job = Job::new().await;
    let first = job.tokens.token().await.unwrap();
    job.clock.forward(Duration::from_secs(301));
    let next = job.tokens.token().await.unwrap();
    assert_ne!(first.secret.expose(), next.secret.expose());
}

#[tokio::test]
async fn the_present_token_is_served_while_the_issuer_is_down() {
    let job = Job::new().await;
    let first = job.tokens.token().await.unwrap();
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    job.clock.forward(Duration::from_secs(285));
    for _ in 0..50 {
        assert_eq!(job.tokens.token().await.unwrap().secret.expose(), first.secret.expose());
    }
    assert!(job.issuer.requests(Endpoint::Token) <= 2, "failures are not backed off");
}

#[tokio::test]
async fn failures_are_backed_off() {
    let job = Job::new().await;
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    for _ in 0..100 {
        let error = job.tokens.token().await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    }
    assert_eq!(job.issuer.requests(Endpoint::Token), 1);
    job.issuer.faults().clear();
    job.clock.forward(Duration::from_secs(31));
    assert!(job.tokens.token().await.is_ok());
}

#[tokio::test]
async fn a_wrong_secret_is_told_apart_from_an_issuer_that_is_away() {
    let job = Job::new().await;
    let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
    let provider = Provider::new(job.issuer.url().parse().unwrap(), http);
    let endpoint =
        TokenEndpoint::new(provider, "job", ClientAuth::SecretBasic(Secret::from("guess")));
    let tokens = CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()));
    let error = tokens.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Refused { .. }), "{error}");
    assert!(!format!("{error:?}").contains("guess"));
}
