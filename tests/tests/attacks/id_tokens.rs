//! ID tokens that are not of this login: none signs a user in, although the provider's own key signed them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    forger::{Forger, Members, members, seconds},
    login_flow::{parameter, stayed_signed_out},
    stage::Setup,
};

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
    Ok(
        json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token }),
    )
}

fn set(name: &'static str, value: Value) -> Answering<'static> {
    claiming(move |claims| drop(claims.insert(name.to_owned(), value.clone())))
}

fn without(name: &'static str) -> Answering<'static> {
    claiming(move |claims| drop(claims.remove(name)))
}

fn headed(header: Value) -> Answering<'static> {
    Box::new(move |forger, nonce| {
        tokens(forger, forger.token(&members(header.clone()), &forger.id_claims(nonce))?)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_id_token_of_this_login_signs_a_user_in() -> Result<()> {
    let forger = Forger::start().await?;
    let url = forger.url();
    let stage = Setup::new("attack-login-id-token")
        .with_plan(move |plan| plan.with_issuer(&url))
        .start()
        .await?;
    let now = seconds();
    let bad: Vec<(&str, Answering<'_>)> = vec![
        ("another nonce", set("nonce", json!("another"))),
        ("no nonce", without("nonce")),
        ("nonce of the wrong type", set("nonce", json!(["x"]))),
        ("empty nonce", set("nonce", json!(""))),
        ("another issuer", set("iss", json!("https://evil.test"))),
        ("another audience", set("aud", json!("elsewhere"))),
        ("no audience", without("aud")),
        (
            "for others too, without azp",
            claiming(|claims| {
                claims.insert("aud".into(), json!(["gateway", "elsewhere"]));
                claims.remove("azp");
            }),
        ),
        ("made for another client", set("azp", json!("elsewhere"))),
        ("no subject", without("sub")),
        ("empty subject", set("sub", json!(""))),
        ("no iat", without("iat")),
        ("no exp", without("exp")),
        ("expired", set("exp", json!(now - 3600))),
        ("exp as text", set("exp", json!("9999999999"))),
        (
            "an access token",
            Box::new(|forger, nonce| {
                let mut claims = forger.claims();
                claims.insert("nonce".into(), json!(nonce));
                tokens(forger, forger.token(&Forger::header(), &claims)?)
            }),
        ),
        ("a refresh token", set("typ", json!("Refresh"))),
        (
            "a logout token",
            set("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
        ),
        ("an at+jwt", headed(json!({ "alg": "ES256", "typ": "at+jwt", "kid": "forged-key" }))),
        ("hash of another access token", set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
        ("hash of another code", set("c_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
        ("unsigned", headed(json!({ "alg": "none", "typ": "JWT" }))),
        ("of an unknown key", headed(json!({ "alg": "ES256", "typ": "JWT", "kid": "another" }))),
        (
            "of a key it brings along",
            Box::new(|forger, nonce| {
                let header =
                    members(json!({ "alg": "ES256", "typ": "JWT", "jwk": forger.public_key() }));
                tokens(forger, forger.token(&header, &forger.id_claims(nonce))?)
            }),
        ),
        (
            "altered",
            Box::new(|forger, nonce| {
                let token = forger.token(&Forger::header(), &forger.id_claims(nonce))?;
                let (input, _) = token.rsplit_once('.').context("no signature")?;
                tokens(forger, format!("{input}.{}", "A".repeat(86)))
            }),
        ),
        (
            "no ID token",
            Box::new(|forger, nonce| {
                let mut answer = tokens(forger, nonce.to_owned())?;
                answer["id_token"] = json!(null);
                Ok(answer)
            }),
        ),
        ("text that is not an ID token", Box::new(|forger, _| tokens(forger, "x.y.z".to_owned()))),
        (
            "no access token",
            Box::new(|forger, nonce| {
                let id_token = forger.token(&Forger::header(), &forger.id_claims(nonce))?;
                Ok(json!({ "token_type": "Bearer", "expires_in": 300, "id_token": id_token }))
            }),
        ),
        (
            "another type of access token",
            Box::new(|forger, nonce| {
                let mut answer =
                    tokens(forger, forger.token(&Forger::header(), &forger.id_claims(nonce))?)?;
                answer["token_type"] = json!("mac");
                Ok(answer)
            }),
        ),
        ("a list", Box::new(|_, _| Ok(json!([1])))),
        ("an error with 200", Box::new(|_, _| Ok(json!({ "error": "invalid_grant" })))),
    ];
    let attempt = async |answering: &Answering<'_>| {
        let browser = Browser::new(&stage);
        let at_provider = browser.begin("/echo").await?;
        let of = |name: &str| parameter(at_provider.as_str(), name);
        forger.answer_token_requests(200, &answering(&forger, &of("nonce")?)?);
        let answer =
            browser.open(&format!("/oauth2/callback?code=c&state={}", of("state")?)).await?;
        anyhow::Ok((browser, answer))
    };
    for (name, answering) in &bad {
        let (browser, answer) = attempt(answering).await?;
        stayed_signed_out(&browser, &answer, name).await?;
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
