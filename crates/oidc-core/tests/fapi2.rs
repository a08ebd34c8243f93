//! FAPI 2.0 Security Profile: the modules of the OpenID Foundation's plan for relying parties, each under its own name.
//!
//! The client pushes its requests. It authenticates with `private_key_jwt` and binds its tokens by DPoP, or does both with a client
//! certificate (RFC 8705): every module runs in both variants. The provider is the test issuer, which answers as the module says;
//! the handshake with a certificate is tested at Keycloak.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_core::Client;
use oidc_core::client::{ClientAuth, PrivateKeyJwt, TokenEndpointError, TokenType};
use oidc_core::dpop::DpopKey;
use oidc_core::login::{LoginError, LoginRequest, PendingLogin};
use oidc_core::testing::{SUBJECT, TestIssuer};
use oidc_core::token::Algorithm;
use serde_json::{Value, json};

const CALLBACK: &str = "https://platform.test/oauth2/callback";
const CLIENT: &str = "gateway";
/// RFC 8037 §A.1
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"gateway-1",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Client authentication and binding of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    PrivateKeyJwtAndDpop,
    Certificate,
}

/// A login up to the redirect back, at a provider that signs with PS256.
struct Module {
    variant: Variant,
    issuer: TestIssuer,
    client: Client,
    pending: PendingLogin,
    query: String,
    nonce: String,
}

impl Module {
    async fn start(variant: Variant) -> Self {
        let issuer = TestIssuer::with_algorithm(Algorithm::PS256);
        issuer.set_metadata("id_token_signing_alg_values_supported", json!(["PS256"]));
        issuer.set_metadata("require_pushed_authorization_requests", json!(true));
        let auth = match variant {
            Variant::PrivateKeyJwtAndDpop => {
                ClientAuth::PrivateKeyJwt(PrivateKeyJwt::from_jwk(&KEY.into()).unwrap())
            }
            Variant::Certificate => ClientAuth::MutualTls,
        };
        let mut client = Client::new(issuer.provider(), issuer.keys(), CLIENT, auth)
            .with_clock(issuer.clock())
            .with_algorithms([Algorithm::PS256]);
        if variant == Variant::PrivateKeyJwtAndDpop {
            client = client.with_dpop(Arc::new(DpopKey::generate().unwrap()));
        }
        let request = LoginRequest::new(CALLBACK.parse().unwrap());
        let (url, pending) = client.begin_login(request).await.unwrap();
        let pushed = issuer.last_request("/par").unwrap();
        let nonce = pushed.value("nonce").unwrap().to_owned();
        let query = issuer.authorize(&url);
        Self { variant, issuer, client, pending, query, nonce }
    }

    /// The token response of a valid login, with this ID token.
    fn answer(&self, id_token: &str) -> Value {
        json!({
            "access_token": "bound-access-token", "token_type": self.token_type(), "expires_in": 300,
            "refresh_token": "bound-refresh-token", "scope": "openid", "id_token": id_token,
        })
    }

    /// Tokens bound to a certificate have the usual type (RFC 8705 §3).
    fn token_type(&self) -> &'static str {
        match self.variant {
            Variant::PrivateKeyJwtAndDpop => "DPoP",
            Variant::Certificate => "Bearer",
        }
    }

    fn id_claims(&self) -> Value {
        self.issuer.id_claims(CLIENT, Some(&self.nonce))
    }

    /// Finishes the login with this token response; the code of the outcome.
    async fn finish(&self, answer: &Value) -> &'static str {
        self.issuer.answer("/token", 200, answer.to_string());
        let code = self.client.parse_callback(&self.query, &self.pending).await.unwrap();
        match self.client.finish_login(code, &self.pending).await {
            Ok(login) => {
                assert_eq!(login.id_token.subject(), SUBJECT);
                let bound_by_key = login.tokens.token_type == TokenType::DPoP;
                assert_eq!(bound_by_key, self.variant == Variant::PrivateKeyJwtAndDpop);
                "ok"
            }
            Err(LoginError::IdToken(refusal)) => refusal.code(),
            Err(LoginError::Token(TokenEndpointError::NotBound)) => "not_bound",
            Err(_) => "another error",
        }
    }

    /// Finishes the login with an ID token whose claims are changed; the verdict, which both variants share.
    async fn with_claims(change: impl Fn(&mut Value)) -> &'static str {
        Self::each(async |module| {
            let mut claims = module.id_claims();
            change(&mut claims);
            let id_token = module.issuer.sign(&claims);
            module.finish(&module.answer(&id_token)).await
        })
        .await
    }

    async fn without_claim(name: &str) -> &'static str {
        Self::with_claims(|claims| drop(claims.as_object_mut().unwrap().remove(name))).await
    }

    /// Runs a module in both variants; their common verdict.
    async fn each(run: impl AsyncFn(Self) -> &'static str) -> &'static str {
        let by_key = run(Self::start(Variant::PrivateKeyJwtAndDpop).await).await;
        let by_certificate = run(Self::start(Variant::Certificate).await).await;
        assert_eq!(by_key, by_certificate, "the variants differ");
        by_key
    }

    /// The verdict on the redirect back; no other request may follow a refusal.
    async fn with_callback(
        change: impl Fn(&str, Option<&str>) -> Option<Option<String>>,
    ) -> &'static str {
        Self::each(async |mut module| {
            let pairs: Vec<(String, String)> =
                url::form_urlencoded::parse(module.query.as_bytes()).into_owned().collect();
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in pairs {
                match change(&name, Some(&value)) {
                    None => drop(query.append_pair(&name, &value)),
                    Some(None) => {}
                    Some(Some(other)) => drop(query.append_pair(&name, &other)),
                }
            }
            module.query = query.finish();
            module.issuer.reset_requests();
            let verdict = module.client.parse_callback(&module.query, &module.pending).await;
            assert_eq!(module.issuer.requests("/token"), 0, "the code is not used after a refusal");
            verdict.map_or_else(|refusal| refusal.code(), |_| "ok")
        })
        .await
    }
}

#[tokio::test]
async fn happy_path() {
    let module = Module::start(Variant::PrivateKeyJwtAndDpop).await;
    let id_token = module.issuer.sign(&module.id_claims());
    assert_eq!(module.finish(&module.answer(&id_token)).await, "ok");
    let request = module.issuer.last_request("/token").unwrap();
    assert_eq!(
        request.value("client_assertion_type").unwrap().rsplit(':').next(),
        Some("jwt-bearer")
    );
    let assertion = part(request.value("client_assertion").unwrap(), 1);
    assert_eq!(assertion["aud"], module.issuer.issuer().as_str(), "the issuer's identifier only");
    assert!(request.value("client_secret").is_none());
    assert!(request.value("code_verifier").is_some());
}

#[tokio::test]
async fn happy_path_no_dpop_nonce() {
    let module = Module::start(Variant::PrivateKeyJwtAndDpop).await;
    let id_token = module.issuer.sign(&module.id_claims());
    assert_eq!(module.finish(&module.answer(&id_token)).await, "ok");
    assert_eq!(module.issuer.requests("/token"), 1, "no second attempt without a nonce");
}

#[tokio::test]
async fn discovery_issuer_mismatch() {
    let issuer = TestIssuer::new();
    issuer.set_metadata("issuer", json!("https://evil.test"));
    let client =
        Client::new(issuer.provider(), issuer.keys(), CLIENT, ClientAuth::SecretBasic("s".into()));
    let begun = client.begin_login(LoginRequest::new(CALLBACK.parse().unwrap())).await;
    assert!(matches!(begun, Err(LoginError::Provider(_))));
    assert_eq!(issuer.requests("/par"), 0);
}

#[tokio::test]
async fn invalid_iss() {
    let verdict = Module::with_claims(|claims| claims["iss"] = json!("https://evil.test")).await;
    assert_eq!(verdict, "wrong_issuer");
    let slash =
        |claims: &mut Value| claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap()));
    assert_eq!(Module::with_claims(slash).await, "wrong_issuer");
}

#[tokio::test]
async fn invalid_aud() {
    assert_eq!(
        Module::with_claims(|claims| claims["aud"] = json!("another")).await,
        "wrong_audience"
    );
}

/// Several audiences are accepted when `azp` names this client (OpenID Connect Core 1.0 §3.1.3.7, step 4).
#[tokio::test]
async fn invalid_secondary_aud() {
    let party = |azp: Value| {
        Module::with_claims(move |claims| {
            claims["aud"] = json!([CLIENT, "untrusted"]);
            claims["azp"] = azp.clone();
        })
    };
    assert_eq!(party(json!("untrusted")).await, "wrong_authorized_party");
    assert_eq!(party(json!(["gateway"])).await, "invalid_claim");
    assert_eq!(party(json!(CLIENT)).await, "ok");
    let without_azp = |claims: &mut Value| {
        claims["aud"] = json!([CLIENT, "untrusted"]);
        claims.as_object_mut().unwrap().remove("azp");
    };
    assert_eq!(Module::with_claims(without_azp).await, "missing_claim");
    let other_azp = |claims: &mut Value| claims["azp"] = json!("untrusted");
    assert_eq!(Module::with_claims(other_azp).await, "wrong_authorized_party");
}

#[tokio::test]
async fn invalid_null_alg() {
    let verdict = Module::each(async |module| {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned =
            format!("{}.{}.", encode(json!({"alg": "none"})), encode(module.id_claims()));
        module.finish(&module.answer(&unsigned)).await
    });
    assert_eq!(verdict.await, "algorithm_not_allowed");
}

#[tokio::test]
async fn invalid_alternate_alg() {
    let verdict = Module::each(async |module| {
        let mut header = module.issuer.header();
        header["alg"] = json!("RS256");
        let other = module.issuer.sign_with(&header, &module.id_claims());
        module.finish(&module.answer(&other)).await
    });
    assert_eq!(verdict.await, "algorithm_not_allowed");
}

#[tokio::test]
async fn invalid_expired_exp() {
    let past = |claims: &mut Value| claims["exp"] = json!(claims["iat"].as_u64().unwrap() - 300);
    assert_eq!(Module::with_claims(past).await, "expired");
}

#[tokio::test]
async fn invalid_missing_exp_aud_or_iss() {
    assert_eq!(Module::without_claim("exp").await, "missing_claim");
    assert_eq!(Module::without_claim("aud").await, "wrong_audience");
    assert_eq!(Module::without_claim("iss").await, "missing_claim");
}

#[tokio::test]
async fn valid_aud_as_array() {
    assert_eq!(Module::with_claims(|claims| claims["aud"] = json!([CLIENT])).await, "ok");
}

#[tokio::test]
async fn invalid_nonce() {
    assert_eq!(
        Module::with_claims(|claims| claims["nonce"] = json!("another")).await,
        "wrong_nonce"
    );
}

#[tokio::test]
async fn invalid_missing_nonce() {
    assert_ne!(Module::without_claim("nonce").await, "ok");
}

#[tokio::test]
async fn invalid_authorization_response_iss() {
    let other =
        |name: &str, _: Option<&str>| (name == "iss").then(|| Some("https://evil.test".to_owned()));
    assert_eq!(Module::with_callback(other).await, "wrong_issuer");
}

#[tokio::test]
async fn remove_authorization_response_iss() {
    let removed = |name: &str, _: Option<&str>| (name == "iss").then_some(None);
    assert_eq!(Module::with_callback(removed).await, "missing_issuer");
}

#[tokio::test]
async fn ensure_authorization_response_with_invalid_state_fails() {
    let other = |name: &str, value: Option<&str>| {
        (name == "state").then(|| Some(format!("{}x", value.unwrap_or_default())))
    };
    assert_eq!(Module::with_callback(other).await, "wrong_state");
}

#[tokio::test]
async fn ensure_authorization_response_with_missing_state_fails() {
    let removed = |name: &str, _: Option<&str>| (name == "state").then_some(None);
    assert_eq!(Module::with_callback(removed).await, "missing_state");
}

#[tokio::test]
async fn token_endpoint_response_without_expires_in() {
    let verdict = Module::each(async |module| {
        let mut answer = module.answer(&module.issuer.sign(&module.id_claims()));
        answer.as_object_mut().unwrap().remove("expires_in");
        module.finish(&answer).await
    });
    assert_eq!(verdict.await, "ok");
}

#[tokio::test]
async fn happy_path_with_a_certificate() {
    let module = Module::start(Variant::Certificate).await;
    let id_token = module.issuer.sign(&module.id_claims());
    assert_eq!(module.finish(&module.answer(&id_token)).await, "ok");
    let request = module.issuer.last_request("/token").unwrap();
    assert_eq!(request.value("client_id"), Some(CLIENT), "the certificate proves the rest");
    assert!(
        request.value("client_assertion").is_none() && request.value("client_secret").is_none()
    );
}

#[tokio::test]
async fn token_type_case_insensitivity() {
    for spelling in ["dpop", "DPOP", "dPoP"] {
        let module = Module::start(Variant::PrivateKeyJwtAndDpop).await;
        let mut answer = module.answer(&module.issuer.sign(&module.id_claims()));
        answer["token_type"] = json!(spelling);
        assert_eq!(module.finish(&answer).await, "ok", "{spelling}");
    }
}

#[tokio::test]
async fn a_bearer_token_is_refused_where_a_bound_one_was_asked_for() {
    let module = Module::start(Variant::PrivateKeyJwtAndDpop).await;
    let mut answer = module.answer(&module.issuer.sign(&module.id_claims()));
    answer["token_type"] = json!("Bearer");
    assert_eq!(module.finish(&answer).await, "not_bound");
}

#[tokio::test]
async fn refresh_token() {
    let module = Module::start(Variant::PrivateKeyJwtAndDpop).await;
    let id_token = module.issuer.sign(&module.id_claims());
    assert_eq!(module.finish(&module.answer(&id_token)).await, "ok");
    let subject_of = |subject: &str| {
        let mut claims = module.issuer.id_claims(CLIENT, None);
        claims["sub"] = json!(subject);
        module.issuer.sign(&claims)
    };
    for (subject, accepted) in [(SUBJECT, true), ("another-subject", false)] {
        let answer = module.answer(&subject_of(subject));
        module.issuer.answer("/token", 200, answer.to_string());
        let refreshed = module.client.refresh(&"bound-refresh-token".into(), SUBJECT).await;
        assert_eq!(refreshed.is_ok(), accepted, "{subject}");
    }
}

fn part(token: &str, index: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
