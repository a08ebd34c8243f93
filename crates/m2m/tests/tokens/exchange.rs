//! Token exchange: a user's token for one with a service's audience, a workload's own token for another.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Grant, Mint, User};
use m2m::{
    CachedTokens, ClientCredentials, Exchange, ExchangedTokens, FileCache, IssuerTokens, JwtBearer,
    PresentedToken, TokenError, TokenSource,
};
use oidc_core::Secret;
use oidc_core::client::TokenEndpoint;

use crate::job::{Hand, endpoint, http};

/// A service that calls other services on behalf of its callers.
pub(crate) struct Caller {
    pub(crate) issuer: DevIssuer,
    pub(crate) clock: Hand,
    endpoint: TokenEndpoint,
    pub(crate) tokens: ExchangedTokens,
}

impl Caller {
    pub(crate) async fn start() -> Self {
        let clock = Hand::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let time = clock.clone();
        let portal = DevClient::public("portal").audience("reports");
        let issuer = DevIssuer::builder()
            .user(User::new("alice", "alice"))
            .user(User::new("bob", "bob"))
            .client(portal)
            .client(DevClient::confidential("reports", "reports-secret").audience("reports"))
            .client(DevClient::confidential("churn", "x"))
            .client(DevClient::confidential("sales", "x"))
            .clock(Arc::new(move || oidc_core::Clock::now(&time)))
            .start("127.0.0.1:0")
            .await
            .unwrap();
        let endpoint = endpoint(issuer.url(), http(), "reports", "reports-secret")
            .with_clock(Arc::new(clock.clone()));
        let tokens = ExchangedTokens::new(endpoint.clone()).with_clock(Arc::new(clock.clone()));
        Self { issuer, clock, endpoint, tokens }
    }

    pub(crate) fn token_of(&self, user: &str) -> Secret {
        self.issuer.log_in(user, "portal", "openid").unwrap().access_token.into()
    }

    pub(crate) fn asked(&self) -> u64 {
        self.issuer.token_requests_by_grant(Grant::TokenExchange)
    }
}

pub(crate) fn for_churn() -> Exchange {
    Exchange::new().with_audience("churn")
}

fn claims(token: &Secret) -> serde_json::Value {
    use base64::Engine as _;
    let payload = token.expose().split('.').nth(1).unwrap();
    let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&octets).unwrap()
}

#[tokio::test]
async fn a_persons_token_is_exchanged_once_for_each_audience() {
    let caller = Caller::start().await;
    let alice = caller.token_of("alice");
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (tokens, alice) = (caller.tokens.clone(), alice.clone());
            tokio::spawn(async move { tokens.exchange(&alice, &for_churn()).await })
        })
        .collect();
    for task in asking {
        let token = task.await.unwrap().unwrap();
        let (of_churn, of_alice) = (claims(token.secret()), claims(&alice));
        assert_eq!(of_churn["aud"], "churn");
        assert_eq!(of_churn["sub"], of_alice["sub"]);
    }
    assert_eq!(caller.asked(), 1);
    let for_sales = Exchange::new().with_audience("sales");
    let token = caller.tokens.exchange(&alice, &for_sales).await.unwrap();
    assert_eq!(claims(token.secret())["aud"], "sales");
    assert_eq!(caller.asked(), 2);
}

#[tokio::test]
async fn a_caller_never_gets_the_exchanged_token_of_another() {
    let caller = Caller::start().await;
    let (alice, bob) = (caller.token_of("alice"), caller.token_of("bob"));
    for _ in 0..20 {
        for subject in [&alice, &bob] {
            let token = caller.tokens.exchange(subject, &for_churn()).await.unwrap();
            assert_eq!(claims(token.secret())["sub"], claims(subject)["sub"]);
        }
    }
    assert_eq!(caller.asked(), 2);
}

#[tokio::test]
async fn an_exchanged_token_is_not_kept_longer_than_its_subject() {
    let caller = Caller::start().await;
    let session = caller.issuer.log_in("alice", "portal", "openid").unwrap();
    let sid = claims(&session.access_token.into())["sid"].as_str().unwrap().to_owned();
    let short = Mint::access("alice").client("portal").audience(["reports"]).sid(sid);
    let short = caller.issuer.mint(short.expires_in(Duration::from_secs(60))).unwrap().into();
    let first = caller.tokens.exchange(&short, &for_churn()).await.unwrap();
    assert_eq!(caller.tokens.exchange(&short, &for_churn()).await.unwrap(), first);
    caller.clock.advance(Duration::from_secs(61));
    assert!(first.expires_at() > Some(oidc_core::Clock::now(&caller.clock)), "it would be good");
    let refused = caller.tokens.exchange(&short, &for_churn()).await.unwrap_err();
    assert!(matches!(refused, TokenError::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn a_refusal_is_one_persons_and_an_outage_everybodys() {
    let caller = Caller::start().await;
    let (alice, bob) = (caller.token_of("alice"), caller.token_of("bob"));
    let forged = Secret::from("eyJhbGciOiJub25lIn0.e30.");
    assert!(matches!(
        caller.tokens.exchange(&forged, &for_churn()).await,
        Err(TokenError::Refused { .. })
    ));
    let kept = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();

    caller.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let before = caller.issuer.requests(Endpoint::Token);
    for _ in 0..20 {
        let error = caller.tokens.exchange(&bob, &for_churn()).await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    }
    assert_eq!(caller.issuer.requests(Endpoint::Token), before + 1);
    assert_eq!(caller.tokens.exchange(&alice, &for_churn()).await.unwrap(), kept);
    caller.clock.advance(Duration::from_secs(280));
    assert_eq!(caller.tokens.exchange(&alice, &for_churn()).await.unwrap(), kept, "still good");
    caller.clock.advance(Duration::from_secs(21));
    assert!(caller.tokens.exchange(&alice, &for_churn()).await.is_err());
}

#[tokio::test]
async fn a_rejected_token_is_exchanged_again_once_for_all_callers() {
    let caller = Caller::start().await;
    let alice = caller.token_of("alice");
    let first = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    let rejecting: Vec<_> = (0..50)
        .map(|_| {
            let (tokens, alice, first) = (caller.tokens.clone(), alice.clone(), first.clone());
            tokio::spawn(async move { tokens.exchange_after(&first, &alice, &for_churn()).await })
        })
        .collect();
    let mut renewed = Vec::new();
    for task in rejecting {
        renewed.push(task.await.unwrap().unwrap());
    }
    let second = renewed.pop().unwrap();
    assert_ne!(second, first);
    assert!(renewed.iter().all(|token| *token == second));
    assert_eq!(caller.asked(), 2);
    assert_eq!(caller.tokens.exchange(&alice, &for_churn()).await.unwrap(), second);

    let again = caller.tokens.exchange_after(&second, &alice, &for_churn()).await.unwrap();
    assert_eq!(again, second, "a service that refuses every token");
    assert_eq!(caller.asked(), 2);
}

#[tokio::test]
async fn a_rejected_token_is_what_there_is_while_the_issuer_is_down() {
    let caller = Caller::start().await;
    let alice = caller.token_of("alice");
    let first = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    caller.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let before = caller.issuer.requests(Endpoint::Token);
    for _ in 0..10 {
        let token = caller.tokens.exchange_after(&first, &alice, &for_churn()).await.unwrap();
        assert_eq!(token, first);
    }
    assert_eq!(caller.issuer.requests(Endpoint::Token), before + 1);
}

#[tokio::test]
async fn a_workload_exchanges_its_own_token() {
    let caller = Caller::start().await;
    let clock: Arc<dyn oidc_core::Clock> = Arc::new(caller.clock.clone());
    let own = IssuerTokens::new(caller.endpoint.clone(), ClientCredentials::new());
    let own = CachedTokens::new(own).with_clock(Arc::clone(&clock));
    let subject = PresentedToken::from_source(own);
    let source = IssuerTokens::exchange(caller.endpoint.clone(), subject, for_churn());
    assert!(source.cache_key().is_some());
    let tokens = CachedTokens::new(source).with_clock(clock);
    for _ in 0..10 {
        let token = tokens.token().await.unwrap();
        assert_eq!(claims(token.secret())["aud"], "churn");
    }
    assert_eq!(caller.asked(), 1);
}

#[tokio::test]
async fn a_subject_in_a_file_is_read_each_time() {
    let caller = Caller::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let source =
        IssuerTokens::exchange(caller.endpoint.clone(), PresentedToken::file(&file), for_churn());
    let missing = source.token().await.unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    for user in ["alice", "bob"] {
        let subject = caller.token_of(user);
        std::fs::write(&file, format!("{}\n", subject.expose())).unwrap();
        let token = source.token().await.unwrap();
        assert_eq!(claims(token.secret())["sub"], claims(&subject)["sub"]);
    }
}

#[tokio::test]
async fn who_acts_for_a_person_is_named_in_the_token() {
    let caller = Caller::start().await;
    let own = IssuerTokens::new(caller.endpoint.clone(), ClientCredentials::new());
    let own_token = own.token().await.unwrap();
    let wanted = for_churn().with_actor(PresentedToken::from_source(own));
    let alice = caller.token_of("alice");
    let token = caller.tokens.exchange(&alice, &wanted).await.unwrap();
    let claims_of_token = claims(token.secret());
    assert_eq!(claims_of_token["sub"], claims(&alice)["sub"]);
    assert_eq!(claims_of_token["act"]["sub"], claims(own_token.secret())["sub"]);
    assert_eq!(caller.tokens.exchange(&alice, &wanted).await.unwrap(), token);
    let alone = caller.tokens.exchange(&alice, &for_churn()).await.unwrap();
    assert_eq!(claims(alone.secret()).get("act"), None, "it is another token");
    assert_eq!(caller.asked(), 2);
}

#[tokio::test]
async fn a_trusted_issuers_assertion_is_taken_for_a_token() {
    let partner = DevIssuer::builder().client(DevClient::public("agent")).user(User::new("x", "x"));
    let partner = partner.start("127.0.0.1:0").await.unwrap();
    let certs = format!("{}/protocol/openid-connect/certs", partner.url());
    let http = http();
    let jwks =
        http.send(http::Request::get(certs).body(Default::default()).unwrap()).await.unwrap();
    let jwks = String::from_utf8(jwks.into_body().to_vec()).unwrap();
    let issuer = DevIssuer::builder()
        .user(User::new("alice", "alice"))
        .client(DevClient::confidential("job", "job-secret").scope("score"))
        .trust(partner.url(), jwks)
        .start("127.0.0.1:0")
        .await
        .unwrap();
    let assertion = Mint::access("x").audience([issuer.url()]).claim("sub", "alice");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("assertion");
    std::fs::write(&file, partner.mint(assertion).unwrap()).unwrap();

    let endpoint = endpoint(issuer.url(), http, "job", "job-secret");
    let grant = JwtBearer::new(PresentedToken::file(&file)).with_scope("score");
    let source = IssuerTokens::jwt_bearer(endpoint, grant);
    assert!(source.cache_key().is_some());
    let token = CachedTokens::new(source).token().await.unwrap();
    let claims = claims(token.secret());
    assert_eq!(claims["preferred_username"], "alice");
    assert!(claims["scope"].as_str().unwrap().contains("score"));
}

#[tokio::test]
async fn what_is_known_by_a_secret_only_is_not_kept_in_files() {
    let caller = Caller::start().await;
    let folder = tempfile::tempdir().unwrap();
    let alice = caller.token_of("alice");
    let source = IssuerTokens::exchange(caller.endpoint.clone(), alice, for_churn());
    assert_eq!(source.cache_key(), None);
    let files = FileCache::in_directory(folder.path().join("doorward"));
    let clock = Arc::new(caller.clock.clone());
    let tokens = CachedTokens::new(source).with_clock(clock).with_file_cache(&files);
    tokens.token().await.unwrap();
    assert!(!folder.path().join("doorward").exists());
}
