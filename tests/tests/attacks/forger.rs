//! A provider made by hand, for tokens and answers that no honest one gives.
//!
//! The gateway trusts its key, so a refusal is about the content of a token and not about its signer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The name of the forger's key.
pub(crate) const KEY: &str = "forged-key";

/// Header or claims of a token.
pub(crate) type Members = Map<String, Value>;

/// The provider; stops when dropped.
#[derive(Debug)]
pub(crate) struct Forger {
    house: Arc<House>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct House {
    address: SocketAddr,
    key: EcdsaKeyPair,
    /// Published beside its own key.
    more_keys: Mutex<Vec<Value>>,
    token_answer: Mutex<(u16, String)>,
    asked: Mutex<BTreeMap<String, usize>>,
    authorization: Mutex<Option<String>>,
}

impl Forger {
    /// Listens on a free port of loopback.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let house = Arc::new(House {
            address: listener.local_addr()?,
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            more_keys: Mutex::default(),
            token_answer: Mutex::new((400, r#"{"error":"invalid_grant"}"#.to_owned())),
            asked: Mutex::default(),
            authorization: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&house)));
        Ok(Self { house, task })
    }

    /// The issuer identifier.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.house.address)
    }

    /// Publishes one more key.
    pub(crate) fn publish(&self, key: Value) {
        lock(&self.house.more_keys).push(key);
    }

    /// Sets the answer of the token endpoint.
    pub(crate) fn answer_token_requests(&self, status: u16, body: &Value) {
        *lock(&self.house.token_answer) = (status, body.to_string());
    }

    /// The number of requests for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        lock(&self.house.asked).get(path).copied().unwrap_or_default()
    }

    /// `Authorization` of the last token request.
    pub(crate) fn last_authorization(&self) -> Option<String> {
        lock(&self.house.authorization).clone()
    }

    /// A valid header.
    pub(crate) fn header() -> Members {
        members(json!({ "alg": "ES256", "typ": "JWT", "kid": KEY }))
    }

    /// The claims of a valid access token.
    pub(crate) fn claims(&self) -> Members {
        let now = seconds();
        members(json!({
            "iss": self.url(),
            "sub": "forged-alice",
            "aud": "gateway",
            "typ": "Bearer",
            "azp": "gateway",
            "iat": now,
            "exp": now + 300,
            "jti": format!("forged-{now}"),
            "preferred_username": "alice",
            "scope": "openid",
            "realm_access": { "roles": ["data-scientist"] },
        }))
    }

    /// The claims of a valid ID token, for a login with this nonce.
    pub(crate) fn id_claims(&self, nonce: &str) -> Members {
        let mut claims = self.claims();
        claims.insert("typ".into(), json!("ID"));
        claims.insert("nonce".into(), json!(nonce));
        claims.remove("scope");
        claims
    }

    /// A token of these members with a valid signature.
    pub(crate) fn token(&self, header: &Members, claims: &Members) -> Result<String> {
        self.sign(&serde_json::to_vec(header)?, &serde_json::to_vec(claims)?)
    }

    /// A token of these bytes with a valid signature.
    pub(crate) fn sign(&self, header: &[u8], payload: &[u8]) -> Result<String> {
        let input = signing_input(header, payload);
        let signature = self.signature(&input)?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// `r` and `s` of a valid signature.
    pub(crate) fn signature(&self, input: &str) -> Result<Vec<u8>> {
        let signature = self.house.key.sign(&SystemRandom::new(), input.as_bytes())?;
        Ok(signature.as_ref().to_vec())
    }

    /// Its public key.
    pub(crate) fn public_key(&self) -> Value {
        self.house.public_key()
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The bytes that a signature covers.
pub(crate) fn signing_input(header: &[u8], payload: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// An object's members.
pub(crate) fn members(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens are dated by the machine's clock, as the gateway reads it"
)]
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl House {
    fn public_key(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }

    fn answer(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}", self.address);
        match path {
            "/.well-known/openid-configuration" => {
                let document = json!({
                    "issuer": url,
                    "jwks_uri": format!("{url}/jwks"),
                    "authorization_endpoint": format!("{url}/auth"),
                    "token_endpoint": format!("{url}/token"),
                    "end_session_endpoint": format!("{url}/end"),
                    "response_types_supported": ["code"],
                    "id_token_signing_alg_values_supported":
                        ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"],
                });
                (200, document.to_string())
            }
            "/jwks" => {
                let keys: Vec<Value> = std::iter::once(self.public_key())
                    .chain(lock(&self.more_keys).iter().cloned())
                    .collect();
                (200, json!({ "keys": keys }).to_string())
            }
            "/token" => lock(&self.token_answer).clone(),
            _ => (404, "{}".to_owned()),
        }
    }
}

async fn accept(listener: TcpListener, house: Arc<House>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let house = Arc::clone(&house);
        connections.spawn(async move { serve(stream, &house).await.ok() });
        while connections.try_join_next().is_some() {}
    }
}

/// One request, one answer, and the connection is closed.
async fn serve(mut stream: TcpStream, house: &House) -> Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "the request breaks off");
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
    while bytes.len() < end + length {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "the body breaks off");
    }
    let target = head.split(' ').nth(1).context("no target")?;
    let path = target.split('?').next().unwrap_or_default();
    *lock(&house.asked).entry(path.to_owned()).or_default() += 1;
    if path == "/token" {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        *lock(&house.authorization) = found.map(|(_, value)| value.trim().to_owned());
    }
    let (status, body) = house.answer(path);
    let answer = format!(
        "HTTP/1.1 {status} As asked\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

/// A port to which no connection may come.
#[derive(Debug)]
pub(crate) struct Trap {
    address: SocketAddr,
    visits: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Trap {
    /// Listens on a free port of loopback.
    pub(crate) async fn set() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let visits = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&visits);
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                *lock(&counted) += 1;
            }
        });
        Ok(Self { address, visits, task })
    }

    /// A URL there.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The number of connections, those that were still on their way included.
    pub(crate) async fn visits(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(200)).await;
        *lock(&self.visits)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
