//! Routes with an audience of their own: a token for one audience opens no route of another, in whatever order and form it comes.

use anyhow::{Context as _, Result};
use dev_issuer::{DevClient, Mint};

use crate::{
    open_streams::{SOON, closes, reload, socket},
    stage::{Setup, Stage},
    tokens::code_of,
};

/// `/echo` and `/public` have the issuer's own audience, `gateway`.
const ROUTES: &str = "\
churn:
  match: { path: /churn }
  upstream: UPSTREAM
  audience: [churn]
  basic: true
  access: [{ path: /churn/open/**, allow: anyone }, { allow: signed_in }]
fraud:
  match: { path: /fraud }
  upstream: UPSTREAM
  audience: [fraud, churn-and-fraud]
  access: [{ allow: signed_in }]
";

/// Each path with the audiences that open it.
const DOORS: [(&str, &[&str]); 3] = [
    ("/echo/a", &["gateway"]),
    ("/churn/a", &["churn"]),
    ("/fraud/a", &["fraud", "churn-and-fraud"]),
];

async fn status(stage: &Stage, path: &str, token: &str) -> Result<u16> {
    Ok(stage.get(path).bearer(token).send().await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_routes_of_its_audience_only() -> Result<()> {
    let stage = Setup::new("audience-jwt").with_routes(ROUTES).start().await?;
    for audience in ["gateway", "churn", "fraud", "churn-and-fraud", "Churn", "churn ", ""] {
        let order = || Mint::access("alice").audience([audience]);
        // Each token is new, and so remembered by no route; then it is tried everywhere, in both orders and twice.
        for reversed in [false, true] {
            let token = stage.issuer.mint(order())?;
            let mut doors = Vec::from(DOORS);
            if reversed {
                doors.reverse();
            }
            for (path, opened_by) in doors.iter().chain(&doors) {
                let expected = if opened_by.contains(&audience) { 200 } else { 401 };
                assert_eq!(status(&stage, path, &token).await?, expected, "{audience} at {path}");
            }
        }
    }
    let both = stage.issuer.mint(Mint::access("alice").audience(["gateway", "churn"]))?;
    assert_eq!(status(&stage, "/echo/a", &both).await?, 200);
    assert_eq!(status(&stage, "/churn/a", &both).await?, 200);
    assert_eq!(status(&stage, "/fraud/a", &both).await?, 401);
    let answer = stage.get("/fraud/a").bearer(&both).send().await?;
    assert_eq!(code_of(&answer), "wrong_audience", "{answer:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_carrier_of_a_token_obeys_the_audience() -> Result<()> {
    let stage = Setup::new("audience-carriers").with_routes(ROUTES).start().await?;
    let churn = stage.issuer.mint(Mint::access("alice").audience(["churn"]))?;
    let gateway = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let ask = async |path: &str, name: &str, value: String| {
        anyhow::Ok(stage.get(path).header(name, value).send().await?.status)
    };
    let basic = |token: &str| {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("x:{token}"));
        format!("Basic {pair}")
    };
    assert_eq!(ask("/churn/a", "Authorization", basic(&churn)).await?, 200);
    assert_eq!(ask("/churn/a", "Authorization", basic(&gateway)).await?, 401);
    assert_eq!(ask("/churn/a", "X-Doorward-Token", churn.clone()).await?, 200);
    assert_eq!(ask("/churn/a", "X-Doorward-Token", gateway.clone()).await?, 401);
    assert_eq!(ask("/echo/a", "X-Doorward-Token", churn.clone()).await?, 401);
    // Where anyone may call, the token of a configured issuer is verified or refused all the same.
    assert_eq!(status(&stage, "/churn/open/a", &gateway).await?, 401);
    assert_eq!(status(&stage, "/churn/open/a", &churn).await?, 200);
    assert_eq!(status(&stage, "/public/a", &churn).await?, 401);
    // The gateway's own URLs have the issuer's audience.
    assert_eq!(status(&stage, "/oauth2/userinfo", &churn).await?, 401);
    assert_eq!(status(&stage, "/oauth2/userinfo", &gateway).await?, 200);
    // A session is for every route, and beside it a token for another audience is still refused.
    let cookie = stage.sign_in("alice").await?;
    for path in ["/echo/a", "/churn/a", "/fraud/a"] {
        assert_eq!(stage.get(path).header("Cookie", &cookie).send().await?.status, 200, "{path}");
        let both = stage.get(path).header("Cookie", &cookie).bearer(&churn).send().await?;
        let expected = if path == "/churn/a" { 200 } else { 401 };
        assert_eq!(both.status, expected, "{path}: {both:?}");
    }
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_opens_its_audience_only() -> Result<()> {
    let client = |name: &str, audience: &str| {
        DevClient::public(name).audience(audience).opaque_access_tokens()
    };
    let (fleet, churners) = (client("fleet", "gateway"), client("churners", "churn"));
    let stage = Setup::new("audience-opaque")
        .with_routes(ROUTES)
        .with_issuer(|issuer| issuer.client(fleet).client(churners))
        .with_plan(|plan| plan.with_issuer_setting("introspection: { cache: 1m }"))
        .start()
        .await?;
    for (client, audience) in [("fleet", "gateway"), ("churners", "churn")] {
        for reversed in [false, true] {
            let tokens = stage.issuer.log_in("alice", client, "openid").context("no token")?;
            let mut doors = Vec::from(DOORS);
            if reversed {
                doors.reverse();
            }
            for (path, opened_by) in doors.iter().chain(&doors) {
                let expected = if opened_by.contains(&audience) { 200 } else { 401 };
                let status = status(&stage, path, &tokens.access_token).await?;
                assert_eq!(status, expected, "{audience} at {path}");
            }
        }
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_that_changes_closes_what_it_opened() -> Result<()> {
    let stage = Setup::new("audience-reload").with_routes(ROUTES).start().await?;
    let churn = stage.issuer.mint(Mint::access("alice").audience(["churn"]))?;
    let bearer = format!("Bearer {churn}");
    let mut open = socket(&stage, "/churn/ws", &[("authorization", &bearer)]).await?;
    assert_eq!(status(&stage, "/churn/a", &churn).await?, 200);
    reload(&stage, "audience: [churn]", "audience: [scoring]").await?;
    // The verified token was remembered for the audience that the route had.
    assert_eq!(status(&stage, "/churn/a", &churn).await?, 401);
    closes(&mut open, SOON).await?;
    let scoring = stage.issuer.mint(Mint::access("alice").audience(["scoring"]))?;
    assert_eq!(status(&stage, "/churn/a", &scoring).await?, 200);
    assert_eq!(status(&stage, "/echo/a", &scoring).await?, 401);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_takes_tokens_where_the_issuer_has_no_audience() -> Result<()> {
    let stage = Setup::new("audience-route-only")
        .with_routes(ROUTES)
        .with_plan(|plan| plan.without_audience())
        .start()
        .await?;
    let churn = stage.issuer.mint(Mint::access("alice").audience(["churn"]))?;
    assert_eq!(status(&stage, "/churn/a", &churn).await?, 200);
    assert_eq!(status(&stage, "/echo/a", &churn).await?, 401);
    assert_eq!(status(&stage, "/public/a", &churn).await?, 401);
    let id = stage.issuer.mint(Mint::id("alice").audience(["churn"]))?;
    assert_eq!(status(&stage, "/churn/a", &id).await?, 401, "an ID token is no access token");
    stage.finish(&[])
}
