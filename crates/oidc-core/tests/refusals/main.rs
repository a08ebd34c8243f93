//! Every way a token can be invalid, each beside a valid one.
//!
//! The tokens have valid signatures wherever the flaw is not in the signature, so that a verifier
//! which skips one check fails here.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use oidc_core::testing::TestIssuer;
use oidc_core::{TokenRefusal, Validation, Verifier};
use serde_json::Value;

mod signature;
mod header;
mod claims;
mod kinds;
mod form;
mod keys;
mod memory;

const AUDIENCE: &str = "hub";

struct World {
    issuer: TestIssuer,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        Self::with(TestIssuer::new(), |validation| validation)
    }

    fn with(issuer: TestIssuer, rules: impl FnOnce(Validation) -> Validation) -> Self {
        let validation = rules(Validation::new(issuer.issuer(), AUDIENCE));
        let verifier = Verifier::new(validation, issuer.keys()).with_clock(issuer.clock());
        Self { issuer, verifier }
    }

    async fn check(&self, token: &str) -> Result<(), TokenRefusal> {
        self.verifier.access_token(token).await.map(|_| ())
    }

    async fn code(&self, token: &str) -> &'static str {
        self.check(token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    /// A valid access token with members changed; `null` removes one.
    fn claims(&self, changes: Value) -> String {
        self.issuer.sign(&changed(self.issuer.claims(AUDIENCE), changes))
    }

    /// A valid access token under a header with members changed.
    fn header(&self, changes: Value) -> String {
        self.issuer
            .sign_with(&changed(self.issuer.header(), changes), &self.issuer.claims(AUDIENCE))
    }

    fn payload(&self) -> String {
        self.issuer.claims(AUDIENCE).to_string()
    }
}

fn changed(mut members: Value, changes: Value) -> Value {
    let object = members.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    members
}

/// `header.payload.` with any signature.
fn forged(header: &Value, payload: &str, signature: &[u8]) -> String {
    let (header, payload) = (B64.encode(header.to_string()), B64.encode(payload));
    format!("{header}.{payload}.{}", B64.encode(signature))
}
