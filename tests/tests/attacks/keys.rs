//! Caches that must not mix issuers or users, and keys that are rotated and withdrawn.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevIssuer, Endpoint, Fault, Mint, User};
use e2e::visitor::plain_client;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    browser::Browser,
    forger::Forger,
    stage::{Setup, Stage},
    tokens::{all_pass, all_refused, code_of},
};

const SCOPED: &str = "\
read:
  match: { path: /read }
  upstream: UPSTREAM
  access: [{ allow: { scopes: [read] } }]
write:
  match: { path: /write }
  upstream: UPSTREAM
  access: [{ allow: { scopes: [write] } }]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_passed_here_does_not_pass_there() -> Result<()> {
    let stage = Setup::new("attack-cache-scope").with_routes(SCOPED).start().await?;
    let token = stage.issuer.mint(Mint::access("alice").scope("openid read"))?;
    for _ in 0..3 {
        assert_eq!(stage.get("/read/x").bearer(&token).send().await?.status, 200);
        let refused = stage.get("/write/x").bearer(&token).send().await?;
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(
            refused.header("www-authenticate").contains("error=\"insufficient_scope\""),
            "{refused:?}"
        );
    }
    let other = stage.issuer.mint(Mint::access("alice").scope("openid write"))?;
    assert_eq!(stage.get("/write/x").bearer(&other).send().await?.status, 200);
    let scopes = ["readwrite", "Write", "write2", "read,write", "write\u{a0}"];
    for scope in scopes {
        let near =
            stage.issuer.mint(Mint::access("alice").scope("openid").claim("scope", scope))?;
        assert_ne!(stage.get("/write/x").bearer(&near).send().await?.status, 200, "{scope:?}");
    }
    assert!(stage.reached().iter().filter(|target| *target == "/write/x").count() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_tokens_of_two_users_are_never_mixed_up() -> Result<()> {
    let stage = Arc::new(Stage::new("attack-cache-people").await?);
    let sessions = [
        Browser::signed_in(&stage, "alice").await?.cookie(),
        Browser::signed_in(&stage, "bob").await?.cookie(),
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..40_usize {
        let (stage, sessions) = (Arc::clone(&stage), sessions.clone());
        tasks.spawn(async move {
            let mut wire = stage.connect().await?;
            for round in 0..25_usize {
                let who = (task + round) % 2;
                let person = ["alice", "bob"][who];
                let credential = if (task / 2) % 2 == 0 {
                    // A fresh token at intervals, so that many are verified at once.
                    let order =
                        Mint::access(person).claim("round", round / 5).claim("task", task / 10);
                    format!("Authorization: Bearer {}", stage.issuer.mint(order)?)
                } else {
                    format!("Cookie: {}", sessions[who])
                };
                let marker = format!("/echo/{task}/{round}/{person}");
                wire.send(
                    stage.filled(
                        format!("GET {marker} HTTP/1.1\r\nHost: HOST\r\n{credential}\r\n\r\n")
                            .as_bytes(),
                    ),
                )
                .await;
                let answer = wire.answer().await?;
                ensure!(answer.status == 200, "{marker}: {answer:?}");
                let seen = answer.json()?;
                ensure!(
                    seen["target"] == marker.as_str(),
                    "{marker} got the answer to {}",
                    seen["target"]
                );
                let reported = seen["headers"].as_array().context("no headers")?;
                let reported = reported.iter().find(|field| {
                    field[0].as_str().is_some_and(|name| {
                        name.eq_ignore_ascii_case("x-forwarded-preferred-username")
                    })
                });
                ensure!(reported.is_some_and(|field| field[1] == person), "{marker}: {reported:?}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    assert_eq!(stage.reached().len(), 1000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_with_the_same_key_id_do_not_share_the_key() -> Result<()> {
    let forger = Forger::start().await?;
    let other = DevIssuer::builder()
        .user(User::new("mallory", "mallory"))
        .client(dev_issuer::DevClient::public("gateway"))
        .start("127.0.0.1:0")
        .await?;
    let url = forger.url();
    let setup = Setup::new("attack-keys-two-issuers");
    let stage = setup.with_plan(move |plan| plan.with_other_issuer("forger", &url)).start().await?;
    // The other issuer publishes its own key under the id of the first one's.
    let kid = stage.issuer.signing_key_id();
    let published = plain_client()?
        .get(format!("{}/protocol/openid-connect/certs", other.url()))
        .send()
        .await?;
    let published: Value = serde_json::from_str(&published.text().await?)?;
    let own_kid = other.signing_key_id();
    let key = published["keys"]
        .as_array()
        .and_then(|keys| keys.iter().find(|key| key["kid"] == own_kid.as_str()));
    let mut key = key.context("no key")?.clone();
    key["kid"] = json!(kid);
    forger.publish(key);
    let mint = |signer: &DevIssuer, person: &str, iss: &str| {
        signer.mint(
            Mint::access(person).issuer(iss).header("kid", kid.as_str()).audience(["gateway"]),
        )
    };
    let (first, second) = (stage.issuer.url().to_owned(), forger.url());
    let of_second = mint(&other, "mallory", &second)?;
    let good = vec![
        ("of the first", mint(&stage.issuer, "alice", &first)?),
        ("of the second", of_second.clone()),
    ];
    all_pass(&stage, good.clone()).await?;
    let crossed = || -> Result<_> {
        Ok(vec![
            (
                "the second signs as the first".to_owned(),
                mint(&other, "mallory", &first)?,
                "bad_signature",
            ),
            (
                "the first signs as the second".to_owned(),
                mint(&stage.issuer, "alice", &second)?,
                "bad_signature",
            ),
            (
                "of neither".to_owned(),
                mint(&other, "mallory", "https://evil.test")?,
                "wrong_issuer",
            ),
            ("of neither".to_owned(), mint(&stage.issuer, "alice", other.url())?, "wrong_issuer"),
        ])
    };
    all_refused(&stage, crossed()?).await?;
    // The same holds once tokens of both are cached.
    all_pass(&stage, good).await?;
    all_refused(&stage, crossed()?).await?;
    // The second issuer's own tokens still pass.
    let seen = stage.get("/echo").bearer(&of_second).send().await?;
    assert!(seen.body.contains("mallory"), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_key_ids_cost_a_bounded_number_of_fetches() -> Result<()> {
    let stage = Arc::new(Stage::new("attack-keys-junk").await?);
    let good = stage.issuer.mint(Mint::access("alice"))?;
    assert_eq!(stage.get("/echo").bearer(&good).send().await?.status, 200);
    let before = stage.issuer.requests(Endpoint::Jwks);
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move {
            for round in 0..100 {
                let junk = stage
                    .issuer
                    .mint(Mint::access("alice").header("kid", format!("junk-{task}-{round}")))?;
                let answer = stage.get("/echo").bearer(&junk).send().await?;
                ensure!(answer.status == 401 && code_of(&answer) == "unknown_key", "{answer:?}");
            }
            anyhow::Ok(())
        });
    }
    let mut slowest = Duration::ZERO;
    while !tasks.is_empty() {
        let asked = Instant::now();
        let answer = stage.get("/echo").bearer(&good).send().await?;
        ensure!(answer.status == 200, "a valid token among junk: {answer:?}");
        slowest = slowest.max(asked.elapsed());
        while let Ok(Some(done)) = timeout(Duration::from_millis(5), tasks.join_next()).await {
            done??;
        }
    }
    let fetches = stage.issuer.requests(Endpoint::Jwks) - before;
    let allowed = 4 + began.elapsed().as_secs() / 10;
    assert!(fetches <= allowed, "{fetches} fetches for 2,000 junk tokens in {:?}", began.elapsed());
    assert!(slowest < Duration::from_secs(2), "a valid token waited {slowest:?}");
    assert!(stage.reached().iter().all(|target| target == "/echo"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_among_junk_delays_valid_tokens_briefly() -> Result<()> {
    let stage = Stage::new("attack-keys-rotation-junk").await?;
    // The junk uses up the fetches for unknown key ids.
    for round in 0..20 {
        let junk =
            stage.issuer.mint(Mint::access("alice").header("kid", format!("junk-{round}")))?;
        assert_eq!(stage.get("/echo").bearer(&junk).send().await?.status, 401);
    }
    stage.issuer.rotate_keys().await?;
    let fresh = stage.issuer.mint(Mint::access("alice"))?;
    let began = Instant::now();
    while stage.get("/echo").bearer(&fresh).send().await?.status != 200 {
        ensure!(
            began.elapsed() < Duration::from_secs(12),
            "a token of the new key is still refused"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_passes_and_a_withdrawn_one_is_refused() -> Result<()> {
    let stage = Stage::new("attack-keys-rotation").await?;
    let old = stage.issuer.mint(Mint::access("alice"))?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let before = stage.issuer.requests(Endpoint::Jwks);
    stage.issuer.rotate_keys().await?;
    for round in 0..30 {
        let fresh = stage.issuer.mint(Mint::access("alice").claim("round", round))?;
        all_pass(&stage, vec![("of the new key", fresh), ("of the old key", old.clone())]).await?;
        assert_eq!(browser.open("/echo").await?.status, 200);
    }
    let fetches = stage.issuer.requests(Endpoint::Jwks) - before;
    assert!(fetches <= 1, "{fetches} fetches for one rotation");
    // The old key is withdrawn; the next token with a new key makes the gateway fetch.
    stage.issuer.rotate_keys().await?;
    stage.issuer.remove_old_keys();
    let newest = stage.issuer.mint(Mint::access("alice"))?;
    all_pass(&stage, vec![("of the newest key", newest)]).await?;
    all_refused(&stage, vec![("of a withdrawn key".to_owned(), old, "unknown_key")]).await?;
    assert_eq!(browser.open("/echo").await?.status, 200);
    Ok(())
}

/// All keys are withdrawn, and the set is empty or holds only keys that are never used here.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_withdrawn_keys_are_refused_though_no_key_is_left() -> Result<()> {
    for (name, fault) in [("attack-keys-none", Some(Fault::NoKeys)), ("attack-keys-unusable", None)]
    {
        let stage = Stage::new(name).await?;
        let (old, jwks) = (stage.issuer.mint(Mint::access("alice"))?, Endpoint::Jwks);
        all_pass(&stage, vec![("before", old.clone())]).await?;
        let browser = Browser::signed_in(&stage, "alice").await?;
        // An unreadable answer changes nothing.
        for unreadable in [Fault::Garbage, Fault::Html, Fault::CutOff, Fault::Down(503)] {
            stage.issuer.faults().set(unreadable, jwks);
            let junk = stage.issuer.mint(Mint::access("alice").header("kid", "junk"))?;
            let answer = stage.get("/echo").bearer(&junk).send().await?;
            assert_eq!((answer.status, &*code_of(&answer)), (503, "keys_unavailable"), "{fault:?}");
            all_pass(&stage, vec![("though the answer cannot be read", old.clone())]).await?;
        }
        stage.issuer.faults().clear();
        stage.issuer.withdraw_keys();
        if let Some(fault) = fault {
            stage.issuer.faults().set(fault, jwks);
        }
        // A token with an unknown key id makes the gateway fetch, as soon as a fetch is allowed.
        let began = Instant::now();
        let junk = stage.issuer.mint(Mint::access("alice").header("kid", "unheard-of"))?;
        while stage.get("/echo").bearer(&old).send().await?.status != 401 {
            ensure!(began.elapsed() < Duration::from_secs(45), "the old key is still trusted");
            let answer = stage.get("/echo").bearer(&junk).send().await?;
            ensure!(matches!(answer.status, 401 | 503), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let no_kid = stage.issuer.mint(Mint::access("alice").without_header("kid"))?;
        let refused = vec![
            ("remembered".to_owned(), old, "unknown_key"),
            ("new".to_owned(), stage.issuer.mint(Mint::access("alice"))?, "unknown_key"),
            ("without kid".to_owned(), no_kid, "unknown_key"),
        ];
        all_refused(&stage, refused).await?;
        assert_eq!(browser.open("/echo").await?.status, 200, "sessions depend on no key");
        // The next key is noticed soon, also through a token without a key id.
        stage.issuer.rotate_keys().await?;
        stage.issuer.faults().clear();
        let began = Instant::now();
        let fresh = stage.issuer.mint(Mint::access("alice").without_header("kid"))?;
        while stage.get("/echo").bearer(&fresh).send().await?.status != 200 {
            ensure!(began.elapsed() < Duration::from_secs(12), "the new key is still refused");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    Ok(())
}
