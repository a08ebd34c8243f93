//! Tokens that are bound to the key of DPoP proofs (RFC 9449): a stolen token, or a proof that was seen, opens nothing.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use dev_issuer::Mint;
use e2e::wire::Answer;
use http::Method;
use oidc_core::{Clock as _, Secret, SystemClock, dpop::DpopKey};
use serde_json::json;
use url::Url;

use crate::{
    stage::{Asking, Setup, Stage},
    tokens::code_of,
};

const ROUTES: &str = "\
tokens:
  match: { path: /tokens }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
  identity: { access_token: true }
own:
  match: { path: /own }
  upstream: UPSTREAM
  bearer: application
  access: [{ allow: anyone }]
";

/// A client with its key, and its token.
pub(crate) struct Client {
    pub(crate) key: DpopKey,
    pub(crate) token: Secret,
}

impl Client {
    pub(crate) fn new(stage: &Stage, user: &str) -> Result<Self> {
        Self::with(stage, Mint::access(user).client("gateway"))
    }

    /// With a token of this order, bound to the client's key.
    pub(crate) fn with(stage: &Stage, order: Mint) -> Result<Self> {
        let key = DpopKey::generate()?;
        let cnf = json!({ "jkt": key.thumbprint() });
        Ok(Self { token: Secret::from(stage.issuer.mint(order.claim("cnf", cnf))?), key })
    }

    pub(crate) fn proof_at(
        &self,
        url: &str,
        method: &Method,
        nonce: Option<&str>,
        at: SystemTime,
    ) -> Result<String> {
        let url: Url = url.parse()?;
        let proof = self.key.proof(method, &url, Some(&self.token), nonce, at)?;
        Ok(proof.expose().to_owned())
    }

    pub(crate) fn proof(&self, stage: &Stage, target: &str) -> Result<String> {
        self.proof_at(&stage.world.url(target), &Method::GET, None, SystemClock.now())
    }

    pub(crate) fn authorization(&self) -> String {
        format!("DPoP {}", self.token.expose())
    }

    fn ask<'s>(&self, stage: &'s Stage, target: &str, proof: &str) -> Asking<'s> {
        stage.get(target).header("Authorization", self.authorization()).header("DPoP", proof)
    }

    async fn get(&self, stage: &Stage, target: &str) -> Result<Answer> {
        self.ask(stage, target, &self.proof(stage, target)?).send().await
    }
}

fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status, code_of(answer))
}

fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_passes_with_its_proof_only() -> Result<()> {
    let stage = Setup::new("dpop-proof").with_routes(ROUTES).start().await?;
    let client = Client::new(&stage, "alice")?;
    for target in ["/echo/a?x=1", "/admin/a", "/oauth2/userinfo", "/public/a", "/tokens/a"] {
        let answer = client.get(&stage, target).await?;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
    }
    for target in ["/echo/a?x=1", "/public/a", "/tokens/a"] {
        let seen = stage.upstream.last(target)?;
        assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
        assert!(seen.values("dpop").is_empty(), "the proof is not passed on: {target}");
        assert!(
            seen.values("authorization").is_empty(),
            "a bound token is not passed on: {target}"
        );
    }
    let token = client.token.expose();
    let plain = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let proof = || client.proof(&stage, "/echo/b");
    let thief = Client { key: DpopKey::generate()?, token: client.token.clone() };
    let other = Client::new(&stage, "alice")?;
    let other_token = Client { key: client.key.clone(), token: other.token.clone() };
    for (name, asking, code) in [
        ("as bearer", stage.get("/echo/b").bearer(token), "proof_missing"),
        (
            "as bearer with a proof",
            stage.get("/echo/b").bearer(token).header("DPoP", proof()?),
            "proof_missing",
        ),
        (
            "in the own field",
            stage.get("/echo/b").header("X-Doorward-Token", token).header("DPoP", proof()?),
            "proof_missing",
        ),
        (
            "no proof",
            stage.get("/echo/b").header("Authorization", client.authorization()),
            "proof_missing",
        ),
        (
            "two proofs",
            client.ask(&stage, "/echo/b", &proof()?).header("DPoP", proof()?),
            "proof_several",
        ),
        (
            "one proof twice",
            client.ask(&stage, "/echo/b", &proof()?).header("dpop", proof()?),
            "proof_several",
        ),
        ("an empty proof", client.ask(&stage, "/echo/b", ""), "proof_malformed"),
        ("the token as proof", client.ask(&stage, "/echo/b", token), "proof_malformed"),
        (
            "a list of proofs",
            client.ask(&stage, "/echo/b", &format!("{},{}", proof()?, proof()?)),
            "proof_malformed",
        ),
        (
            "a thief's key",
            client.ask(&stage, "/echo/b", &thief.proof(&stage, "/echo/b")?),
            "proof_wrong_key",
        ),
        (
            "another token's proof",
            client.ask(&stage, "/echo/b", &other_token.proof(&stage, "/echo/b")?),
            "proof_wrong_token",
        ),
        (
            "another path",
            client.ask(&stage, "/echo/b", &client.proof(&stage, "/echo/c")?),
            "proof_wrong_target",
        ),
        (
            "an unbound token",
            stage
                .get("/echo/b")
                .header("Authorization", format!("DPoP {plain}"))
                .header("DPoP", proof()?),
            "not_bound",
        ),
    ] {
        let answer = asking.send().await?;
        assert_eq!(outcome(&answer), refused(code), "{name}: {answer:?}");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.starts_with("DPoP ") && challenge.contains("algs=\""),
            "{name}: {challenge}"
        );
    }
    // Where anyone may call, a token of ours is verified or refused all the same.
    let answer = stage.get("/public/b").bearer(token).send().await?;
    assert_eq!(outcome(&answer), refused("proof_missing"));
    assert!(!stage.reached().iter().any(|target| target.ends_with("/b")), "{:?}", stage.reached());
    // Beside the application's own credentials, the proof is the application's too.
    let ask = client.ask(&stage, "/own/a", "anything");
    assert_eq!(ask.send().await?.status, 200);
    let seen = stage.upstream.last("/own/a")?;
    assert_eq!(seen.value("dpop").as_deref(), Some("anything"));
    assert!(seen.values("x-forwarded-user").is_empty());
    let sent = format!("proof={}; token={token}", proof()?);
    stage.finish(&[&sent])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_for_one_request_at_one_time() -> Result<()> {
    let stage = Stage::new("dpop-once").await?;
    let client = Client::new(&stage, "alice")?;
    let now = SystemClock.now();
    let (own, elsewhere) = (stage.world.url("/echo/a"), "https://evil.example/echo/a");
    let at = |url: &str, method: &Method, at: SystemTime| client.proof_at(url, method, None, at);
    let ask = async |method: &str, proof: String| {
        let ask = stage.ask(method, "/echo/a").header("Authorization", client.authorization());
        let answer = ask.header("DPoP", &proof).send().await?;
        anyhow::Ok((answer.status, code_of(&answer)))
    };
    let proof = at(&own, &Method::GET, now)?;
    assert_eq!(ask("GET", proof.clone()).await?.0, 200);
    // The token is remembered now, and each request still needs a proof of its own.
    assert_eq!(ask("GET", proof.clone()).await?, refused("proof_replayed"));
    assert_eq!(ask("GET", proof).await?, refused("proof_replayed"));
    let late = now.checked_sub(Duration::from_secs(300)).context("time")?;
    for (method, proof, code) in [
        ("POST", at(&own, &Method::GET, now)?, "proof_wrong_method"),
        ("GET", at(&own, &Method::HEAD, now)?, "proof_wrong_method"),
        ("GET", at(elsewhere, &Method::GET, now)?, "proof_wrong_target"),
        ("GET", at(&own.replace("http://", "https://"), &Method::GET, now)?, "proof_wrong_target"),
        ("GET", at(&own, &Method::GET, late)?, "proof_too_old"),
        ("GET", at(&own, &Method::GET, now + Duration::from_secs(300))?, "proof_from_future"),
    ] {
        assert_eq!(ask(method, proof).await?, refused(code), "{method} {code}");
    }
    let head = at(&own, &Method::HEAD, now)?;
    let request = format!(
        "HEAD /echo/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: {}\r\nDPoP: {head}\r\n\r\n",
        client.authorization()
    );
    let mut wire = stage.connect().await?;
    wire.send(&stage.filled(request.as_bytes())).await;
    assert_eq!(wire.answer().await?.status, 200, "HEAD has a proof of its own");
    // A reload forgets no used proof.
    let proof = at(&own, &Method::GET, SystemClock.now())?;
    assert_eq!(client.ask(&stage, "/echo/a", &proof).send().await?.status, 200);
    crate::open_streams::reload(&stage, "match: { path: /ws }", "match: { path: /wss }").await?;
    let answer = client.ask(&stage, "/echo/a", &proof).send().await?;
    assert_eq!(outcome(&answer), refused("proof_replayed"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_may_accept_bound_tokens_only() -> Result<()> {
    let setup = Setup::new("dpop-bound");
    let setup = setup.with_plan(|plan| plan.with_issuer_setting("tokens: { bound: dpop }"));
    let stage = setup.start().await?;
    let client = Client::new(&stage, "alice")?;
    assert_eq!(client.get(&stage, "/echo/a").await?.status, 200);
    let plain = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let answer = stage.get("/echo/b").bearer(&plain).send().await?;
    assert_eq!(outcome(&answer), refused("missing_claim"));
    let answer = stage.get("/echo/b").header("X-Doorward-Token", &plain).send().await?;
    assert_eq!(outcome(&answer), refused("missing_claim"));
    let answer = stage.get("/echo/b").send().await?;
    let offered = answer.headers("www-authenticate");
    assert!(offered.iter().any(|one| one.starts_with("DPoP algs=\"")), "{offered:?}");
    // People sign in as before: their session is no bearer token.
    let cookie = stage.sign_in("alice").await?;
    assert_eq!(stage.get("/echo/c").header("Cookie", &cookie).send().await?.status, 200);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_asked_for_and_renewed() -> Result<()> {
    let setup = Setup::new("dpop-nonce").with_plan(|plan| plan.with("dpop: { nonce: 5m }"));
    let stage = setup.start().await?;
    let client = Client::new(&stage, "alice")?;
    let answer = client.get(&stage, "/echo/a").await?;
    assert_eq!(outcome(&answer), refused("proof_nonce_needed"));
    assert!(answer.header("www-authenticate").contains("error=\"use_dpop_nonce\""), "{answer:?}");
    let nonce = answer.header("dpop-nonce").to_owned();
    assert!(!nonce.is_empty());
    // With a nonce the clock of the client does not matter.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let url = stage.world.url("/echo/a");
    let proof = client.proof_at(&url, &Method::GET, Some(&nonce), long_ago)?;
    let answer = client.ask(&stage, "/echo/a", &proof).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.header("dpop-nonce").is_empty(), "the next nonce comes with the answer");
    let answer = client.ask(&stage, "/echo/a", &proof).send().await?;
    assert_eq!(outcome(&answer), refused("proof_replayed"));
    for wrong in ["", "x", &nonce[1..]] {
        let proof = client.proof_at(&url, &Method::GET, Some(wrong), SystemClock.now())?;
        let answer = client.ask(&stage, "/echo/a", &proof).send().await?;
        assert_eq!(outcome(&answer), refused("proof_nonce_needed"), "{wrong:?}");
    }
    // Other credentials need no nonce, and get none.
    let plain = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let answer = stage.get("/echo/a").bearer(&plain).send().await?;
    assert!(answer.status == 200 && answer.headers("dpop-nonce").is_empty(), "{answer:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_asked_about_is_for_the_request_held() -> Result<()> {
    let stage = Setup::new("dpop-questions").trusting_proxies().start().await?;
    let client = Client::new(&stage, "alice")?;
    let held = |proof: &str, method: Option<&str>| {
        let ask = stage.get("/oauth2/auth").header("Authorization", client.authorization());
        let ask = ask.header("DPoP", proof).header("X-Forwarded-Uri", "/echo/a?x=1");
        match method {
            Some(method) => ask.header("X-Forwarded-Method", method),
            None => ask,
        }
    };
    let post =
        client.proof_at(&stage.world.url("/echo/a"), &Method::POST, None, SystemClock.now())?;
    let answer = held(&post, Some("GET")).send().await?;
    assert_eq!(outcome(&answer), refused("proof_wrong_method"));
    let question = client.proof(&stage, "/oauth2/auth")?;
    let answer = held(&question, Some("GET")).send().await?;
    assert_eq!(
        outcome(&answer),
        refused("proof_wrong_target"),
        "the proxy's own request is another"
    );
    let answer = held(&post, None).send().await?;
    assert_eq!(answer.status, 403, "without the method a proof cannot be judged: {answer:?}");
    let answer = held(&post, Some("POST")).send().await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("x-auth-request-preferred-username"), "alice");
    let answer = held(&post, Some("POST")).send().await?;
    assert_eq!(outcome(&answer), refused("proof_replayed"));
    stage.finish(&[])
}
