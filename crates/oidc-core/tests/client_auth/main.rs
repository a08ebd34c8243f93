//! Client authentication against dev-issuer over real sockets with each method; a client that
//! proves nothing is refused with the reason.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in tests a failed unwrap is a failed test"
)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use dev_issuer::{DevClient, DevIssuer, DevIssuerBuilder};
use http::{HeaderMap, Request, Response};
use oidc_core::Client;
use oidc_core::client::{ClientAuth, Grant, TokenEndpoint};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::http::{Http, HttpError};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use serde_json::Value;

mod auto;
mod dpop;
mod files;
mod grants;
mod keys;
mod key_pairs;
mod mutual_tls;
mod secrets;

/// A running provider, and the requests sent to it.
struct World {
    issuer: DevIssuer,
    http: Arc<Observed>,
}

impl World {
    async fn start(builder: DevIssuerBuilder) -> Self {
        let issuer = builder.start("127.0.0.1:0").await.unwrap();
        let http = Arc::new(Observed {
            inner: ReqwestHttp::new(HttpOptions::default()).unwrap(),
            sent: Mutex::default(),
        });
        Self { issuer, http }
    }

    async fn with_client(client: DevClient) -> Self {
        Self::start(DevIssuer::demo_builder().client(client)).await
    }

    fn endpoint(&self, client: &str, auth: ClientAuth) -> TokenEndpoint {
        let http: Arc<dyn Http> = Arc::clone(&self.http) as _;
        TokenEndpoint::new(Provider::new(self.issuer.url().parse().unwrap(), http), client, auth)
    }

    fn client(&self, id: &str, auth: ClientAuth) -> Client {
        let provider = self.endpoint(id, ClientAuth::None).provider().clone();
        Client::new(provider.clone(), Arc::new(RemoteKeys::new(provider)), id, auth)
    }

    /// The POST requests since the last call.
    fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.http.sent.lock().unwrap())
    }
}

fn own_right() -> Grant {
    Grant::ClientCredentials { scope: None, audience: None, resource: vec![] }
}

/// A request as sent.
#[derive(Clone, Debug)]
struct Sent {
    headers: HeaderMap,
    form: Vec<(String, String)>,
}

impl Sent {
    fn value(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let named = self.form.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The client's authentication method.
    fn method(&self) -> &'static str {
        let assertion = self.value("client_assertion").map(|assertion| part(assertion, 0));
        match assertion.map(|header| header["alg"].as_str().unwrap_or_default().to_owned()) {
            Some(algorithm) if algorithm.starts_with("HS") => "client_secret_jwt",
            Some(_) => "private_key_jwt",
            None if self.headers.contains_key("authorization") => "client_secret_basic",
            None if self.value("client_secret").is_some() => "client_secret_post",
            None => "none",
        }
    }
}

#[derive(Debug)]
struct Observed {
    inner: ReqwestHttp,
    sent: Mutex<Vec<Sent>>,
}

#[async_trait]
impl Http for Observed {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if request.method() == http::Method::POST {
            let form = url::form_urlencoded::parse(request.body()).into_owned().collect();
            let headers = request.headers().clone();
            self.sent.lock().unwrap().push(Sent { headers, form });
        }
        self.inner.send(request).await
    }
}

/// The header (0) or the claims (1) of a JWT.
fn part(token: &str, index: usize) -> Value {
    let encoded = token.split('.').nth(index).unwrap_or_default();
    let octets = URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
    serde_json::from_slice(&octets).unwrap_or(Value::Null)
}
