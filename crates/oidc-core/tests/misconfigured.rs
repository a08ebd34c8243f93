//! Mistakes that time does not correct are named with member and remedy; outages are not mistakes.

use std::sync::Arc;

use oidc_core::keys::{KeySource as _, RemoteKeys};
use oidc_core::provider::{IssuerMisconfigured, PlainHttpHosts, Provider, ProviderError};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::{Issuer, TokenRefusal, Validation, Verifier};
use serde_json::{Value, json};

async fn mistake(provider: &Provider) -> Option<IssuerMisconfigured> {
    match provider.metadata().await {
        Err(ProviderError::Misconfigured(mistake)) => Some(*mistake),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_differs_is_a_mistake() {
    let issuer = TestIssuer::new();
    for other in ["https://issuer.test/realms/lab/", "https://ISSUER.test/realms/lab"] {
        let provider = Provider::new(other.parse().unwrap(), issuer.http());
        let found = mistake(&provider).await.unwrap();
        assert_eq!(found.member, "issuer");
        assert!(found.problem.contains(issuer.issuer().as_str()), "{found}");
        assert!(!found.to_string().contains("try again"), "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_address_is_a_mistake_and_an_outage_is_not() {
    for (fault, is_mistake) in [
        (Fault::Status(404), true),
        (Fault::Status(401), true),
        (Fault::Redirect, true),
        (Fault::Status(429), false),
        (Fault::Status(408), false),
        (Fault::Status(503), false),
        (Fault::Down, false),
        (Fault::Html, false),
        (Fault::Garbage, false),
    ] {
        let issuer = TestIssuer::new();
        issuer.fail(fault);
        let provider = issuer.provider();
        let found = mistake(&provider).await;
        assert_eq!(found.is_some(), is_mistake, "{fault:?}");
        assert!(found.is_none_or(|found| found.member == "url"), "{fault:?}");
        issuer.fail(Fault::None);
        assert!(provider.refresh_now().await.is_ok(), "{fault:?}: a correction is noticed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_set_of_no_use_is_a_mistake() {
    for (change, problem) in
        [(Value::Null, "missing"), (json!("https://issuer.test/realms/lab/empty"), "no usable key")]
    {
        let issuer = TestIssuer::new();
        issuer.answer("empty", 200, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#);
        issuer.set_metadata("jwks_uri", change);
        let keys = RemoteKeys::new(issuer.provider());
        let rules = Validation::new(issuer.issuer(), "hub");
        let verifier = Verifier::new(rules, Arc::new(keys.clone())).with_clock(issuer.clock());
        let refusal = verifier.access_token(&issuer.access_token("hub")).await.unwrap_err();
        let TokenRefusal::IssuerMisconfigured(found) = &refusal else { panic!("{refusal}") };
        assert_eq!(found.member, "jwks_uri");
        assert!(found.problem.contains(problem), "{found}");
        assert!(refusal.is_unavailable() && refusal.retry_after().is_none());
        assert!(!keys.ready());
        // The metadata is usable: a provider may have opaque tokens only.
        assert!(issuer.provider().metadata().await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_good_are_missed_and_not_misconfigured() {
    let issuer = TestIssuer::new();
    let keys = RemoteKeys::new(issuer.provider());
    keys.refresh_now().await.unwrap();
    issuer.fail_on("jwks", Fault::Status(404));
    tokio::time::sleep(std::time::Duration::from_secs(2 * 60 * 60)).await;
    assert!(keys.current().unwrap_err().mistake.is_none());
}

#[tokio::test(start_paused = true)]
async fn another_address_must_lead_to_the_same_issuer() {
    let issuer = TestIssuer::new();
    let by = |url: &str| {
        let url = url.parse().unwrap();
        Provider::new(issuer.issuer(), issuer.http()).with_discovery_url(url)
    };
    for address in [
        "https://keycloak.svc:8443/realms/lab",
        "https://keycloak.svc/realms/lab/",
        "https://keycloak.svc/realms/lab/.well-known/openid-configuration?p=policy",
    ] {
        let metadata = by(address).metadata().await.unwrap();
        assert_eq!(metadata.issuer, issuer.issuer(), "{address}");
    }
    let named = "https://other.test/realms/lab".parse().unwrap();
    let provider = Provider::new(named, issuer.http())
        .with_discovery_url("https://keycloak.svc/realms/lab".parse().unwrap());
    assert_eq!(mistake(&provider).await.unwrap().member, "issuer");
}

#[tokio::test(start_paused = true)]
async fn plain_http_off_loopback_needs_its_host_listed() {
    let hosts = PlainHttpHosts::dangerous(["keycloak.svc"]).unwrap();
    let issuer = TestIssuer::new();
    let internal = "http://keycloak.svc:8080/realms/lab/token";
    let address = "http://keycloak.svc:8080/realms/lab";
    let provider = || {
        Provider::new(issuer.issuer(), issuer.http()).with_discovery_url(address.parse().unwrap())
    };
    assert_eq!(mistake(&provider()).await.unwrap().member, "discovery_url");
    issuer.set_metadata("token_endpoint", json!(internal));
    let allowed = provider().dangerous_allow_http(hosts.clone());
    let metadata = allowed.metadata().await.unwrap();
    assert_eq!(metadata.token_endpoint.as_ref().map(|url| url.as_str()), Some(internal));
    issuer.set_metadata("userinfo_endpoint", json!("http://elsewhere.svc/userinfo"));
    let refused = provider().dangerous_allow_http(hosts);
    assert_eq!(mistake(&refused).await.unwrap().member, "userinfo_endpoint");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_by_plain_http_is_verified_byte_for_byte() {
    let hosts = PlainHttpHosts::dangerous(["keycloak"]).unwrap();
    let name = "http://keycloak:8080/realms/lab";
    assert!(name.parse::<Issuer>().is_err());
    let issuer = Issuer::dangerous_allow_http(name, &hosts).unwrap();
    let test = TestIssuer::dangerous_plain_http(name, Algorithm::ES256);
    let refused = Provider::new(issuer.clone(), test.http());
    assert!(mistake(&refused).await.is_some(), "the host must be listed for requests too");
    let provider = Provider::new(issuer.clone(), test.http()).dangerous_allow_http(hosts);
    let verifier =
        Verifier::new(Validation::new(issuer, "hub"), Arc::new(RemoteKeys::new(provider)));
    let verifier = verifier.with_clock(test.clock());
    assert!(verifier.access_token(&test.access_token("hub")).await.is_ok());
    let mut claims = test.claims("hub");
    claims["iss"] = json!("https://keycloak:8080/realms/lab");
    let refusal = verifier.access_token(&test.sign(&claims)).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_issuer");
}
