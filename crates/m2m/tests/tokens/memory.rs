//! Tokens kept in memory, against a provider that counts its token requests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dev_issuer::{Endpoint, Fault};
use futures_util::FutureExt as _;
use http::{Request, Response};
use m2m::{AccessToken, CachedTokens, ClientCredentials, IssuerTokens, TokenError, TokenSource};
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::http::{Http, HttpError};
use oidc_core::provider::{Provider, ProviderMetadata};

use crate::job::Job;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn two_hundred_tasks_on_a_cold_cache_make_one_request() {
    let job = Job::start().await;
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
    let job = Job::start().await;
    let first = job.tokens.token().await.unwrap();
    job.pass(Duration::from_secs(269)).await;
    let later = job.tokens.token().await.unwrap();
    assert_eq!(first, later);
    assert_eq!(job.asked(), 1);
}

#[tokio::test]
async fn an_expired_token_is_never_served() {
    let job = Job::start().await;
    let first = job.tokens.token().await.unwrap();
    job.pass(Duration::from_secs(301)).await;
    let next = job.tokens.token().await.unwrap();
    assert_ne!(first, next);
}

#[tokio::test]
async fn the_present_token_is_served_while_the_issuer_is_down() {
    let job = Job::start().await;
    let first = job.tokens.token().await.unwrap();
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    job.pass(Duration::from_secs(285)).await;
    for _ in 0..50 {
        assert_eq!(job.tokens.token().await.unwrap(), first);
    }
    assert!(job.issuer.requests(Endpoint::Token) <= 2, "failures are not backed off");
}

#[tokio::test]
async fn a_refresh_does_not_make_anybody_wait() {
    let job = Job::start().await;
    let first = job.tokens.token().await.unwrap();
    job.pass(Duration::from_secs(277)).await;
    assert_eq!(job.tokens.token().await.unwrap(), first);
    let newer = job.until(|tokens| tokens.current().filter(|token| *token != first)).await;
    assert!(newer.expires_at() > first.expires_at());
    assert_eq!(job.asked(), 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_request_along() {
    let job = Job::start().await;
    job.issuer.faults().set(Fault::Slow(Duration::from_millis(50)), Endpoint::Token);
    let tokens = job.tokens.clone();
    let first = tokio::spawn(async move { tokens.token().await });
    job.until(|_| (job.asked() == 1).then_some(())).await;
    first.abort();
    assert!(job.tokens.token().await.is_ok());
    assert_eq!(job.asked(), 1);
}

#[tokio::test]
async fn failures_are_backed_off_and_the_last_one_is_told_meanwhile() {
    let job = Job::start().await;
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    for _ in 0..100 {
        let error = job.tokens.token().await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
        assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(1)));
    }
    assert_eq!(job.issuer.requests(Endpoint::Token), 1);
    job.issuer.faults().clear();
    job.pass(Duration::from_secs(2)).await;
    assert!(job.tokens.token().await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_stays_away_is_asked_ever_more_rarely() {
    let job = Job::start().await;
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    for _ in 0..10 * 60 {
        job.tokens.token().await.unwrap_err();
        job.pass(Duration::from_secs(1)).await;
    }
    let asked = job.issuer.requests(Endpoint::Token);
    assert!((20..=33).contains(&asked), "{asked} requests in ten minutes");
}

#[tokio::test]
async fn a_wrong_secret_is_told_apart_from_an_issuer_that_is_away() {
    let job = Job::start().await;
    let tokens = job.cached_as("job", "guess");
    let error = tokens.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Refused { .. }), "{error}");
    assert!(!format!("{error:?}").contains("guess"));
}

/// Fails with 503 and `Retry-After`.
#[derive(Debug, Default)]
struct Overloaded(std::sync::atomic::AtomicU64);

#[async_trait::async_trait]
impl Http for Overloaded {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = Response::builder().status(503).header("retry-after", "120");
        Ok(answer.body(Bytes::new()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn the_issuer_says_when_to_come_back() {
    let http = Arc::new(Overloaded::default());
    let issuer = "https://id.example".parse().unwrap();
    let metadata = ProviderMetadata::parse(
        &issuer,
        br#"{"issuer":"https://id.example","authorization_endpoint":"https://id.example/auth",
            "token_endpoint":"https://id.example/token","jwks_uri":"https://id.example/certs"}"#,
    );
    let provider = Provider::with_metadata(metadata.unwrap(), http.clone());
    let auth = ClientAuth::SecretBasic("job-secret".into());
    let endpoint = TokenEndpoint::new(provider, "job", auth);
    let tokens = CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()));
    let asked = || http.0.load(std::sync::atomic::Ordering::SeqCst);

    tokens.token().await.unwrap_err();
    tokio::time::advance(Duration::from_secs(119)).await;
    let error = tokens.token().await.unwrap_err();
    assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(1)), "{error:?}");
    assert_eq!(asked(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    tokens.token().await.unwrap_err();
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_causes_one_request() {
    let job = Job::start().await;
    job.tokens.token().await.unwrap();
    job.clock.advance(24 * 60 * MINUTE);
    for _ in 0..100 {
        job.tokens.token().await.unwrap();
    }
    assert_eq!(job.asked(), 2);
}

#[tokio::test]
async fn a_clock_an_hour_ahead_causes_no_request_per_call() {
    let job = Job::start().await;
    // The issuer's own clock stays, so its tokens have expired by the job's clock when they arrive.
    let ahead = job.clock.elsewhere(60 * MINUTE);
    let tokens = CachedTokens::new(Lent(job.tokens.clone())).with_clock(Arc::new(ahead));
    for _ in 0..100 {
        tokens.token().await.unwrap();
    }
    assert_eq!(tokens.current(), job.tokens.current());
}

/// The tokens of another cache, counted there.
#[derive(Debug)]
struct Lent(CachedTokens);

#[async_trait::async_trait]
impl TokenSource for Lent {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        self.0.token().await
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_lengthen_a_tokens_life() {
    let job = Job::start().await;
    let first = job.tokens.token().await.unwrap();
    job.clock.set(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!(job.tokens.current(), Some(first.clone()));
    job.pass(Duration::from_secs(301)).await;
    assert_eq!(job.tokens.current(), None);
    assert_ne!(job.tokens.token().await.unwrap(), first);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once_for_all_who_hold_it() {
    let job = Job::start().await;
    let rejected = job.tokens.token().await.unwrap();
    let renewing: Vec<_> = (0..50)
        .map(|_| {
            let (tokens, rejected) = (job.tokens.clone(), rejected.clone());
            tokio::spawn(async move { tokens.token_after(&rejected).await })
        })
        .collect();
    let mut newer = Vec::new();
    for task in renewing {
        newer.push(task.await.unwrap().unwrap());
    }
    assert!(newer.iter().all(|token| *token != rejected && *token == newer[0]));
    assert_eq!(job.asked(), 2);
}

#[tokio::test]
async fn a_service_that_rejects_all_tokens_causes_few_requests() {
    let job = Job::start().await;
    let mut token = job.tokens.token().await.unwrap();
    for _ in 0..100 {
        token = job.tokens.token_after(&token).await.unwrap();
    }
    assert_eq!(job.asked(), 2);
    assert_eq!(job.tokens.token_after(&token).await.unwrap(), token, "there is no newer one");
    job.pass(Duration::from_secs(31)).await;
    assert_ne!(job.tokens.token_after(&token).await.unwrap(), token);
    assert_eq!(job.asked(), 3);
}

#[tokio::test]
async fn a_rejected_token_stays_when_the_issuer_is_away() {
    let job = Job::start().await;
    let token = job.tokens.token().await.unwrap();
    job.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    assert!(job.tokens.token_after(&token).await.is_err());
    assert_eq!(job.tokens.token().await.unwrap(), token, "other services may take it");
}

#[test]
fn a_token_in_memory_needs_no_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let job = first.block_on(Job::start());
    let refused = job.tokens.token().now_or_never().unwrap().unwrap_err();
    assert!(refused.to_string().contains("no Tokio runtime"), "{refused}");
    let token = first.block_on(job.tokens.token()).unwrap();
    assert_eq!(job.tokens.token().now_or_never().unwrap().unwrap(), token);
    assert_eq!(job.tokens.current(), Some(token.clone()));
    // Also when its refresh is due: the next call inside a runtime begins it.
    job.clock.advance(Duration::from_secs(285));
    assert_eq!(job.tokens.current(), Some(token));
    assert_eq!(job.asked(), 1);
}

#[test]
fn a_request_whose_runtime_ended_is_made_again() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = runtime();
    let job = servers.block_on(Job::start());
    let short = runtime();
    job.issuer.faults().set(Fault::Slow(Duration::from_millis(50)), Endpoint::Token);
    let waited = Duration::from_millis(1);
    assert!(
        short.block_on(async { tokio::time::timeout(waited, job.tokens.token()).await }).is_err()
    );
    drop(short);
    assert!(servers.block_on(job.tokens.token()).is_ok());
}
