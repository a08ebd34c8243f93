//! API keys at the gateway: what a key opens and never opens, and what ends it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dev_issuer::{DevClient, DevIssuer, Mint};
use e2e::{
    wait,
    wire::{Answer, Wire},
};
use serde_json::{Value, json};

use crate::{
    open_streams::{closes, reload, socket},
    stage::{CLIENT_SECRET, Setup, Stage},
    tokens::code_of,
};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ROUTES: &str = "\
index:
  match: { path: /simple }
  upstream: UPSTREAM
  title: Package index
  basic: true
  access: [{ path: /simple/open/**, allow: anyone }, { allow: { roles: [admin] } }]
registry:
  match: { path: /v2 }
  upstream: UPSTREAM
  preset: registry
  access: [{ allow: signed_in }]
jobs:
  match: { path: /jobs }
  upstream: UPSTREAM
  basic: true
  identity: { access_token: true }
  access: [{ allow: [{ clients: [ci] }, { scopes: [openid] }, { clients: [gateway] }, { acr: \"1\" }, { max_age: 1h }] }]
";

pub(crate) const KEYS: &str =
    "api_keys: { max_age: 90d, routes: [index, registry, jobs, ws], suspend_after: 30d }";

pub(crate) fn setup(name: &str) -> Setup {
    Setup::new(name).with_routes(ROUTES).with_plan(|plan| plan.with(KEYS))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A key and its identifier.
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) id: String,
}

impl Stage {
    /// A request to the admin listener.
    pub(crate) async fn on_admin(&self, method: &str, target: &str, body: &str) -> Result<Answer> {
        let port = self.gateway.admin_port();
        let mut wire = Wire::connect(port).await?;
        let length = body.len();
        wire.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        wire.answer().await
    }

    /// Makes a key as the operator.
    pub(crate) async fn key(&self, wish: Value) -> Result<Key> {
        let answer = self.on_admin("POST", "/keys", &wish.to_string()).await?;
        ensure!(answer.status == 201, "{answer:?}");
        let made = answer.json()?;
        let text =
            |name: &str| made[name].as_str().map(str::to_owned).context("a member is missing");
        Ok(Key { text: text("key")?, id: text("id")? })
    }

    /// Status of `GET /simple/x` with a key as a bearer token.
    async fn opens(&self, key: &str) -> Result<u16> {
        Ok(self.get("/simple/x").bearer(key).send().await?.status)
    }

    /// The audit line of a refusal whose reason has these words.
    async fn refused_because(&self, words: &str) -> Result<()> {
        wait::until(words, PATIENCE, async || {
            let lines = self.gateway.audit()?;
            Ok(lines.iter().any(|line| line.to_string().contains(words)).then_some(()))
        })
        .await
    }
}

/// A key with a right checksum that no gateway made.
fn well_formed(id: &str, letter: char) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let text = format!("dw_{id}_{}", String::from(letter).repeat(52));
    let sum = !text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    });
    let bits = u64::from(sum) << 3;
    let letters = (0..7).rev().map(|at| char::from(ALPHABET[(bits >> (5 * at)) as usize & 31]));
    format!("{text}_{}", letters.collect::<String>())
}

fn of(user: &str, routes: &[&str]) -> Value {
    json!({ "user": user, "routes": routes, "expires_in": 3600, "label": "laptop" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_the_identity_of_its_owner() -> Result<()> {
    let stage = setup("api-key-identity").start().await?;
    let answer = stage.on_admin("POST", "/keys", &of("alice", &["index"]).to_string()).await?;
    assert_eq!(answer.status, 404, "she has not signed in: {answer:?}");
    let alice = stage.sign_in("alice").await?;
    let bob = stage.sign_in("bob").await?;
    let key = stage.key(of("alice", &["index", "registry"])).await?;
    for ask in [
        stage.get("/simple/x").bearer(&key.text),
        stage.get("/simple/x").header("Authorization", basic("__token__", &key.text)),
        stage.get("/simple/x").header("Authorization", basic("", &key.text)),
        stage.get("/simple/x").header("X-Doorward-Token", &key.text),
        stage.get("/simple/open/x").bearer(&key.text),
        stage.get("/v2/").bearer(&key.text),
        stage.get("/simple/x").bearer(&key.text).header("Cookie", &alice),
    ] {
        let answer = ask.send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = stage.upstream.requests().pop().context("nothing reached the upstream")?;
        assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
        assert!(!String::from_utf8_lossy(&seen.head).contains(&key.text), "the key stays here");
    }
    // A browser remembers a password, and sends it for the pages of other sites too.
    let ask = stage.get("/simple/x").header("Authorization", basic("x", &key.text));
    let answer = ask.header("Origin", "https://evil.test").send().await?;
    assert_eq!((answer.status, &*code_of(&answer)), (403, "foreign_origin"));
    // An owner without the role has no more by a key.
    let bobs = stage.key(of("bob", &["index"])).await?;
    let answer = stage.get("/simple/x").bearer(&bobs.text).send().await?;
    assert_eq!((answer.status, &*code_of(&answer)), (403, "forbidden"));
    // Another caller's credential beside it.
    let token = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    for (name, value) in [("Cookie", bob.as_str()), ("X-Doorward-Token", token.as_str())] {
        let ask = stage.get("/simple/x").bearer(&key.text).header(name, value);
        let answer = ask.send().await?;
        assert_eq!((answer.status, &*code_of(&answer)), (400, "credentials_disagree"), "{name}");
    }
    let users = wait::until("the audit lines of the key", PATIENCE, async || {
        let lines = stage.gateway.audit()?;
        let via =
            lines.iter().filter(|line| line["via"] == "api_key" && line["key"] == key.id.as_str());
        let users: Vec<_> = via.map(|line| line["user"].clone()).collect();
        Ok((!users.is_empty()).then_some(users))
    })
    .await?;
    assert!(users.iter().all(|user| user == "alice"), "{users:?}");
    stage.gateway.finish(&[key.text, bobs.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_no_own_url_and_no_other_route() -> Result<()> {
    let stage = setup("api-key-elsewhere").start().await?;
    stage.sign_in("alice").await?;
    let key = stage.key(of("alice", &["index"])).await?;
    for target in ["/oauth2/keys", "/oauth2/userinfo", "/oauth2/portal", "/oauth2/registry_token"] {
        for field in [format!("Bearer {}", key.text), basic("x", &key.text)] {
            let answer = stage.get(target).header("Authorization", &field).send().await?;
            assert!(matches!(answer.status, 302 | 401 | 403), "{target}: {answer:?}");
            assert!(!answer.body.contains("alice") && !answer.body.contains(&key.text), "{target}");
        }
    }
    let answer = stage.get("/oauth2/keys").bearer(&key.text).send().await?;
    assert_eq!((answer.status, &*code_of(&answer)), (401, "invalid_api_key"));
    let form =
        stage.post("/oauth2/keys").bearer(&key.text).form(&[("days", "1"), ("route", "index")]);
    assert_eq!(form.send().await?.status, 401);
    // `/v2` takes keys, and not this one; `/echo` takes none.
    for target in ["/v2/", "/echo/x", "/public/x", "/admin/x"] {
        let answer = stage.get(target).bearer(&key.text).send().await?;
        assert_eq!((answer.status, &*code_of(&answer)), (403, "api_key_other_route"), "{target}");
    }
    assert_eq!(stage.opens(&key.text).await?, 200);
    let dpop = stage.get("/simple/open/x").header("Authorization", format!("DPoP {}", key.text));
    assert_eq!(dpop.send().await?.status, 401, "a key is bound to nothing");
    assert_eq!(stage.reached(), ["/simple/x"]);
    stage.gateway.finish(&[key.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_key_has_its_reason_in_the_log_alone() -> Result<()> {
    let stage = setup("api-key-wrong").start().await?;
    stage.sign_in("alice").await?;
    let key = stage.key(of("alice", &["index"])).await?;
    let revoked = stage.key(of("alice", &["index"])).await?;
    let answer = stage.on_admin("DELETE", &format!("/keys/{}", revoked.id), "").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let typo = format!("{}{}", &key.text[..79], if key.text.ends_with('a') { "b" } else { "a" });
    let unknown = well_formed("bbbbbbbbbbbbbbbb", 'c');
    let forged = well_formed(&key.id, 'c');
    let mut answers = Vec::new();
    for (text, reason) in [
        ("dw_".to_owned(), "API key malformed"),
        (key.text.to_uppercase().replacen("DW_", "dw_", 1), "API key malformed"),
        (typo, "API key mistyped"),
        (unknown, "unknown: it never existed"),
        (forged, "has another secret"),
        (revoked.text.clone(), "was revoked"),
    ] {
        for ask in [
            stage.get("/simple/x").bearer(&text),
            stage.get("/simple/open/x").bearer(&text),
            stage.get("/simple/x").header("Authorization", basic("x", &text)),
        ] {
            let answer = ask.send().await?;
            assert_eq!((answer.status, &*code_of(&answer)), (401, "invalid_api_key"), "{reason}");
            assert!(answer.headers("www-authenticate")[0].starts_with("Basic "), "{answer:?}");
            let mut body = answer.json()?;
            for own in ["request_id", "instance"] {
                body[own] = Value::Null;
            }
            answers.push(body);
        }
        stage.refused_because(reason).await?;
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers tell nothing: {answers:?}");
    assert!(stage.reached().is_empty());
    assert_eq!(stage.opens(&key.text).await?, 200);
    stage.gateway.finish(&[key.text, revoked.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_one_address_are_bounded() -> Result<()> {
    let stage = setup("api-key-guesses").start().await?;
    stage.sign_in("alice").await?;
    let key = stage.key(of("alice", &["index"])).await?;
    assert_eq!(stage.opens(&key.text).await?, 200);
    let guess = well_formed(&key.id, 'd');
    let mut refused = 0;
    for _ in 0..10 {
        let guesses = (0..200).map(|_| stage.get("/simple/x").bearer(&guess).send());
        for answer in futures_util::future::join_all(guesses).await {
            let answer = answer?;
            match (answer.status, &*code_of(&answer)) {
                (401, "invalid_api_key") => {}
                (503, "too_many_requests") => refused += 1,
                other => anyhow::bail!("{other:?}: {answer:?}"),
            }
        }
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "guesses are not bounded");
    assert_eq!(stage.opens(&key.text).await?, 200, "a key that was used before is not held up");
    stage.gateway.finish(&[key.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_key_counts_as_its_client_and_has_no_roles() -> Result<()> {
    let stage = setup("api-key-client").start().await?;
    stage.sign_in("alice").await?;
    let wish = json!({ "client": "ci", "routes": ["jobs", "index"], "expires_in": 3600 });
    let key = stage.key(wish).await?;
    let answer = stage.get("/jobs/x").bearer(&key.text).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = stage.upstream.last("/jobs/x")?;
    assert_eq!(seen.value("x-forwarded-user").as_deref(), Some("ci"));
    assert!(seen.values("authorization").is_empty(), "a key is no access token: {seen:?}");
    assert!(seen.values("x-forwarded-roles").is_empty());
    assert_eq!(stage.opens(&key.text).await?, 403, "it has no roles");
    // A person's key is no token of the gateway's client, has no scopes, and is no sign-in.
    let alices = stage.key(of("alice", &["jobs"])).await?;
    let answer = stage.get("/jobs/x").bearer(&alices.text).send().await?;
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    let answer = stage.on_admin("DELETE", "/keys?client=ci", "").await?;
    assert_eq!(answer.json()?["revoked"].as_array().map(Vec::len), Some(1), "{answer:?}");
    assert_eq!(stage.get("/jobs/x").bearer(&key.text).send().await?.status, 401);
    stage.gateway.finish(&[key.text, alices.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_sessions_leave_keys_and_a_revocation_ends_all() -> Result<()> {
    let stage = setup("api-key-revoke-all").start().await?;
    stage.sign_in("alice").await?;
    let (one, two) =
        (stage.key(of("alice", &["index"])).await?, stage.key(of("alice", &["index"])).await?);
    let listed = stage.on_admin("GET", "/keys", "").await?.json()?;
    let subject = listed["keys"][0]["subject"].as_str().context("no subject")?.to_owned();
    assert!(!listed.to_string().contains(&one.text) && !listed.to_string().contains("digest"));
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(2));
    let answer = stage.on_admin("DELETE", &format!("/sessions?user={subject}"), "").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.opens(&one.text).await?, 200, "keys are not sessions");
    let answer = stage.on_admin("DELETE", "/keys?user=alice", "").await?;
    assert_eq!(answer.json()?["revoked"].as_array().map(Vec::len), Some(2), "{answer:?}");
    for key in [&one, &two] {
        assert_eq!(stage.opens(&key.text).await?, 401);
    }
    for (method, target, body, status) in [
        ("DELETE", "/keys?user=carol", "", 404),
        ("DELETE", "/keys?user=alice&client=ci", "", 400),
        ("DELETE", "/keys", "", 400),
        ("DELETE", "/keys/aaaaaaaaaaaaaaaa", "", 404),
        ("DELETE", "/keys/x", "", 404),
        ("GET", "/keys?user=alice", "", 400),
        ("POST", "/keys", "{}", 400),
        ("POST", "/keys", r#"{"user":"alice","routes":["echo"],"expires_in":60}"#, 400),
        ("POST", "/keys", r#"{"user":"alice","routes":[],"expires_in":60}"#, 400),
        ("POST", "/keys", r#"{"user":"alice","routes":["index"],"expires_in":7776001}"#, 400),
        ("POST", "/keys", r#"{"user":"alice","routes":["index"],"expires_in":1}"#, 400),
        ("POST", "/keys", r#"{"user":"a","client":"b","routes":["index"],"expires_in":60}"#, 400),
        ("POST", "/keys", r#"{"user":"alice","routes":["index"],"expires_in":60,"admin":1}"#, 400),
        (
            "POST",
            "/keys",
            r#"{"user":"alice","issuer":"x","routes":["index"],"expires_in":60}"#,
            400,
        ),
    ] {
        let answer = stage.on_admin(method, target, body).await?;
        assert_eq!(answer.status, status, "{method} {target} {body}: {answer:?}");
    }
    stage.gateway.finish(&[one.text, two.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_client_uses_its_key_at_the_token_endpoint() -> Result<()> {
    let stage = setup("api-key-registry").start().await?;
    stage.sign_in("alice").await?;
    let key = stage.key(of("alice", &["registry"])).await?;
    let ask = stage.get("/oauth2/registry_token?service=x&scope=repository:lab/churn:pull,push");
    let answer = ask.header("Authorization", basic("alice", &key.text)).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()?["token"], Value::from(key.text.as_str()));
    assert_eq!(stage.get("/v2/").bearer(&key.text).send().await?.status, 200);
    let other = stage.key(of("alice", &["index"])).await?;
    let ask = stage.get("/oauth2/registry_token");
    let answer = ask.header("Authorization", basic("alice", &other.text)).send().await?;
    assert_eq!(answer.status, 403, "{answer:?}");
    stage.gateway.finish(&[key.text, other.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_revoked() -> Result<()> {
    let stage = setup("api-key-stream").start().await?;
    stage.sign_in("alice").await?;
    let key = stage.key(of("alice", &["ws"])).await?;
    let bearer = format!("Bearer {}", key.text);
    let mut socket = socket(&stage, "/ws", &[("authorization", &bearer)]).await?;
    stage.on_admin("DELETE", &format!("/keys/{}", key.id), "").await?;
    closes(&mut socket, PATIENCE).await?;
    stage.gateway.finish(&[key.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_a_proxy_take_keys_as_the_route_does() -> Result<()> {
    let stage = setup("api-key-question").trusting_proxies().start().await?;
    stage.sign_in("alice").await?;
    let key = stage.key(of("alice", &["index"])).await?;
    for (uri, status) in
        [("/simple/x", 202), ("/v2/", 403), ("/echo/x", 403), ("/oauth2/keys", 403)]
    {
        let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", uri).bearer(&key.text);
        let answer = ask.send().await?;
        assert_eq!(answer.status, status, "{uri}: {answer:?}");
    }
    stage.gateway.finish(&[key.text])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_subject_of_another_issuer_has_no_keys() -> Result<()> {
    let stage = setup("api-key-issuer").start().await?;
    stage.sign_in("alice").await?;
    let person = stage.key(of("alice", &["index"])).await?;
    let program = json!({ "client": "ci", "routes": ["jobs"], "expires_in": 3600 });
    let program = stage.key(program).await?;
    assert_eq!(stage.opens(&person.text).await?, 200);
    assert_eq!(stage.get("/jobs/x").bearer(&program.text).send().await?.status, 200);
    let client = DevClient::confidential("gateway", CLIENT_SECRET).audience("gateway");
    let other = DevIssuer::builder().client(client).start("127.0.0.1:0").await?;
    reload(&stage, stage.issuer.url(), other.url()).await?;
    assert_eq!(stage.opens(&person.text).await?, 401);
    assert_eq!(stage.get("/jobs/x").bearer(&program.text).send().await?.status, 401);
    stage.refused_because("the issuer of its owner is not configured").await?;
    stage.gateway.finish(&[person.text, program.text])
}
