//! A provider in memory, for tests (feature `test-util`): it signs tokens, answers discovery, keys,
//! tokens, pushed requests and UserInfo through the [`Http`] port, counts requests, fails on
//! demand, and has a clock that tests move.
//!
//! | to … | use |
//! |---|---|
//! | get tokens of any kind, valid or not | [`TestIssuer`]: its `*_token` and `sign*` methods |
//! | move the time | [`TestIssuer::clock`] → [`TestClock::advance`] |
//! | replace keys, let the provider fail | [`TestIssuer::rotate`], [`TestIssuer::fail`] with a [`Fault`] |
//! | see the requests it received | [`TestIssuer::requests`], [`TestIssuer::last_request`] |
//! | check a memory for DPoP proofs (RFC 9449 §11.1) | [`replay_memory_conforms`] |
//!
//! It signs with the crypto library directly and shares no code with the code under test. Never use
//! it in a running system.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test support module: a failed unwrap is a failed test"
)]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::UNIX_EPOCH;

use ::http::{Request, Response, StatusCode, header};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::http::{Http, HttpError};
use crate::issuer::Issuer;
use crate::keys::{KeySource, RemoteKeys};
use crate::provider::Provider;
use crate::token::Algorithm;

mod clock;
mod endpoints;
mod key;
mod names;
mod replay;

pub use clock::TestClock;
pub use key::TestKey;
pub use replay::replay_memory_conforms;

/// The subject of all test tokens.
pub const SUBJECT: &str = "248289761001";

/// A fault at the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Connections are refused.
    Down,
    /// Answers never come.
    Hang,
    /// 200 with bytes that are not JSON.
    Garbage,
    /// 200 with a page.
    Html,
    /// This status, with an empty body.
    Status(u16),
    /// 302 to another host.
    Redirect,
}

/// A provider in memory. Clones are the same provider.
///
/// ```
/// let issuer = oidc_core::testing::TestIssuer::new();
/// assert_eq!(issuer.access_token("hub").split('.').count(), 3);
/// ```
#[derive(Clone)]
pub struct TestIssuer {
    clock: TestClock,
    state: Arc<Mutex<State>>,
}

struct State {
    issuer: Issuer,
    metadata: Value,
    keys: Vec<Arc<TestKey>>,
    signing: Arc<TestKey>,
    rotations: usize,
    fault: Fault,
    fault_on: Option<String>,
    requests: Vec<Recorded>,
    codes: HashMap<String, endpoints::Granted>,
    pushed: HashMap<String, Vec<(String, String)>>,
    answers: HashMap<String, endpoints::Fixed>,
    serial: u64,
}

/// A request the provider received.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Path of the URL.
    pub path: String,
    /// `Authorization`, if there was one.
    pub authorization: Option<String>,
    /// The form in the body.
    pub form: Vec<(String, String)>,
}

impl Recorded {
    /// A value of the form.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl TestIssuer {
    /// A provider that signs with RS256.
    pub fn new() -> Self {
        Self::with_algorithm(Algorithm::RS256)
    }

    /// A provider that signs with `algorithm`.
    pub fn with_algorithm(algorithm: Algorithm) -> Self {
        Self::named("https://issuer.test/realms/lab", algorithm)
    }

    fn identified(issuer: Issuer, algorithm: Algorithm) -> Self {
        let key = Arc::new(TestKey::nth(0, algorithm));
        let state = State {
            metadata: endpoints::metadata(issuer.as_str()),
            issuer,
            keys: vec![Arc::clone(&key)],
            signing: key,
            rotations: 0,
            fault: Fault::None,
            fault_on: None,
            requests: Vec::new(),
            codes: HashMap::new(),
            pushed: HashMap::new(),
            answers: HashMap::new(),
            serial: 0,
        };
        Self { clock: TestClock::default(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Its identifier.
    pub fn issuer(&self) -> Issuer {
        self.state().issuer.clone()
    }

    /// The HTTP adapter to it.
    pub fn http(&self) -> Arc<dyn Http> {
        Arc::new(self.clone())
    }

    /// A provider that discovers it.
    pub fn provider(&self) -> Provider {
        Provider::new(self.issuer(), self.http())
    }

    /// Its keys, fetched as from a real one.
    pub fn keys(&self) -> Arc<dyn KeySource> {
        Arc::new(RemoteKeys::new(self.provider()))
    }

    /// Its JWK Set as a document.
    pub fn jwks(&self) -> String {
        endpoints::jwks(&self.state().keys).to_string()
    }

    /// Its clock.
    pub fn clock(&self) -> Arc<TestClock> {
        Arc::new(self.clock.clone())
    }

    /// Now, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// Changes a member of its metadata; `null` removes it.
    pub fn set_metadata(&self, member: &str, value: Value) {
        let mut state = self.state();
        let members = state.metadata.as_object_mut().unwrap();
        match value {
            Value::Null => members.remove(member),
            value => members.insert(member.to_owned(), value),
        };
    }

    /// Fails like this until the fault is changed.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        state.fault_on = None;
    }

    /// Fails like this on paths that end in `path` only.
    pub fn fail_on(&self, path: &str, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        state.fault_on = Some(path.to_owned());
    }

    /// Answers like this on paths that end in `path`, for any request.
    pub fn answer(&self, path: &str, status: u16, body: impl Into<String>) {
        self.answer_as(path, status, "application/json", body);
    }

    /// Signs with a new key from now on; the old ones stay published.
    pub fn rotate(&self) {
        let mut state = self.state();
        state.rotations += 1;
        let key = Arc::new(TestKey::nth(state.rotations, state.signing.algorithm()));
        state.keys.push(Arc::clone(&key));
        state.signing = key;
    }

    /// Publishes no key but the one it signs with.
    pub fn remove_old_keys(&self) {
        let mut state = self.state();
        state.keys = vec![Arc::clone(&state.signing)];
    }

    /// Publishes no key at all, until it signs with a new one.
    pub fn withdraw_keys(&self) {
        self.state().keys.clear();
    }

    /// The key it signs with.
    pub fn signing_key(&self) -> Arc<TestKey> {
        Arc::clone(&self.state().signing)
    }

    /// Number of requests on paths that end in `path`.
    pub fn requests(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|request| request.path.ends_with(path)).count()
    }

    /// The last request on a path that ends in `path`.
    pub fn last_request(&self, path: &str) -> Option<Recorded> {
        self.state().requests.iter().rev().find(|request| request.path.ends_with(path)).cloned()
    }

    /// Forgets recorded requests.
    pub fn reset_requests(&self) {
        self.state().requests.clear();
    }

    /// Claims of a valid access token for `audience`, as Keycloak writes them.
    pub fn claims(&self, audience: &str) -> Value {
        let now = self.now();
        json!({
            "iss": self.issuer().as_str(), "sub": SUBJECT, "aud": [audience, "account"],
            "exp": now + 300, "iat": now, "auth_time": now, "jti": format!("jti-{}", self.serial()),
            "typ": "Bearer", "azp": "gateway", "sid": "sid-1", "acr": "1",
            "scope": "openid profile email", "preferred_username": "alice", "name": "Alice Example",
            "email": "alice@example.org", "email_verified": true, "groups": ["/finance"],
            "realm_access": {"roles": ["data-scientist"]},
            "resource_access": {"hub": {"roles": ["user"]}},
        })
    }

    /// Claims of a valid ID token for `client_id`.
    pub fn id_claims(&self, client_id: &str, nonce: Option<&str>) -> Value {
        let now = self.now();
        let mut claims = json!({
            "iss": self.issuer().as_str(), "sub": SUBJECT, "aud": client_id, "azp": client_id,
            "exp": now + 300, "iat": now, "auth_time": now, "jti": format!("jti-{}", self.serial()),
            "typ": "ID", "sid": "sid-1", "preferred_username": "alice",
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }

    /// Claims of a valid logout token for `client_id`.
    pub fn logout_claims(&self, client_id: &str) -> Value {
        let now = self.now();
        json!({
            "iss": self.issuer().as_str(), "sub": SUBJECT, "aud": client_id, "sid": "sid-1",
            "exp": now + 120, "iat": now, "jti": format!("jti-{}", self.serial()), "typ": "Logout",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        })
    }

    /// A valid access token for `audience`.
    pub fn access_token(&self, audience: &str) -> String {
        self.sign(&self.claims(audience))
    }

    /// A valid ID token for `client_id`.
    pub fn id_token(&self, client_id: &str, nonce: Option<&str>) -> String {
        self.sign(&self.id_claims(client_id, nonce))
    }

    /// A valid logout token for `client_id`.
    pub fn logout_token(&self, client_id: &str) -> String {
        self.sign(&self.logout_claims(client_id))
    }

    /// Signs claims under the usual header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// The usual header.
    pub fn header(&self) -> Value {
        let key = self.signing_key();
        json!({"alg": key.algorithm().as_str(), "typ": "JWT", "kid": key.id()})
    }

    /// Signs claims under any header, with the key it signs with.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Signs any bytes as header and payload.
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let key = self.signing_key();
        let signature = key.sign(key.algorithm(), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn serial(&self) -> u64 {
        let mut state = self.state();
        state.serial += 1;
        state.serial
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestIssuer")
    }
}

#[async_trait]
impl Http for TestIssuer {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let path = request.uri().path().to_owned();
        let fault = {
            let mut state = self.state();
            let authorization = request.headers().get(header::AUTHORIZATION);
            state.requests.push(Recorded {
                path: path.clone(),
                authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
                form: url::form_urlencoded::parse(request.body()).into_owned().collect(),
            });
            let hit = state.fault_on.as_ref().is_none_or(|suffix| path.ends_with(suffix.as_str()));
            if hit { state.fault } else { Fault::None }
        };
        let host = "issuer.test".to_owned();
        match fault {
            Fault::None => Ok(self.respond(&request)),
            Fault::Down => {
                let reason = "connection refused".to_owned();
                Err(HttpError::Connect { host, reason, source: None })
            }
            Fault::Hang => std::future::pending().await,
            Fault::Garbage => Ok(answer(200, "application/json", "\u{0}\u{1}{{{")),
            Fault::Html => Ok(answer(200, "text/html", "<!doctype html><p>Be back soon")),
            Fault::Status(status) => Ok(answer(status, "text/plain", "")),
            Fault::Redirect => {
                let mut response = answer(302, "text/plain", "");
                let target = header::HeaderValue::from_static("https://evil.test/");
                response.headers_mut().insert(header::LOCATION, target);
                Ok(response)
            }
        }
    }
}

fn answer(status: u16, content_type: &str, body: impl Into<String>) -> Response<Bytes> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header(header::CONTENT_TYPE, content_type)
        .body(Bytes::from(body.into()))
        .unwrap()
}
