//! A provider that runs on a runtime of its own, so that the test's time can be paused and moved
//! without breaking its connections; its clock follows the test's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use dev_issuer::{DevIssuer, DevIssuerBuilder};
use http::{Request, Response};
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp, install_crypto_provider};
use oidc_core::http::{Http, HttpError};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use oidc_core::testing::TestClock;
use oidc_core::{Client, Clock as _};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// A provider on another runtime.
pub(crate) struct Elsewhere {
    pub(crate) issuer: Arc<DevIssuer>,
    pub(crate) clock: TestClock,
    http: Arc<Far>,
}

impl Elsewhere {
    /// Starts the provider. The test's time must be paused.
    pub(crate) async fn start(builder: DevIssuerBuilder) -> Self {
        install_crypto_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock = TestClock::default();
        let theirs = clock.clone();
        let builder = builder.clock(Arc::new(move || theirs.now()));
        let started = runtime.spawn(async move { builder.start("127.0.0.1:0").await.unwrap() });
        let issuer = Arc::new(started.await.unwrap());
        let http = {
            let _inside = runtime.enter();
            ReqwestHttp::new(HttpOptions::default()).unwrap()
        };
        let http = Arc::new(Far {
            runtime: Some(runtime),
            http,
            clock: clock.clone(),
            began: Instant::now(),
            start: clock.now(),
        });
        Self { issuer, clock, http }
    }

    pub(crate) fn provider(&self) -> Provider {
        let http: Arc<dyn Http> = Arc::clone(&self.http) as _;
        Provider::new(self.issuer.url().parse().unwrap(), http)
    }

    pub(crate) fn keys(&self) -> Arc<RemoteKeys> {
        Arc::new(RemoteKeys::new(self.provider()))
    }

    pub(crate) fn client(&self, id: &str, auth: ClientAuth) -> Client {
        Client::new(self.provider(), self.keys(), id, auth).with_clock(Arc::new(self.clock.clone()))
    }

    pub(crate) fn endpoint(&self, id: &str, auth: ClientAuth) -> TokenEndpoint {
        TokenEndpoint::new(self.provider(), id, auth).with_clock(Arc::new(self.clock.clone()))
    }
}

/// Sends from the other runtime; paused time does not advance meanwhile.
#[derive(Debug)]
struct Far {
    runtime: Option<Runtime>,
    http: ReqwestHttp,
    clock: TestClock,
    began: Instant,
    start: SystemTime,
}

#[async_trait]
impl Http for Far {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.clock.set(self.start + self.began.elapsed());
        let runtime = self.runtime.as_ref().unwrap().handle().clone();
        let http = self.http.clone();
        // A blocking task keeps the paused clock from advancing by itself.
        tokio::task::spawn_blocking(move || runtime.block_on(http.send(request))).await.unwrap()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::ZERO);
        }
    }
}
