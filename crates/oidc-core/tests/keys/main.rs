//! Fetching and keeping keys: invalid tokens do not flood the provider, one token's fetch does not
//! delay other tokens, and an outage of the provider does not stop verification with known keys.
//!
//! Tokio's time is paused: it advances only when every task waits. The same over a socket is in
//! `provider.rs`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod floods;
mod outages;
mod rotations;
mod withdrawn;

use std::sync::Arc;

use oidc_core::keys::{KeyPolicy, RemoteKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::{Validation, Verifier};
use serde_json::json;

const AUDIENCE: &str = "hub";

/// An issuer, its keys as a service keeps them, and a verifier over them.
struct Fixture {
    issuer: TestIssuer,
    keys: RemoteKeys,
    verifier: Verifier,
}

impl Fixture {
    fn new() -> Self {
        Self::with(TestIssuer::with_algorithm(Algorithm::ES256), KeyPolicy::default())
    }

    fn with(issuer: TestIssuer, policy: KeyPolicy) -> Self {
        let keys = RemoteKeys::new(issuer.provider()).with_policy(policy);
        let verifier =
            Verifier::new(Validation::new(issuer.issuer(), AUDIENCE), Arc::new(keys.clone()))
                .with_clock(issuer.clock());
        Self { issuer, keys, verifier }
    }

    async fn code(&self, token: &str) -> &'static str {
        self.verifier.access_token(token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    fn unknown_kid(&self, kid: &str) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": kid});
        self.issuer.sign_with(&header, &self.issuer.claims(AUDIENCE))
    }

    /// A fixture whose key was valid and its token remembered, before the issuer withdrew the key.
    async fn withdrawn() -> (Self, String) {
        let fixture = Self::new();
        let token = fixture.issuer.access_token(AUDIENCE);
        assert_eq!(fixture.code(&token).await, "accepted");
        assert!(fixture.verifier.recall(&token).is_ok());
        fixture.issuer.withdraw_keys();
        (fixture, token)
    }

    fn without_kid(&self) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT"});
        self.issuer.sign_with(&header, &self.issuer.claims(AUDIENCE))
    }
}
