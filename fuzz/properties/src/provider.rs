//! Documents of a provider: discovery, answers of the token endpoint, introspection and UserInfo.

use std::{cell::RefCell, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use oidc_core::client::{ClientAuth, Grant, TokenEndpoint};
use oidc_core::http::{Http, HttpError};
use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::provider::{Provider, ProviderMetadata};
use oidc_core::testing::TestClock;
use oidc_core::verify::Introspection;
use oidc_core::{Client, Issuer, Secret, Validation};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use url::Url;

use crate::{
    input::first_line,
    tokens::{AUDIENCE, ISSUER, lenient, now},
};

/// Names of members that hold the URL of an endpoint.
const ENDPOINTS: [&str; 9] = [
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
    "device_authorization_endpoint",
    "end_session_endpoint",
];

/// Those of them that may have an alias for clients with a certificate.
const ALIASES: [&str; 6] = [
    "token_endpoint",
    "userinfo_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
    "device_authorization_endpoint",
];

const METADATA: &[u8] = br#"{
    "issuer": "https://issuer.test/realms/lab",
    "jwks_uri": "https://issuer.test/jwks",
    "token_endpoint": "https://issuer.test/token",
    "introspection_endpoint": "https://issuer.test/introspect",
    "userinfo_endpoint": "https://issuer.test/userinfo"
}"#;

/// A discovery document.
pub fn discovery(data: &[u8]) {
    let issuer: Issuer = ISSUER.parse().unwrap();
    let metadata = match ProviderMetadata::parse(&issuer, data) {
        Ok(metadata) => metadata,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let document = lenient(data);
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(metadata.issuer.as_str(), ISSUER);
    // An alias with another name is not read, so it may hold anything.
    let https = |holder: &Map<String, Value>, members: &[&str]| {
        for member in members {
            let url = holder.get(*member).filter(|value| !value.is_null() && **value != "");
            let url: Option<Url> = url.map(|url| url.as_str().unwrap().parse().unwrap());
            assert!(url.is_none_or(|url| url.scheme() == "https"), "{member} without TLS");
        }
    };
    https(&document, &ENDPOINTS);
    if let Some(aliases) = document.get("mtls_endpoint_aliases").and_then(Value::as_object) {
        https(aliases, &ALIASES);
    }
    // The same document again, as an ordinary parser writes it.
    let written = serde_json::to_vec(&document).unwrap();
    let again = ProviderMetadata::parse(&issuer, &written).unwrap();
    assert_eq!(format!("{again:?}"), format!("{metadata:?}"));
}

/// A status and media type in the first line, and the body of an answer after it.
pub fn token_answer(data: &[u8]) {
    let (head, body) = first_line(data);
    let head = String::from_utf8_lossy(head);
    let (status, media_type) = head.split_once(' ').unwrap_or((&head, "application/json"));
    let status = status.parse().ok().and_then(|status: u16| StatusCode::from_u16(status).ok());
    let Ok(answer) = Response::builder()
        .status(status.unwrap_or(StatusCode::OK))
        .header("content-type", media_type)
        .body(Bytes::copy_from_slice(body))
    else {
        return;
    };
    let metadata = ProviderMetadata::parse(&ISSUER.parse().unwrap(), METADATA).unwrap();
    let provider = Provider::with_metadata(metadata, Arc::new(Canned(answer)));
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            tokens(&provider, body).await;
            introspected(&provider, body).await;
            user_info(&provider, body).await;
        });
    });
}

/// Tokens are text that the answer holds, and no text for people shows them.
async fn tokens(provider: &Provider, body: &[u8]) {
    let clock = Arc::new(TestClock::default());
    let endpoint =
        TokenEndpoint::new(provider.clone(), "hub", ClientAuth::None).with_clock(clock.clone());
    let grant = Grant::RefreshToken { refresh_token: Secret::from("r"), scope: None };
    let tokens = match endpoint.request(grant).await {
        Ok(tokens) => tokens,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let answer = Value::Object(lenient(body));
    assert_eq!(answer["access_token"].as_str(), Some(tokens.access_token.expose()));
    assert!(!tokens.access_token.is_empty());
    let shown = format!("{tokens:?}");
    for (name, token) in [("refresh_token", &tokens.refresh_token), ("id_token", &tokens.id_token)]
    {
        let said = answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        assert_eq!(said, token.as_ref().map(Secret::expose));
    }
    let elsewhere = |token: &str| {
        let mut plain = ["scope", "issued_token_type"].into_iter().map(|name| &answer[name]);
        token.len() < 16 || plain.any(|text| format!("{text:?}").contains(token))
    };
    for token in
        [Some(&tokens.access_token), tokens.refresh_token.as_ref(), tokens.id_token.as_ref()]
            .into_iter()
            .flatten()
    {
        assert!(elsewhere(token.expose()) || !shown.contains(token.expose()), "a token is shown");
    }
    if let Some(seconds) = answer.get("expires_in").and_then(Value::as_u64) {
        let expires_at = tokens.expires_at.unwrap();
        let life = expires_at.duration_since(now()).unwrap().as_secs();
        assert!(life == seconds || life < seconds && life >= 10 * 365 * 24 * 3600);
    }
}

/// Only an answer that says `active: true` of this issuer and audience makes a token valid.
async fn introspected(provider: &Provider, body: &[u8]) {
    let endpoint = TokenEndpoint::new(provider.clone(), "hub", ClientAuth::None)
        .with_clock(Arc::new(TestClock::default()));
    let validation = Validation::new(ISSUER.parse().unwrap(), AUDIENCE);
    let introspection = Introspection::new(endpoint, validation).with_cache(0);
    let token = match introspection.access_token("opaque").await {
        Ok(token) => token,
        Err(refusal) => return assert!(!refusal.to_string().is_empty()),
    };
    let answer = Value::Object(lenient(body));
    assert_eq!(answer["active"], Value::Bool(true));
    assert!(answer.get("iss").is_none_or(|iss| iss == ISSUER));
    let audience = &answer["aud"];
    let listed = audience.as_array().is_some_and(|all| all.iter().any(|one| one == AUDIENCE));
    assert!(audience == AUDIENCE || listed);
    assert_eq!(answer["sub"].as_str(), Some(token.subject()));
    assert!(answer.get("cnf").is_none(), "a bound token without its proof");
}

/// Claims count only if they are about the person who signed in.
async fn user_info(provider: &Provider, body: &[u8]) {
    let keys = Arc::new(StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#).unwrap()));
    let client = Client::new(provider.clone(), keys, "hub", ClientAuth::None);
    match client.user_info(&Secret::from("access"), "alice").await {
        Ok(claims) => {
            assert_eq!(lenient(body)["sub"], "alice");
            assert_eq!(*claims.members(), lenient(body));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
    );
}

/// A provider that answers each request alike.
#[derive(Debug)]
struct Canned(Response<Bytes>);

#[async_trait]
impl Http for Canned {
    async fn send(&self, _request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(self.0.clone())
    }
}
