//! A sign-in and a logout token count once, whichever replicas they meet.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Mint, User};
use e2e::{
    World,
    replicas::CHOICE,
    valkey::Valkey,
    visitor::{Visitor, plain_client},
};

use crate::stage::Stage;

const SECRET: &str = "the gateway's secret at the provider in process";

/// The provider in process, in whose name a scenario mints logout tokens.
async fn stage(name: &str, sealed: bool) -> Result<(Stage, DevIssuer, Valkey)> {
    let world = World::new(name)?;
    let client = DevClient::confidential("gateway", SECRET)
        .audience("gateway")
        .redirect_uri(world.url("/oauth2/callback"))
        .post_logout_redirect_uri(world.url("/oauth2/signed_out"));
    let users =
        DevIssuer::builder().user(User::new("alice", "alice")).user(User::new("bob", "bob"));
    let issuer = users.client(client).start("127.0.0.1:0").await?;
    let valkey = Valkey::start(world.folder()).await?;
    let store = if sealed { "cookie".to_owned() } else { valkey.store() };
    let stage = Stage::with_issuer(world, issuer.url(), SECRET, &store, |plan| plan).await?;
    Ok((stage, issuer, valkey))
}

/// Begins a login at one replica; the address at which the provider sends the browser back.
async fn begin(
    stage: &Stage,
    issuer: &DevIssuer,
    visitor: &Visitor,
    replica: usize,
) -> Result<String> {
    let start = stage.open(visitor, replica, "/oauth2/start?rd=/home").await?;
    ensure!(start.status == 302, "{} {}", start.status, start.body);
    let back = issuer.sign_in(start.location()?.as_str(), "alice").context("at the provider")?;
    let url: url::Url = back.parse()?;
    Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

async fn ends_at_another(name: &str, sealed: bool) -> Result<()> {
    let (stage, issuer, _valkey) = stage(name, sealed).await?;
    for (from, to) in [(0, 1), (1, 0)] {
        let visitor = Visitor::new()?;
        let back = begin(&stage, &issuer, &visitor, from).await?;
        let answer = stage.open(&visitor, to, &back).await?;
        assert_eq!(answer.status, 302, "{}", answer.body);
        ensure!(answer.location()?.path() == "/home", "{}", answer.location()?);
        for replica in [from, to] {
            assert_eq!(stage.fetch(&visitor, replica, "/home").await?.status, 200);
        }
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_begun_at_one_replica_ends_at_another() -> Result<()> {
    ends_at_another("replicas-login", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_cookies_ends_at_another_replica() -> Result<()> {
    ends_at_another("replicas-login-sealed", true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_counts_once_at_two_replicas() -> Result<()> {
    let (stage, issuer, _valkey) = stage("replicas-callback-twice", false).await?;
    let visitor = Visitor::new()?;
    let back = begin(&stage, &issuer, &visitor, 0).await?;
    // The same browser state twice, at both replicas in the same moment: one code is redeemed once.
    let cookie = visitor.cookies(&stage.world.url("/oauth2/callback"))?;
    let send = async |replica: &'static str| {
        let fields = [(CHOICE, replica), ("cookie", cookie.as_str())];
        let (thief, url) = (Visitor::new()?, stage.world.url(&back));
        let manner = e2e::visitor::Manner::Navigation;
        thief.send(reqwest::Method::GET, &url, manner, &fields, None).await
    };
    let (here, there) = tokio::join!(send("0"), send("1"));
    let (here, there) = (here?, there?);
    let sessions = [&here, &there].map(|answer| {
        let set = answer.headers.get_all("set-cookie").iter();
        set.filter(|line| line.as_bytes().starts_with(b"doorward=")).count()
    });
    ensure!(sessions.iter().sum::<usize>() == 1, "{here:?} {there:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_counts_once_at_two_replicas() -> Result<()> {
    let (stage, issuer, _valkey) = stage("replicas-logout-token", false).await?;
    let visitor = Visitor::new()?;
    let back = begin(&stage, &issuer, &visitor, 0).await?;
    assert_eq!(stage.open(&visitor, 1, &back).await?.status, 302);
    let cookie = visitor.cookies(&stage.world.url("/"))?;
    let sid = issuer.session_ids("alice").into_iter().next().context("no session")?;
    let token = issuer.mint(Mint::logout("alice").client("gateway").sid(sid))?;
    let send = async |replica: &str| -> Result<u16> {
        let url = stage.world.url("/oauth2/backchannel_logout");
        let form = [("logout_token", token.as_str())];
        let request = plain_client()?.post(url).header(CHOICE, replica).form(&form);
        Ok(request.send().await?.status().as_u16())
    };
    assert_eq!(send("0").await?, 200);
    stage.until_refused(&cookie, 1).await?;
    assert_eq!(send("1").await?, 400, "the same token at the other replica");
    assert_eq!(send("0").await?, 400, "and at the same one");
    stage.finish(&[])
}
