//! Logins that are not what they seem: answers of another login, of another provider, of nobody.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Endpoint, Fault, Grant, Mint, User};
use e2e::wire::Answer;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, callback, who, with_parameter},
    forger::{Forger, Members, members, seconds},
    stage::{Setup, Stage},
};

/// The callback ended with a page, and nobody is signed in.
async fn signed_nobody_in(browser: &Browser<'_>, answer: &Answer, what: &str) -> Result<()> {
    ensure!((400..600).contains(&answer.status), "{what}: {answer:?}");
    let session = answer.cookies().into_iter().find(|cookie| !cookie.contains("-login-"));
    ensure!(session.is_none(), "{what} set {session:?}");
    ensure!(browser.who().await?.is_none(), "{what} signed somebody in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_browser_s_answer_signs_nobody_in() -> Result<()> {
    let stage = Stage::new("attack-login-foreign").await?;
    let foreign = async || {
        let attacker = Browser::new(&stage);
        callback(&stage, &attacker.begin("/echo").await?, "bob")
    };
    let fresh = Browser::new(&stage);
    let answer = fresh.open(&foreign().await?).await?;
    signed_nobody_in(&fresh, &answer, "in a fresh browser").await?;

    let victim = Browser::new(&stage);
    let at_provider = victim.begin("/echo").await?;
    let own = callback(&stage, &at_provider, "alice")?;
    let answer = victim.open(&foreign().await?).await?;
    signed_nobody_in(&victim, &answer, "with a login of its own under way").await?;
    // The attacker's code under the victim's state: PKCE binds the code to the browser that asked for it.
    let state = parameter(&own, "state")?;
    let mixed = with_parameter(&foreign().await?, "state", Some(&state));
    let answer = victim.open(&mixed).await?;
    signed_nobody_in(&victim, &answer, "another login's code under this one's state").await?;

    let victim = Browser::signed_in(&stage, "alice").await?;
    let before = victim.session()?;
    let answer = victim.open(&foreign().await?).await?;
    ensure!(answer.cookies().is_empty(), "{answer:?}");
    assert_eq!(victim.session()?, before);
    assert_eq!(victim.who().await?.as_deref(), Some("alice"));
    Ok(())
}

fn parameter(target: &str, name: &str) -> Result<String> {
    let query = target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    Ok(found.with_context(|| format!("no {name} in {target}"))?.1.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_quite_the_one_awaited_is_refused_unused() -> Result<()> {
    let stage = Stage::new("attack-login-altered").await?;
    let redeemed = stage.issuer.token_requests_by_grant(Grant::AuthorizationCode);
    let altered: Vec<(&str, Box<dyn Fn(&str) -> Result<String>>)> = vec![
        ("state altered", Box::new(|target| {
            let state = parameter(target, "state")?;
            Ok(with_parameter(target, "state", Some(&format!("{state}x"))))
        })),
        ("state in another case", Box::new(|target| {
            let state = parameter(target, "state")?;
            let other: String = state.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
            Ok(with_parameter(target, "state", Some(&other)))
        })),
        ("state empty", Box::new(|target| Ok(with_parameter(target, "state", Some(""))))),
        ("no state", Box::new(|target| Ok(with_parameter(target, "state", None)))),
        ("state twice", Box::new(|target| Ok(format!("{target}&state=x")))),
        ("the same state twice", Box::new(|target| Ok(format!("{target}&state={}", parameter(target, "state")?)))),
        ("code twice", Box::new(|target| Ok(format!("{target}&code=x")))),
        ("no code", Box::new(|target| Ok(with_parameter(target, "code", None)))),
        ("code empty", Box::new(|target| Ok(with_parameter(target, "code", Some(""))))),
        ("iss of another", Box::new(|target| Ok(with_parameter(target, "iss", Some("https://evil.test"))))),
        ("iss with a slash more", Box::new(|target| Ok(with_parameter(target, "iss", Some(&format!("{}/", parameter(target, "iss")?)))))),
        ("no iss", Box::new(|target| Ok(with_parameter(target, "iss", None)))),
        ("iss twice", Box::new(|target| Ok(format!("{target}&iss={}", parameter(target, "iss")?)))),
        ("error beside the code", Box::new(|target| Ok(format!("{target}&error=access_denied")))),
        ("a huge state", Box::new(|target| Ok(with_parameter(target, "state", Some(&"x".repeat(20_000)))))),
        ("many parameters", Box::new(|target| Ok(format!("{target}{}", (0..200).map(|n| format!("&p{n}=x")).collect::<String>())))),
    ];
    for (name, alter) in &altered {
        let browser = Browser::new(&stage);
        let target = callback(&stage, &browser.begin("/echo").await?, "alice")?;
        let answer = browser.open(&alter(&target)?).await?;
        signed_nobody_in(&browser, &answer, name).await?;
    }
    assert_eq!(stage.issuer.token_requests_by_grant(Grant::AuthorizationCode), redeemed, "a code was sent to the provider");
    // A made-up code does go there, and signs nobody in.
    let browser = Browser::new(&stage);
    let target = callback(&stage, &browser.begin("/echo").await?, "alice")?;
    let answer = browser.open(&with_parameter(&target, "code", Some("made-up"))).await?;
    signed_nobody_in(&browser, &answer, "a made-up code").await?;
    assert_eq!(stage.reached(), Vec::<String>::new());
    let browser = Browser::new(&stage);
    let target = callback(&stage, &browser.begin("/echo?x=1").await?, "alice")?;
    assert_eq!(browser.open(&target).await?.header("location"), "/echo?x=1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_counts_once() -> Result<()> {
    let stage = Stage::new("attack-login-twice").await?;
    let browser = Browser::new(&stage);
    let target = callback(&stage, &browser.begin("/echo").await?, "alice")?;
    let with_login = browser.cookie();
    ensure!(browser.open(&target).await?.status == 302);
    let session = browser.session()?;
    // Again in the same browser, as the back button does: nothing changes.
    let again = browser.open(&target).await?;
    ensure!(again.cookies().is_empty(), "{again:?}");
    assert_eq!(browser.session()?, session);
    // Again with the cookie the browser had then, as somebody does who kept a copy.
    let replayed = stage.get(&target).header("Cookie", &with_login).as_navigation().send().await?;
    ensure!(replayed.status == 400 && replayed.cookies().is_empty(), "{replayed:?}");
    assert_eq!(who(&stage, &with_login).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_answers_for_another_login_signs_nobody_in() -> Result<()> {
    let stage = Stage::new("attack-login-faults").await?;
    for (fault, endpoint) in [
        (Fault::WrongNonce, Endpoint::Token), (Fault::WrongIssuer, Endpoint::Token), (Fault::WrongIssuer, Endpoint::Authorization),
        (Fault::WrongNonce, Endpoint::All),
    ] {
        let browser = Browser::new(&stage);
        let at_provider = browser.begin("/echo").await?;
        stage.issuer.faults().set(fault, endpoint);
        let target = callback(&stage, &at_provider, "alice")?;
        let answer = browser.open(&target).await?;
        stage.issuer.faults().clear();
        signed_nobody_in(&browser, &answer, &format!("{fault:?} at {endpoint:?}")).await?;
    }
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.who().await?.as_deref(), Some("alice"));
    Ok(())
}

/// The token endpoint's answer to a login with this nonce.
type Answering<'f> = Box<dyn Fn(&Forger, &str) -> Result<Value> + 'f>;

/// An answer whose ID token has other claims.
fn claiming(change: impl Fn(&mut Members) + 'static) -> Answering<'static> {
    Box::new(move |forger, nonce| {
        let mut claims = forger.id_claims(nonce);
        change(&mut claims);
        tokens(forger, forger.token(&Forger::header(), &claims)?)
    })
}

fn tokens(forger: &Forger, id_token: String) -> Result<Value> {
    let access_token = forger.token(&Forger::header(), &forger.claims())?;
    Ok(json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token }))
}

fn set(name: &'static str, value: Value) -> Answering<'static> {
    claiming(move |claims| drop(claims.insert(name.to_owned(), value.clone())))
}

fn without(name: &'static str) -> Answering<'static> {
    claiming(move |claims| drop(claims.remove(name)))
}

fn headed(header: Value) -> Answering<'static> {
    Box::new(move |forger, nonce| tokens(forger, forger.token(&members(header.clone()), &forger.id_claims(nonce))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_id_token_of_this_login_signs_somebody_in() -> Result<()> {
    let forger = Forger::start().await?;
    let url = forger.url();
    let stage = Setup::new("attack-login-id-token").with_plan(move |plan| plan.with_issuer(&url)).start().await?;
    let now = seconds();
    let bad: Vec<(&str, Answering<'_>)> = vec![
        ("another nonce", set("nonce", json!("another"))),
        ("no nonce", without("nonce")),
        ("nonce of the wrong type", set("nonce", json!(["x"]))),
        ("empty nonce", set("nonce", json!(""))),
        ("another issuer", set("iss", json!("https://evil.test"))),
        ("another audience", set("aud", json!("elsewhere"))),
        ("no audience", without("aud")),
        ("for others too, without azp", claiming(|claims| {
            claims.insert("aud".into(), json!(["gateway", "elsewhere"]));
            claims.remove("azp");
        })),
        ("made for another client", set("azp", json!("elsewhere"))),
        ("no subject", without("sub")),
        ("empty subject", set("sub", json!(""))),
        ("no iat", without("iat")),
        ("no exp", without("exp")),
        ("expired", set("exp", json!(now - 3600))),
        ("exp as text", set("exp", json!("9999999999"))),
        ("an access token", Box::new(|forger, nonce| {
            let mut claims = forger.claims();
            claims.insert("nonce".into(), json!(nonce));
            tokens(forger, forger.token(&Forger::header(), &claims)?)
        })),
        ("a refresh token", set("typ", json!("Refresh"))),
        ("a logout token", set("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }))),
        ("an at+jwt", headed(json!({ "alg": "ES256", "typ": "at+jwt", "kid": "forged-key" }))),
        ("hash of another access token", set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
        ("hash of another code", set("c_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
        ("unsigned", headed(json!({ "alg": "none", "typ": "JWT" }))),
        ("of an unknown key", headed(json!({ "alg": "ES256", "typ": "JWT", "kid": "another" }))),
        ("of a key it brings along", Box::new(|forger, nonce| {
            let header = members(json!({ "alg": "ES256", "typ": "JWT", "jwk": forger.public_key() }));
            tokens(forger, forger.token(&header, &forger.id_claims(nonce))?)
        })),
        ("altered", Box::new(|forger, nonce| {
            let token = forger.token(&Forger::header(), &forger.id_claims(nonce))?;
            let (input, _) = token.rsplit_once('.').context("no signature")?;
            tokens(forger, format!("{input}.{}", "A".repeat(86)))
        })),
        ("no ID token", Box::new(|forger, nonce| {
            let mut answer = tokens(forger, nonce.to_owned())?;
            answer["id_token"] = json!(null);
            Ok(answer)
        })),
        ("ID token that is none", Box::new(|forger, _| tokens(forger, "x.y.z".to_owned()))),
        ("no access token", Box::new(|forger, nonce| {
            let id_token = forger.token(&Forger::header(), &forger.id_claims(nonce))?;
            Ok(json!({ "token_type": "Bearer", "expires_in": 300, "id_token": id_token }))
        })),
        ("another type of access token", Box::new(|forger, nonce| {
            let mut answer = tokens(forger, forger.token(&Forger::header(), &forger.id_claims(nonce))?)?;
            answer["token_type"] = json!("mac");
            Ok(answer)
        })),
        ("a list", Box::new(|_, _| Ok(json!([1])))),
        ("an error with 200", Box::new(|_, _| Ok(json!({ "error": "invalid_grant" })))),
    ];
    let attempt = async |answering: &Answering<'_>| {
        let browser = Browser::new(&stage);
        let at_provider = browser.begin("/echo").await?;
        let of = |name: &str| parameter(at_provider.as_str(), name);
        forger.answer_token_requests(200, &answering(&forger, &of("nonce")?)?);
        let answer = browser.open(&format!("/oauth2/callback?code=c&state={}", of("state")?)).await?;
        anyhow::Ok((browser, answer))
    };
    for (name, answering) in &bad {
        let (browser, answer) = attempt(answering).await?;
        signed_nobody_in(&browser, &answer, name).await?;
    }
    let good: Vec<(&str, Answering<'_>)> = vec![
        ("plain", claiming(|_| {})),
        ("for others too, with azp", set("aud", json!(["gateway", "elsewhere"]))),
        ("more claims", set("x", json!([{ "a": 1 }]))),
    ];
    for (name, answering) in &good {
        let (browser, answer) = attempt(answering).await?;
        ensure!(answer.status == 302 && browser.who().await?.is_some(), "{name}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_there_before_a_login_is_dead_after_it() -> Result<()> {
    let stage = Stage::new("attack-login-fixation").await?;
    let attacker = Browser::signed_in(&stage, "bob").await?;
    let (name, planted) = attacker.session()?;
    let victim = Browser::new(&stage);
    victim.plant(&name, &planted);
    ensure!(victim.sign_in("alice").await?.status == 302);
    let (_, first) = victim.session()?;
    assert_ne!(first, planted);
    assert_eq!(victim.who().await?.as_deref(), Some("alice"));
    assert_eq!(attacker.who().await?, None, "the planted session lives on");

    // A value that an attacker made up is not taken over either.
    let invented = "A".repeat(43);
    let other = Browser::new(&stage);
    other.plant(&name, &invented);
    ensure!(other.sign_in("alice").await?.status == 302);
    assert_ne!(other.session()?.1, invented);
    assert_eq!(who(&stage, format!("{name}={invented}")).await?, None);

    // And the same person's next login is another session, in place of the first.
    ensure!(victim.sign_in("alice").await?.status == 302);
    let (_, second) = victim.session()?;
    assert_ne!(second, first);
    assert_eq!(who(&stage, format!("{name}={first}")).await?, None, "the session before lives on beside the new one");
    assert_eq!(victim.who().await?.as_deref(), Some("alice"));
    // In another browser nothing has changed.
    assert_eq!(other.who().await?.as_deref(), Some("alice"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_stands_on_pages_as_text() -> Result<()> {
    const HOSTILE: &str = "</bdi></title><img src=x onerror=alert(1)><script>alert(1)</script>\"'>{{7*7}}";
    let stage = Setup::new("attack-login-pages")
        .with_issuer(|issuer| issuer.user(User::new("mallory", "mallory").name(HOSTILE).email("\"><svg onload=alert(1)>@evil.test")))
        .start()
        .await?;
    let browser = Browser::new(&stage);
    let state = parameter(&callback(&stage, &browser.begin("/echo").await?, "alice")?, "state")?;
    let iss = stage.issuer.url();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("error", HOSTILE), ("error_description", HOSTILE), ("error_uri", "javascript:alert(1)"), ("state", &state), ("iss", iss)])
        .finish();
    let error = browser.open(&format!("/oauth2/callback?{query}")).await?;
    let mallory = Browser::signed_in(&stage, "mallory").await?;
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let pages = [
        ("callback", error),
        ("callback of nobody", Browser::new(&stage).open(&format!("/oauth2/callback?error={encoded}&state={encoded}")).await?),
        ("portal", mallory.open("/oauth2/portal").await?),
        ("sign out", mallory.open(&format!("/oauth2/sign_out?rd=/{encoded}")).await?),
        ("refused", mallory.open(&format!("/admin/{encoded}?{encoded}")).await?),
        ("sign in", Browser::new(&stage).open(&format!("/oauth2/sign_in?rd=/{encoded}")).await?),
        ("signed out", Browser::new(&stage).open(&format!("/oauth2/signed_out?state=/{encoded}")).await?),
        ("no such page", mallory.open(&format!("/oauth2/{encoded}")).await?),
        ("unknown issuer", Browser::new(&stage).open(&format!("/oauth2/start?issuer={encoded}")).await?),
    ];
    for (name, page) in pages {
        ensure!(page.header("content-type").starts_with("text/html"), "{name}: {page:?}");
        for mark in ["<img", "<script", "<svg onload", "javascript:", "onerror=alert(1)>"] {
            ensure!(!page.body.contains(mark), "{name} holds {mark}: {}", page.body);
        }
        let policy = page.header("content-security-policy");
        for directive in ["default-src 'none'", "frame-ancestors 'none'"] {
            ensure!(policy.contains(directive), "{name}: {policy:?}");
        }
        ensure!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{name}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{name}");
        assert_eq!(page.header("cache-control"), "no-store", "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_reaches_nobody_and_brings_nothing_back() -> Result<()> {
    let stage = Stage::new("attack-refused").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let expired = stage.issuer.mint(Mint::access("alice").expired())?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        let asking = [
            stage.ask(method, "/admin/secret"),
            stage.ask(method, "/admin/secret").as_navigation(),
            stage.ask(method, "/admin/secret").header("Cookie", bob.cookie()),
            stage.ask(method, "/admin/secret").bearer(&token),
            stage.ask(method, "/admin/secret").bearer(&expired),
            stage.ask(method, "/echo").header("Origin", "https://evil.test").header("Access-Control-Request-Method", "GET"),
            stage.ask(method, "/nowhere"),
        ];
        for (number, asking) in asking.into_iter().enumerate() {
            let asking = if matches!(method, "POST" | "PUT" | "PATCH") { asking.body("x=1") } else { asking };
            let answer = asking.send().await?;
            ensure!(matches!(answer.status, 302 | 401 | 403 | 404), "{method} {number}: {answer:?}");
            ensure!(!answer.body.contains("\"target\""), "{method} {number}: {answer:?}");
            ensure!(answer.status != 302 || answer.body.is_empty(), "{method} {number}: {answer:?}");
        }
    }
    assert_eq!(stage.reached(), Vec::<String>::new());
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.open("/admin/secret").await?.status, 200);
    Ok(())
}
