//! Tokens of a provider with one issuer for each tenant.

use std::sync::Arc;

use oidc_core::keys::{JwkSet, RemoteKeys, StaticKeys};
use oidc_core::provider::{IssuerTemplate, Provider};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::verify::Profile;
use oidc_core::{Validation, Verifier};
use serde_json::{Value, json};

use super::changed;

const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

fn issuer(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

fn template() -> IssuerTemplate {
    IssuerTemplate::new(TEMPLATE, ["t-1", "t-2"]).unwrap()
}

fn rules() -> Validation {
    Validation::for_tenants(template(), "api://models").with_profile(Profile::Generic)
}

fn token(provider: &TestIssuer, changes: Value) -> String {
    let claims = json!({
        "iss": issuer("t-2"), "tid": "t-2", "sub": "alice", "aud": "api://models",
        "exp": provider.now() + 300, "scp": "score",
    });
    provider.sign(&changed(claims, changes))
}

/// The verdict with keys that have these members too.
async fn code(provider: &TestIssuer, key: Value, token: &str) -> &'static str {
    let key = changed(provider.signing_key().jwk(), key);
    let keys = JwkSet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    let verifier = Verifier::new(rules(), Arc::new(StaticKeys::new(keys)));
    let verdict = verifier.with_clock(provider.clock()).access_token(token).await;
    verdict.err().map_or("accepted", |refusal| refusal.code())
}

#[tokio::test]
async fn tokens_of_listed_tenants_only_are_accepted() {
    let provider = TestIssuer::named(TEMPLATE, Algorithm::RS256);
    for (changes, expected) in [
        (json!({}), "accepted"),
        (json!({"tid": null}), "accepted"),
        (json!({"iss": issuer("t-1"), "tid": "t-1"}), "accepted"),
        (json!({"iss": issuer("t-1")}), "invalid_claim"),
        (json!({"tid": "t-1"}), "invalid_claim"),
        (json!({"tid": ["t-2"]}), "invalid_claim"),
        (json!({"iss": issuer("t-3"), "tid": "t-3"}), "wrong_issuer"),
        (json!({"iss": TEMPLATE}), "wrong_issuer"),
        (json!({"iss": issuer("organizations")}), "wrong_issuer"),
        (json!({"iss": issuer("t-2/v2.0/x")}), "wrong_issuer"),
        (json!({"iss": format!("{}/", issuer("t-2"))}), "wrong_issuer"),
        (json!({"iss": "https://sts.windows.net/t-2/"}), "wrong_issuer"),
        (json!({"iss": null}), "missing_claim"),
        (json!({"aud": "api://other"}), "wrong_audience"),
    ] {
        let found = code(&provider, json!({}), &token(&provider, changes.clone())).await;
        assert_eq!(found, expected, "{changes}");
    }
}

#[tokio::test]
async fn a_key_signs_tokens_of_the_issuer_it_names() {
    let provider = TestIssuer::named(TEMPLATE, Algorithm::RS256);
    let token = token(&provider, json!({}));
    for (named, expected) in [
        (TEMPLATE.to_owned(), "accepted"),
        (issuer("t-2"), "accepted"),
        (issuer("t-1"), "wrong_issuer"),
        (issuer("9188040d-6c67-4c5b-b112-36a304b66dad"), "wrong_issuer"),
        ("https://elsewhere.example/{tenantid}".to_owned(), "wrong_issuer"),
    ] {
        let found = code(&provider, json!({"issuer": named}), &token).await;
        assert_eq!(found, expected, "{named}");
    }
}

#[tokio::test]
async fn keys_are_found_at_the_tenant_of_all_organizations() {
    let provider = TestIssuer::named(TEMPLATE, Algorithm::RS256);
    let jwks = "https://login.microsoftonline.com/organizations/discovery/v2.0/keys";
    provider.set_metadata("jwks_uri", json!(jwks));
    let document = json!({"issuer": TEMPLATE, "jwks_uri": jwks});
    provider.answer(
        "/organizations/v2.0/.well-known/openid-configuration",
        200,
        document.to_string(),
    );
    provider.answer("/organizations/discovery/v2.0/keys", 200, provider.jwks());
    let keys = RemoteKeys::new(Provider::new(template().issuer().clone(), provider.http()));
    let verifier = Verifier::new(rules(), Arc::new(keys)).with_clock(provider.clock());
    let verified = verifier.access_token(&token(&provider, json!({}))).await.unwrap();
    assert_eq!(verified.issuer.as_deref(), Some(&*issuer("t-2")));
    // A stranger's token causes no fetch.
    provider.reset_requests();
    let header = changed(provider.header(), json!({"kid": "unknown"}));
    let claims =
        json!({"iss": issuer("t-3"), "sub": "x", "aud": "api://models", "exp": provider.now() + 9});
    let refusal = verifier.access_token(&provider.sign_with(&header, &claims)).await.unwrap_err();
    assert_eq!((refusal.code(), provider.requests("")), ("wrong_issuer", 0));
}
