//! Logins whose request the client signs (RFC 9101) and whose answer the provider signs (JARM).

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_core::client::{ClientAuth, PrivateKeyJwt};
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{LoginError, LoginRequest, PendingLogin, callback};
use oidc_core::testing::{Fault, SUBJECT, TestIssuer, TestKey};
use oidc_core::token::Algorithm;
use oidc_core::{Client, Secret, TokenRefusal};
use serde_json::{Value, json};
use url::Url;

const CALLBACK: &str = "https://platform.test/oauth2/callback";

fn client(issuer: &TestIssuer) -> Client {
    let auth = ClientAuth::SecretBasic("hunter2".into());
    Client::new(issuer.provider(), issuer.keys(), "gateway", auth).with_clock(issuer.clock())
}

fn request() -> LoginRequest {
    LoginRequest::new(CALLBACK.parse().unwrap())
}

fn parameters(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

/// A login that asked for a signed answer, and the claims of a valid one.
struct Scene {
    issuer: TestIssuer,
    client: Client,
    pending: PendingLogin,
    claims: Value,
}

async fn scene() -> Scene {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (url, pending) = client
        .begin_login(request().with_response_mode_jwt().without_pushed_request())
        .await
        .unwrap();
    assert_eq!(parameters(&url).get("response_mode").map(String::as_str), Some("query.jwt"));
    let plain = issuer.authorize(&url);
    let plain: BTreeMap<_, _> =
        url::form_urlencoded::parse(plain.as_bytes()).into_owned().collect();
    let claims = json!({
        "iss": issuer.issuer().as_str(), "aud": "gateway", "exp": issuer.now() + 60,
        "code": plain.get("code"), "state": plain.get("state"),
    });
    Scene { issuer, client, pending, claims }
}

impl Scene {
    async fn verdict(&self, response: &str) -> &'static str {
        let query = format!("response={response}");
        let parsed = self.client.parse_callback(&query, &self.pending).await;
        parsed.map_or_else(|refusal| refusal.code(), |_| "ok")
    }

    /// The verdict on the valid answer with a change.
    async fn changed(&self, change: impl FnOnce(&mut Value)) -> &'static str {
        let mut claims = self.claims.clone();
        change(&mut claims);
        self.verdict(&self.issuer.sign(&claims)).await
    }

    async fn without(&self, claim: &str) -> &'static str {
        self.changed(|claims| drop(claims.as_object_mut().unwrap().remove(claim))).await
    }
}

#[tokio::test]
async fn a_signed_answer_leads_to_a_login() {
    let scene = scene().await;
    let query = format!("response={}", scene.issuer.sign(&scene.claims));
    assert_eq!(callback::state(&query).as_deref(), Some(scene.pending.state()));
    // As restored from its storage.
    let kept = serde_json::to_string(&scene.pending).unwrap();
    let pending: PendingLogin = serde_json::from_str(&kept).unwrap();
    let code = scene.client.parse_callback(&query, &pending).await.unwrap();
    let login = scene.client.finish_login(code, &pending).await.unwrap();
    assert_eq!(login.id_token.subject(), SUBJECT);
}

/// Keycloak writes `iss` as the claim of any JWT, and once more as the parameter of any answer (RFC 9207).
#[tokio::test]
async fn an_issuer_that_is_named_twice_is_read_if_both_say_the_same() {
    let scene = scene().await;
    let answer = |more: &str| {
        let claims = scene.claims.to_string();
        let payload = format!("{},{more}}}", claims.strip_suffix('}').unwrap());
        scene.issuer.sign_raw(scene.issuer.header().to_string().as_bytes(), payload.as_bytes())
    };
    let ours = scene.issuer.issuer();
    let same = answer(&format!(r#""iss":"{ours}""#));
    assert_eq!(scene.verdict(&same).await, "ok");
    let state = callback::state(&format!("response={same}"));
    assert_eq!(state.as_deref(), Some(scene.pending.state()));
    for other in [r#""iss":"https://evil.test""#, r#""code":"another""#, r#""x":{"a":1,"a":1}"#] {
        assert_eq!(scene.verdict(&answer(other)).await, "malformed", "{other}");
    }
}

/// FAPI 2.0 Message Signing, the relying party's eight JARM modules.
#[tokio::test]
async fn ensure_jarm() {
    let scene = scene().await;
    assert_eq!(scene.changed(|_| {}).await, "ok");
    // ensure-jarm-without-iss, ensure-jarm-with-invalid-iss
    assert_eq!(scene.without("iss").await, "missing_claim");
    assert_eq!(scene.changed(|c| c["iss"] = json!("https://evil.test")).await, "wrong_issuer");
    let slash = format!("{}/", scene.issuer.issuer());
    assert_eq!(scene.changed(|c| c["iss"] = json!(slash)).await, "wrong_issuer");
    // ensure-jarm-without-aud, ensure-jarm-with-invalid-aud
    assert_eq!(scene.without("aud").await, "wrong_audience");
    assert_eq!(scene.changed(|c| c["aud"] = json!("another")).await, "wrong_audience");
    assert_eq!(scene.changed(|c| c["aud"] = json!(["gateway", "another"])).await, "invalid_claim");
    assert_eq!(scene.changed(|c| c["aud"] = json!(["gateway"])).await, "ok");
    // ensure-jarm-without-exp, ensure-jarm-with-expired-exp
    assert_eq!(scene.without("exp").await, "missing_claim");
    let past = scene.issuer.now() - 31;
    assert_eq!(scene.changed(|c| c["exp"] = json!(past)).await, "expired");
    // ensure-jarm-with-invalid-sig
    let (message, _) = scene
        .issuer
        .sign(&scene.claims)
        .rsplit_once('.')
        .map(|(message, signature)| (message.to_owned(), signature.to_owned()))
        .unwrap();
    let forged = TestKey::nth(7, Algorithm::RS256).sign(Algorithm::RS256, message.as_bytes());
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(forged));
    assert_eq!(scene.verdict(&forged).await, "bad_signature");
    // ensure-jarm-signature-is-not-none
    let none = json!({"alg": "none"});
    for header in [none, json!({"alg": "HS256"})] {
        let unsigned = scene.issuer.sign_with(&header, &scene.claims);
        assert_eq!(scene.verdict(&unsigned).await, "algorithm_not_allowed");
    }
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(scene.claims.to_string())
    );
    assert_eq!(scene.verdict(&unsigned).await, "algorithm_not_allowed");
}

#[tokio::test]
async fn a_signed_answer_belongs_to_one_login() {
    let scene = scene().await;
    assert_eq!(scene.without("state").await, "missing_state");
    assert_eq!(scene.changed(|c| c["state"] = json!("another")).await, "wrong_state");
    assert_eq!(scene.changed(|c| c["state"] = json!(["x"])).await, "invalid_claim");
    assert_eq!(scene.without("code").await, "missing_code");
    assert_eq!(scene.changed(|c| c["code"] = json!("")).await, "missing_code");
    assert_eq!(scene.changed(|c| c["code"] = json!(1)).await, "invalid_claim");
    let refused = |c: &mut Value| {
        c.as_object_mut().unwrap().remove("code");
        c["error"] = json!("access_denied");
    };
    assert_eq!(scene.changed(refused).await, "provider_error");
    let refused_elsewhere = |c: &mut Value| {
        refused(c);
        c["state"] = json!("another");
    };
    assert_eq!(scene.changed(refused_elsewhere).await, "wrong_state");
}

#[tokio::test]
async fn another_kind_of_jwt_is_refused_as_an_answer() {
    let scene = scene().await;
    for typ in ["ID", "Bearer", "Refresh", "Logout"] {
        assert_eq!(scene.changed(|c| c["typ"] = json!(typ)).await, "wrong_type", "{typ}");
    }
    for typ in ["at+jwt", "logout+jwt", "oauth-authz-req+jwt", "dpop+jwt"] {
        let mut header = scene.issuer.header();
        header["typ"] = json!(typ);
        let token = scene.issuer.sign_with(&header, &scene.claims);
        assert_eq!(scene.verdict(&token).await, "wrong_type", "{typ}");
    }
    let id_token = scene.issuer.id_token("gateway", None);
    assert_eq!(scene.verdict(&id_token).await, "wrong_type");
    for malformed in ["", "x", "a.b", "a.b.c.d.e"] {
        assert_eq!(scene.verdict(malformed).await, "malformed", "{malformed}");
    }
}

#[tokio::test]
async fn an_answer_is_signed_if_that_was_asked_for_and_only_then() {
    let scene = scene().await;
    let state = scene.pending.state();
    let plain = format!("code=code-1&state={state}&iss={}", scene.issuer.issuer());
    let parsed = async |query: &str, pending: &PendingLogin| {
        let parsed = scene.client.parse_callback(query, pending).await;
        parsed.map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    assert_eq!(parsed(&plain, &scene.pending).await, "not_signed");
    let error = format!("error=access_denied&state={state}&iss={}", scene.issuer.issuer());
    assert_eq!(parsed(&error, &scene.pending).await, "not_signed");
    assert_eq!(parsed("code=a&state=another", &scene.pending).await, "wrong_state");
    assert_eq!(parsed("", &scene.pending).await, "missing_state");
    let metadata = scene.client.provider().metadata().await.unwrap();
    let refusal = callback::parse(&plain, &scene.pending, &metadata).unwrap_err();
    assert_eq!(refusal, CallbackRefusal::NotSigned);
    // Parameters beside the signed answer are ignored.
    let mut broken = scene.claims.clone();
    broken["state"] = json!("another");
    let both = format!("{plain}&response={}", scene.issuer.sign(&broken));
    assert_eq!(parsed(&both, &scene.pending).await, "wrong_state");
    let twice = format!("response={0}&response={0}", scene.issuer.sign(&scene.claims));
    assert_eq!(parsed(&twice, &scene.pending).await, "duplicate_parameter");

    let (_, unasked) = scene.client.begin_login(request()).await.unwrap();
    let mut claims = scene.claims.clone();
    claims["state"] = json!(unasked.state());
    let signed = format!("response={}", scene.issuer.sign(&claims));
    assert_eq!(parsed(&signed, &unasked).await, "missing_state");
}

#[tokio::test(start_paused = true)]
async fn without_keys_an_answer_is_neither_good_nor_bad() {
    let scene = scene().await;
    scene.issuer.fail(Fault::Down);
    let query = format!("response={}", scene.issuer.sign(&scene.claims));
    let refusal = scene.client.parse_callback(&query, &scene.pending).await.unwrap_err();
    assert!(matches!(refusal, CallbackRefusal::Response(TokenRefusal::KeysUnavailable { .. })));
}

#[tokio::test]
async fn a_signed_answer_needs_a_provider_that_signs_it() {
    let issuer = TestIssuer::new();
    let asked = async |modes: Value| {
        issuer.set_metadata("response_modes_supported", modes);
        let client = client(&issuer);
        let request = request().with_response_mode_jwt().without_pushed_request();
        client.begin_login(request).await.map(|(url, _)| parameters(&url)["response_mode"].clone())
    };
    assert_eq!(asked(json!(["query", "jwt", "query.jwt"])).await.unwrap(), "query.jwt");
    assert_eq!(asked(json!(["query", "jwt"])).await.unwrap(), "jwt");
    let error = asked(json!(["query", "fragment", "form_post.jwt"])).await.unwrap_err();
    assert!(matches!(error, LoginError::NotSupported { .. }), "{error}");
}

proptest::proptest! {
    #[test]
    fn random_text_is_refused_as_an_answer(
        query in "((response|state|code|iss|error)=[a-zA-Z0-9._%&=+-]{0,80}&?){0,4}",
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
    ) {
        use std::sync::LazyLock;
        static SCENE: LazyLock<(tokio::runtime::Runtime, Scene)> = LazyLock::new(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            let scene = runtime.block_on(scene());
            (runtime, scene)
        });
        let (runtime, scene) = &*SCENE;
        let encoded = URL_SAFE_NO_PAD.encode(&bytes);
        let signed = format!("response=eyJhbGciOiJSUzI1NiJ9.{encoded}.{encoded}");
        for query in [query, signed, String::from_utf8_lossy(&bytes).into_owned()] {
            let _ = callback::state(&query);
            let parsed = runtime.block_on(scene.client.parse_callback(&query, &scene.pending));
            proptest::prop_assert!(parsed.is_err(), "{}", query);
        }
    }
}

/// RFC 8037 §A.1
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"gateway-1",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn key() -> PrivateKeyJwt {
    PrivateKeyJwt::from_jwk(&Secret::from(KEY)).unwrap()
}

/// Header and claims of a request object, after its signature is verified without this crate.
fn opened(object: &str) -> (Value, Value) {
    let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let (message, signature) = object.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let json = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(claims))
}

#[tokio::test]
async fn several_resources_are_asked_for_at_once() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (first, second) = ("https://a.example", "https://b.example/api");
    let plain = request().with_resource(first).with_resource(second).without_pushed_request();
    let (url, _) = client.begin_login(plain.clone()).await.unwrap();
    let sent = url.query_pairs().filter(|(name, _)| name == "resource");
    assert_eq!(sent.map(|(_, value)| value.into_owned()).collect::<Vec<_>>(), [first, second]);
    let (url, _) = client.begin_login(plain.with_signed_request(key())).await.unwrap();
    let (_, claims) = opened(&parameters(&url)["request"]);
    assert_eq!(claims["resource"], json!([first, second]));
    let one = request().with_resource(first).with_signed_request(key()).without_pushed_request();
    let (url, _) = client.begin_login(one).await.unwrap();
    assert_eq!(opened(&parameters(&url)["request"]).1["resource"], json!(first));
}

#[tokio::test]
async fn a_signed_request_holds_all_parameters() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let request = request()
        .with_scopes(["profile"])
        .with_max_age(Duration::from_secs(3600))
        .with_login_hint("alice")
        .with_parameter("claims", r#"{"id_token":{"acr":{"essential":true}}}"#)
        .with_parameter("request", "eyJhbGciOiJub25lIn0")
        .with_response_mode_jwt()
        .with_signed_request(key())
        .without_pushed_request();
    let (url, pending) = client.begin_login(request.clone()).await.unwrap();
    let shown = parameters(&url);
    let names: Vec<_> = shown.keys().map(String::as_str).collect();
    assert_eq!(names, ["client_id", "request", "response_type", "scope"]);
    assert_eq!(shown["client_id"], "gateway");
    assert_eq!(shown["response_type"], "code");
    assert_eq!(shown["scope"], "openid profile");

    let (header, claims) = opened(&shown["request"]);
    let expected = json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt", "kid": "gateway-1"});
    assert_eq!(header, expected);
    let now = issuer.now();
    for (claim, expected) in [
        ("iss", json!("gateway")),
        ("aud", json!("https://issuer.test/realms/lab")),
        ("iat", json!(now)),
        ("nbf", json!(now - 10)),
        ("exp", json!(now + 60)),
        ("client_id", json!("gateway")),
        ("response_type", json!("code")),
        ("response_mode", json!("query.jwt")),
        ("redirect_uri", json!(CALLBACK)),
        ("scope", json!("openid profile")),
        ("state", json!(pending.state())),
        ("code_challenge_method", json!("S256")),
        ("max_age", json!(3600)),
        ("login_hint", json!("alice")),
        ("claims", json!({"id_token": {"acr": {"essential": true}}})),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }
    assert!(claims["nonce"].is_string() && claims["code_challenge"].is_string());
    assert!(claims.get("sub").is_none() && claims.get("request").is_none());
    assert_eq!(claims.as_object().unwrap().len(), 18);

    let (url, _) = client.begin_login(request).await.unwrap();
    let (_, second) = opened(&parameters(&url)["request"]);
    assert_ne!(second["jti"], claims["jti"]);
    assert!(second["jti"].as_str().unwrap().len() >= 22);
}

#[tokio::test]
async fn a_signed_request_that_is_pushed_holds_even_that() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (_, pending) = client.begin_login(request().with_signed_request(key())).await.unwrap();
    let pushed = issuer.last_request("par").unwrap();
    let names: Vec<_> = pushed.form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_id", "request"]);
    assert!(pushed.authorization.unwrap().starts_with("Basic "));
    let (_, claims) = opened(&pushed.form[1].1);
    assert_eq!(claims["state"], pending.state());
}

#[tokio::test]
async fn a_request_that_cannot_be_signed_is_not_sent_unsigned() {
    let issuer = TestIssuer::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.json");
    std::fs::write(&path, KEY).unwrap();
    let key = PrivateKeyJwt::from_file(&path, None, None).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = client(&issuer).begin_login(request().with_signed_request(key)).await.unwrap_err();
    assert!(matches!(error, LoginError::RequestObject(_)), "{error}");
    assert!(error.is_temporary());
    assert_eq!(issuer.requests("par"), 0);
}
