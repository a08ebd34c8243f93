//! Logins at a provider with one issuer for each tenant.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use oidc_core::client::ClientAuth;
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{Login, LoginError, LoginRequest};
use oidc_core::provider::IssuerTemplate;
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::{Client, TokenRefusal};
use serde_json::{Value, json};

const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

fn issuer(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

/// Reason that a login failed.
#[derive(Debug)]
enum Failed {
    Callback(CallbackRefusal),
    Login(LoginError),
}

/// A login whose answer names `answered`, and whose ID token has these claims beside the usual ones of tenant `t-2`.
async fn log_in(answered: &str, changes: Value) -> Result<Login, Failed> {
    let provider = TestIssuer::named(TEMPLATE, Algorithm::RS256);
    let auth = ClientAuth::SecretBasic("hunter2".into());
    let client = Client::new(provider.provider(), provider.keys(), "gateway", auth)
        .with_tenants(IssuerTemplate::new(TEMPLATE, ["t-1", "t-2"]).unwrap())
        .with_clock(provider.clock());
    let request = LoginRequest::new("https://platform.test/oauth2/callback".parse().unwrap());
    let (url, pending) = client.begin_login(request.without_pushed_request()).await.unwrap();
    let nonce = url.query_pairs().find(|(name, _)| name == "nonce").unwrap().1.into_owned();

    let mut claims = provider.id_claims("gateway", Some(&nonce));
    claims["iss"] = json!(issuer("t-2"));
    claims["tid"] = json!("t-2");
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let mut tokens = provider.token_set("gateway", Some(&nonce));
    tokens["id_token"] = json!(provider.sign(&claims));
    provider.answer("token", 200, tokens.to_string());

    let answer = provider.authorize(&url);
    let pairs = url::form_urlencoded::parse(answer.as_bytes()).filter(|(name, _)| name != "iss");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(pairs).append_pair("iss", answered).finish();
    let code = client.parse_callback(&query, &pending).await.map_err(Failed::Callback)?;
    client.finish_login(code, &pending).await.map_err(Failed::Login)
}

#[tokio::test]
async fn people_of_listed_tenants_log_in() {
    for tenant in ["t-1", "t-2"] {
        let changes = json!({ "iss": issuer(tenant), "tid": tenant });
        let login = log_in(&issuer(tenant), changes).await.unwrap();
        assert_eq!(login.id_token.issuer.as_deref(), Some(&*issuer(tenant)));
        assert_eq!(login.id_token.confirmed_by().as_str(), TEMPLATE);
    }
}

#[tokio::test]
async fn an_id_token_of_another_tenant_is_refused() {
    for (changes, expected) in [
        (json!({ "iss": issuer("t-3"), "tid": "t-3" }), "wrong_issuer"),
        (json!({ "iss": issuer("organizations") }), "wrong_issuer"),
        (json!({ "iss": TEMPLATE }), "wrong_issuer"),
        (json!({ "tid": "t-1" }), "invalid_claim"),
        (json!({ "tid": "t-3" }), "invalid_claim"),
        (json!({ "iss": issuer("t-1") }), "invalid_claim"),
        (json!({ "tid": ["t-2"] }), "invalid_claim"),
    ] {
        let refused = log_in(&issuer("t-2"), changes.clone()).await.unwrap_err();
        let Failed::Login(LoginError::IdToken(refusal)) = refused else {
            panic!("{changes}: {refused:?}");
        };
        assert_eq!(TokenRefusal::code(&refusal), expected, "{changes}");
    }
}

#[tokio::test]
async fn an_answer_names_a_listed_tenant() {
    for other in [&*issuer("t-3"), TEMPLATE, &*issuer("organizations"), "https://evil.test"] {
        let refused = log_in(other, json!({})).await.unwrap_err();
        let Failed::Callback(CallbackRefusal::WrongIssuer { .. }) = refused else {
            panic!("{other}: {refused:?}");
        };
    }
}
