//! The level that every alternative of a rule wants is asked of an unknown browser at once.

use std::fmt::Write as _;

use anyhow::Result;

use crate::{
    browser::{Browser, callback},
    stage::{Setup, Stage},
};

const ROUTES: &str = "\
strong:
  match: { path: /strong }
  upstream: UPSTREAM
  access: [{ allow: [{ acr: '2', roles: [admin] }, { acr: ['2', '3'] }] }]
recent:
  match: { path: /recent }
  upstream: UPSTREAM
  access: [{ allow: [{ acr: '2', max_age: 1h }, { max_age: 2h }] }]
either:
  match: { path: /either }
  upstream: UPSTREAM
  access: [{ allow: [{ acr: '2' }, { roles: [admin] }] }]
";

async fn stage(name: &str) -> Result<Stage> {
    let setup = Setup::new(name).with_issuer(|issuer| issuer.sign_in_levels(["1", "2"]));
    setup.with_routes(ROUTES).trusting_proxies().start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_browser_signs_in_once_for_a_level() -> Result<()> {
    let stage = stage("sign-in-levels").await?;
    let browser = Browser::new(&stage);
    let answer = browser.open("/strong/page?a=1").await?;
    assert_eq!(answer.status, 302, "{answer:?}");
    let start = answer.header("location").to_owned();
    assert!(start.ends_with("&acr_values=2%203"), "{start}");
    let issuer = browser.open(&start).await?.location()?;
    let answer = browser.open(&callback(&stage, &issuer, "bob")?).await?;
    assert_eq!(answer.header("location"), "/strong/page?a=1");
    assert_eq!(browser.open("/strong/page?a=1").await?.status, 200, "one sign-in is enough");
    // An address that is too long for a link begins its sign-in at once, at the same level.
    let long = format!("/strong/page?{}", "a".repeat(3000));
    let unknown = Browser::new(&stage);
    let issuer = unknown.open(&long).await?.location()?;
    unknown.open(&callback(&stage, &issuer, "bob")?).await?;
    assert_eq!(unknown.open(&long).await?.status, 200);
    let cookies = [browser.cookie(), unknown.cookie()];
    stage.finish(&cookies.each_ref().map(String::as_str))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_every_alternative_wants_is_asked() -> Result<()> {
    let stage = stage("sign-in-levels-common").await?;
    let start = async |target: &str| {
        let answer = Browser::new(&stage).open(target).await?;
        anyhow::Ok(answer.header("location").to_owned())
    };
    assert_eq!(start("/recent/x").await?, "/oauth2/start?rd=/recent/x&max_age=7200");
    assert_eq!(start("/either/x").await?, "/oauth2/start?rd=/either/x");
    assert_eq!(start("/echo/x").await?, "/oauth2/start?rd=/echo/x");
    // A proxy that asks is told the same.
    let ask = stage.get("/oauth2/auth?sign_in=redirect").navigating();
    let answer = ask.header("X-Forwarded-Uri", "/strong/x").send().await?;
    let mut expected = stage.origin();
    write!(expected, "/oauth2/start?rd=/strong/x&acr_values=2%203")?;
    assert_eq!((answer.status, answer.header("location")), (302, &*expected));
    // A script gets 401 as before.
    let answer = Browser::new(&stage).fetch("/strong/x").await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    stage.finish(&[])
}
