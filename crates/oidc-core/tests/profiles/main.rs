//! Access tokens in the form of each provider: accepted under the provider's profile, and refused under others and with one
//! fault.
//!
//! The shapes follow the providers' public documents. All tokens are signed by a key that the provider publishes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::{AccessToken, TokenRefusal, Validation, Verified, Verifier};
use serde_json::{Value, json};

mod people;
mod tenants;
mod workloads;

/// A token of a provider, and the rules that are right for it.
struct Shape {
    name: &'static str,
    issuer: TestIssuer,
    header: Value,
    claims: Value,
    rules: Validation,
}

type Verdict = Result<Arc<Verified<AccessToken>>, TokenRefusal>;

impl Shape {
    /// A provider that calls itself `issuer`, and its token: header and claims without the times.
    fn new(name: &'static str, issuer: &str, header: Value, claims: Value) -> Self {
        Self::named(name, issuer, issuer, header, claims)
    }

    /// The same for a provider whose tokens name another issuer than its metadata.
    fn named(name: &'static str, provider: &str, iss: &str, header: Value, claims: Value) -> Self {
        let issuer = TestIssuer::named(provider, Algorithm::RS256);
        let key = issuer.signing_key();
        let header = changed(json!({"alg": "RS256", "kid": key.id()}), header);
        let times = json!({
            "iss": iss, "exp": issuer.now() + 300, "iat": issuer.now(), "nbf": issuer.now(),
        });
        let claims = changed(times, claims);
        let rules = Validation::new(issuer.issuer(), "not configured");
        Self { name, issuer, header, claims, rules }
    }

    fn with_rules(self, rules: impl FnOnce(&TestIssuer) -> Validation) -> Self {
        let rules = rules(&self.issuer);
        Self { rules, ..self }
    }

    /// The verdict on the token with members changed (`null` removes one), under the rules changed.
    async fn verdict(
        &self,
        header: Value,
        claims: Value,
        rules: impl FnOnce(Validation) -> Validation,
    ) -> Verdict {
        let header = changed(self.header.clone(), header);
        let token = self.issuer.sign_with(&header, &changed(self.claims.clone(), claims));
        let keys = JwkSet::parse(self.issuer.jwks().as_bytes()).unwrap();
        let verifier = Verifier::new(rules(self.rules.clone()), Arc::new(StaticKeys::new(keys)));
        verifier.with_clock(self.issuer.clock()).access_token(&token).await
    }

    /// The token as the provider writes it, accepted.
    async fn accepted(&self) -> Arc<Verified<AccessToken>> {
        let verdict = self.verdict(json!({}), json!({}), |rules| rules).await;
        verdict.map_err(|refusal| format!("{}: {refusal}", self.name)).unwrap()
    }

    async fn code(&self, claims: Value) -> &'static str {
        code(&self.verdict(json!({}), claims, |rules| rules).await)
    }

    async fn code_under(&self, rules: impl FnOnce(Validation) -> Validation) -> &'static str {
        code(&self.verdict(json!({}), json!({}), rules).await)
    }
}

fn code(verdict: &Verdict) -> &'static str {
    verdict.as_ref().err().map_or("accepted", TokenRefusal::code)
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
