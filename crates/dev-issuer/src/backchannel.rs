//! Delivers logout tokens ([OpenID Connect Back-Channel Logout 1.0 §2.5]): one POST each, in parallel,
//! with a timeout of three seconds and no retry.
//!
//! [OpenID Connect Back-Channel Logout 1.0 §2.5]: https://openid.net/specs/openid-connect-backchannel-1_0.html#BCRequest

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(crate) struct Backchannel(Client<HttpConnector, Full<Bytes>>);

impl Backchannel {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build(HttpConnector::new()))
    }

    /// Sends each token to its URI. Returns the number of deliveries that were answered with 2xx.
    pub(crate) async fn deliver(&self, messages: Vec<(String, String)>) -> usize {
        let deliveries = messages.into_iter().map(|(uri, token)| self.post(uri, token));
        join_all(deliveries).await.into_iter().filter(|delivered| *delivered).count()
    }

    async fn post(&self, uri: String, logout_token: String) -> bool {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("logout_token", &logout_token)
            .finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(uri, %error, "invalid back-channel logout URI");
                return false;
            }
        };
        match tokio::time::timeout(TIMEOUT, self.0.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => true,
            Ok(Ok(response)) => {
                tracing::warn!(uri, status = %response.status(), "back-channel logout refused");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(uri, %error, "back-channel logout not delivered");
                false
            }
            Err(_) => {
                tracing::warn!(uri, "back-channel logout not answered in time");
                false
            }
        }
    }
}

impl fmt::Debug for Backchannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backchannel(..)")
    }
}
