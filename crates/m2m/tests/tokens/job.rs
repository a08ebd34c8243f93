//! A job with a token cache, and the provider it asks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use dev_issuer::{DevClient, DevIssuer, Grant};
use m2m::{CachedTokens, ClientCredentials, IssuerTokens};
use oidc_core::Clock;
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::http::Http;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::provider::Provider;

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub(crate) struct Hand(Arc<Mutex<SystemTime>>);

impl Hand {
    pub(crate) fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    pub(crate) fn set(&self, time: SystemTime) {
        *self.0.lock().unwrap() = time;
    }

    /// Another clock, which is ahead of this one.
    pub(crate) fn elsewhere(&self, ahead: Duration) -> Self {
        Self::at(self.now() + ahead)
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

pub(crate) struct Job {
    pub(crate) issuer: DevIssuer,
    pub(crate) clock: Hand,
    pub(crate) tokens: CachedTokens,
    http: Arc<dyn Http>,
}

impl Job {
    pub(crate) async fn start() -> Self {
        let clock = Hand::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let time = clock.clone();
        let issuer = DevIssuer::builder()
            .client(DevClient::confidential("job", "job-secret").audience("churn").scope("score"))
            .clock(Arc::new(move || time.now()))
            .start("127.0.0.1:0")
            .await
            .unwrap();
        let http = http();
        let endpoint = endpoint(issuer.url(), http.clone(), "job", "job-secret");
        let tokens = cached(endpoint, &clock);
        Self { issuer, clock, tokens, http }
    }

    /// The token endpoint, asked as this client.
    pub(crate) fn endpoint(&self, client: &str, secret: &str) -> TokenEndpoint {
        endpoint(self.issuer.url(), self.http.clone(), client, secret)
            .with_clock(Arc::new(self.clock.clone()))
    }

    /// Another cache, with nothing in it.
    pub(crate) fn cached_as(&self, client: &str, secret: &str) -> CachedTokens {
        cached(endpoint(self.issuer.url(), self.http.clone(), client, secret), &self.clock)
    }

    /// Number of token requests so far.
    pub(crate) fn asked(&self) -> u64 {
        self.issuer.token_requests_by_grant(Grant::ClientCredentials)
    }

    /// Lets time pass, by both clocks.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    /// Waits for something that happens in the background; gives up after ten seconds.
    pub(crate) async fn until<T>(&self, happened: impl Fn(&CachedTokens) -> Option<T>) -> T {
        let look = async {
            loop {
                if let Some(seen) = happened(&self.tokens) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), look).await.unwrap()
    }
}

pub(crate) fn http() -> Arc<dyn Http> {
    Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap())
}

pub(crate) fn endpoint(
    issuer: &str,
    http: Arc<dyn Http>,
    client: &str,
    secret: &str,
) -> TokenEndpoint {
    let provider = Provider::new(issuer.parse().unwrap(), http);
    TokenEndpoint::new(provider, client, ClientAuth::SecretBasic(secret.into()))
}

fn cached(endpoint: TokenEndpoint, clock: &Hand) -> CachedTokens {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let endpoint = endpoint.with_clock(Arc::clone(&clock));
    let source = IssuerTokens::new(endpoint, ClientCredentials::new().with_scope("score"));
    CachedTokens::new(source).with_clock(clock)
}
