//! Two issuers with the same subjects and names: the gateway never confuses their users.

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dev_issuer::{DevClient, DevIssuer, Mint, User};
use serde_json::Value;
use url::Url;

use crate::{
    open_streams::reconfigure,
    stage::{CLIENT_SECRET, Setup, Stage},
};

const ROUTES: &str = "\
ours:
  match: { path: /ours }
  upstream: UPSTREAM
  access: [{ allow: { issuers: [main], users: [alice] } }]
subject:
  match: { path: /subject }
  upstream: UPSTREAM
  access: [{ allow: { issuers: [main], subjects: [same-subject] } }]
mail:
  match: { path: /mail }
  upstream: UPSTREAM
  access: [{ allow: [ { issuers: [main], emails: [boss@corp.example] }, { issuers: [main], email_domains: [corp.example] } ] }]
named:
  match: { path: /named }
  upstream: UPSTREAM
  access: [{ allow: { issuers: [main], users: [boss@corp.example] } }]
";

/// `alice` with the same subject at both.
fn alice() -> User {
    User::new("alice", "alice").subject("same-subject").roles(["admin"])
}

async fn partner() -> Result<DevIssuer> {
    let client = DevClient::confidential("gateway", CLIENT_SECRET).audience("gateway");
    Ok(DevIssuer::builder().user(alice()).client(client).start("127.0.0.1:0").await?)
}

/// The stage, with `alice` of that subject at its own issuer, and `partner` as a second one.
async fn stage(name: &str, partner: &DevIssuer) -> Result<Stage> {
    let url = partner.url().to_owned();
    let stage = Setup::new(name)
        .with_issuer(|issuer| issuer.user(alice()))
        .with_routes(ROUTES)
        .with_plan(move |plan| plan.with_other_issuer("partner", &url))
        .start()
        .await?;
    partner.set_client(
        DevClient::confidential("gateway", CLIENT_SECRET)
            .audience("gateway")
            .redirect_uri(stage.world.url("/oauth2/callback")),
    );
    Ok(stage)
}

/// Gives each of the two issuers the other's name in the configuration.
async fn trade_names(stage: &Stage, partner: &DevIssuer) -> Result<()> {
    let text = std::fs::read_to_string(stage.gateway.config())?;
    let swapped = text
        .replace(stage.issuer.url(), "OURS")
        .replace(partner.url(), stage.issuer.url())
        .replace("OURS", partner.url());
    reconfigure(stage, &swapped).await
}

async fn sign_in_at(stage: &Stage, name: &str, issuer: &DevIssuer) -> Result<String> {
    let start = format!("/oauth2/start?rd=/echo&issuer={name}");
    let answer = stage.get(&start).send().await?;
    let callback = issuer.sign_in(answer.location()?.as_str(), "alice").context("at the issuer")?;
    let callback: Url = callback.parse()?;
    let target = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
    let cookies = answer.cookies().join("; ");
    let answer = stage.get(&target).header("Cookie", cookies).send().await?;
    ensure!(answer.status == 302, "{answer:?}");
    Ok(answer.cookies().join("; "))
}

fn claims(assertion: &str) -> Result<Value> {
    let payload = assertion.split('.').nth(1).context("no payload")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_can_distinguish_subjects_of_two_issuers() -> Result<()> {
    let partner = partner().await?;
    let stage = stage("attack-issuers-upstream", &partner).await?;
    let (ours, theirs) = (
        sign_in_at(&stage, "main", &stage.issuer).await?,
        sign_in_at(&stage, "partner", &partner).await?,
    );
    let tokens = [
        stage.issuer.mint(Mint::access("alice").client("gateway"))?,
        partner.mint(Mint::access("alice").client("gateway"))?,
    ];
    let bearer = |token: &str| ("Authorization", format!("Bearer {token}"));
    for (field, issuer) in [
        (("Cookie", ours.clone()), stage.issuer.url()),
        (("Cookie", theirs.clone()), partner.url()),
        (bearer(&tokens[0]), stage.issuer.url()),
        (bearer(&tokens[1]), partner.url()),
    ] {
        let ask = stage.get("/echo").header(field.0, &field.1);
        // The client's own field is removed in every spelling.
        let ask = ask.header("X-Forwarded-Issuer", stage.issuer.url());
        assert_eq!(ask.send().await?.status, 200);
        let seen = stage.upstream.last("/echo")?;
        assert_eq!(seen.value("x-forwarded-user").as_deref(), Some("same-subject"));
        assert_eq!(seen.value("x-forwarded-issuer").as_deref(), Some(issuer));
        let assertion = claims(&seen.value("x-doorward-assertion").context("no assertion")?)?;
        assert_eq!(
            (assertion["idp"].as_str(), assertion["sub"].as_str(), assertion["iss"].as_str()),
            (Some(issuer), Some("same-subject"), Some(&*stage.world.public_url()))
        );
        let who = stage.get("/oauth2/userinfo").header(field.0, &field.1).send().await?.json()?;
        assert_eq!(who["iss"].as_str(), Some(issuer));
    }
    e2e::wait::until("the audit lines", std::time::Duration::from_secs(5), async || {
        let audit = stage.gateway.audit()?;
        let named = |issuer: &str| audit.iter().filter(|line| line["issuer"] == issuer).count();
        ensure!(named("main") >= 2 && named("partner") >= 2, "{audit:?}");
        Ok(Some(()))
    })
    .await?;
    stage.finish(&[&ours, &theirs])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_one_issuer_is_not_met_by_the_other() -> Result<()> {
    let partner = partner().await?;
    let stage = stage("attack-issuers-rules", &partner).await?;
    let (ours, theirs) = (
        sign_in_at(&stage, "main", &stage.issuer).await?,
        sign_in_at(&stage, "partner", &partner).await?,
    );
    for path in ["/ours/x", "/subject/x"] {
        assert_eq!(stage.get(path).header("Cookie", &ours).send().await?.status, 200, "{path}");
        assert_eq!(stage.get(path).header("Cookie", &theirs).send().await?.status, 403, "{path}");
    }
    // A sign-out at one provider ends nothing of the other's.
    assert_eq!(partner.end_session_for("alice").await, 0, "the partner has no logout address");
    let admin = |query: &str| stage.gateway.admin_url(&format!("/sessions?{query}"));
    let client = e2e::visitor::plain_client()?;
    let answer = client.delete(admin("user=same-subject&issuer=partner")).send().await?;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(stage.get("/echo").header("Cookie", &theirs).send().await?.status, 401);
    assert_eq!(stage.get("/echo").header("Cookie", &ours).send().await?.status, 200);
    stage.finish(&[&ours, &theirs])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_taken_over_by_a_renamed_issuer() -> Result<()> {
    let partner = partner().await?;
    let stage = stage("attack-issuers-renamed", &partner).await?;
    let theirs = sign_in_at(&stage, "partner", &partner).await?;
    assert_eq!(stage.get("/echo").header("Cookie", &theirs).send().await?.status, 200);
    // The names are exchanged: a session of `partner` must not become one of `main`.
    trade_names(&stage, &partner).await?;
    e2e::wait::until("the reload", std::time::Duration::from_secs(10), async || {
        let answer = stage.get("/echo").header("Cookie", &theirs).send().await?;
        ensure!(answer.status == 401, "still {}", answer.status);
        Ok(Some(()))
    })
    .await?;
    assert_eq!(stage.get("/ours/x").header("Cookie", &theirs).send().await?.status, 401);
    stage.finish(&[&theirs])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_chosen_name_is_no_address_and_no_subject() -> Result<()> {
    let stage = Setup::new("attack-names")
        .with_issuer(|issuer| {
            issuer
                .user(User::new("boss", "boss").email("boss@corp.example"))
                .user(User::new("boss@corp.example", "m").email("mallory@evil.test"))
                .user(User::new("same-subject", "m").subject("m-1").email("x@evil.test"))
                .user(User::new("eve", "e").email("eve@corp.example").email_verified(false))
                .user(User::new("two", "t").email("a@evil.test@corp.example"))
        })
        .with_routes(ROUTES)
        .start()
        .await?;
    for (user, path, status) in [
        ("boss", "/mail/x", 200),
        ("boss", "/named/x", 403),
        ("boss@corp.example", "/named/x", 200),
        ("boss@corp.example", "/mail/x", 403),
        ("same-subject", "/subject/x", 403),
        ("eve", "/mail/x", 403),
        ("two", "/mail/x", 403),
    ] {
        let token = stage.issuer.mint(Mint::access(user).client("gateway"))?;
        assert_eq!(stage.get(path).bearer(&token).send().await?.status, status, "{user} {path}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_to_no_other_issuer_of_the_same_name() -> Result<()> {
    let partner = partner().await?;
    let stage = stage("attack-issuers-mix-up", &partner).await?;
    let start = stage.get("/oauth2/start?rd=/echo&issuer=partner").send().await?;
    let callback: Url = partner.sign_in(start.location()?.as_str(), "alice")?.parse()?;
    trade_names(&stage, &partner).await?;
    let asked = stage.issuer.requests(dev_issuer::Endpoint::Token);
    let target = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
    let cookies = start.cookies().join("; ");
    let answer = stage.get(&target).header("Cookie", &cookies).send().await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(stage.issuer.requests(dev_issuer::Endpoint::Token), asked, "it saw the code");
    stage.finish(&[&cookies])
}
