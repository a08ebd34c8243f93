//! Tokens bound to a key or a certificate: accepted only with the proof, at each request.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a failed unwrap is a failed test"
)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use oidc_core::dpop::DpopPolicy;
use oidc_core::testing::{TestIssuer, TestKey};
use oidc_core::token::Algorithm;
use oidc_core::verify::{PresentationRefusal, Presented};
use oidc_core::{Validation, Verifier};
use serde_json::{Map, Value, json};
use url::Url;

mod certificate;
mod headers;
mod proof;
mod recalled;
mod replay;

/// An issuer, a verifier, and a client with its own key.
struct World {
    issuer: TestIssuer,
    verifier: Verifier,
    key: Arc<TestKey>,
    url: Url,
}

impl World {
    fn new(policy: DpopPolicy) -> Self {
        let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
        let verifier = Verifier::new(Validation::new(issuer.issuer(), "api"), issuer.keys())
            .with_clock(issuer.clock())
            .with_dpop(policy);
        let key = Arc::new(TestKey::nth(7, Algorithm::ES256));
        Self { issuer, verifier, key, url: "https://api.example/models/churn?v=1".parse().unwrap() }
    }

    /// A token with this `cnf`.
    fn bound(&self, cnf: Value) -> String {
        let mut claims = self.issuer.claims("api");
        claims["cnf"] = cnf;
        self.issuer.sign(&claims)
    }

    /// A token bound to the client's key.
    fn token(&self) -> String {
        self.bound(json!({"jkt": thumbprint(&self.key)}))
    }

    fn header(&self) -> Map<String, Value> {
        object(json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.jwk()}))
    }

    fn claims(&self, token: &str) -> Map<String, Value> {
        object(json!({
            "jti": format!("{}", rand::random::<u64>()), "htm": "GET", "iat": self.issuer.now(),
            "htu": "https://api.example/models/churn", "ath": sha256(token.as_bytes()),
        }))
    }

    fn proof(&self, token: &str) -> String {
        self.sign(&self.header(), &self.claims(token))
    }

    fn sign(&self, header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
        let encode = |part| URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(self.key.algorithm(), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    async fn dpop(&self, token: &str, proof: &str) -> &'static str {
        self.code(&Presented::dpop(token, proof, &Method::GET, &self.url)).await
    }

    async fn code(&self, presented: &Presented<'_>) -> &'static str {
        code(self.verifier.presented(presented).await.map(|_| ()))
    }
}

fn code(outcome: Result<(), PresentationRefusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.code(), |()| "accepted")
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn sha256(octets: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    URL_SAFE_NO_PAD.encode(digest)
}

/// RFC 7638, spelled out for an elliptic-curve key.
fn thumbprint(key: &TestKey) -> String {
    let jwk = key.jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    let curve = jwk["crv"].as_str().unwrap();
    sha256(format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes())
}
