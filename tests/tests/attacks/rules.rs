//! Rules about hours, the strength and the age of a sign-in, and conditions on claims.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use dev_issuer::{Mint, User};
use oidc_core::{Clock as _, SystemClock};
use tokio::time::sleep;

use crate::{
    browser::{Browser, callback},
    open_streams::{closes, reload, socket},
    stage::{Setup, Stage},
};

const ROUTES: &str = "\
strong:
  match: { path: /strong }
  upstream: UPSTREAM
  access: [{ allow: { acr: ['2', '3'] } }]
strong-admin:
  match: { path: /strong-admin }
  upstream: UPSTREAM
  access: [{ allow: { acr: '2', roles: [admin] } }]
recent:
  match: { path: /recent }
  upstream: UPSTREAM
  access: [{ allow: { max_age: 2s } }]
open:
  match: { path: /open }
  upstream: UPSTREAM
  access: [{ allow: { hours: { from: '00:00', to: '24:00', zone: Europe/Paris } } }]
holiday:
  match: { path: /holiday }
  upstream: UPSTREAM
  access: [{ allow: { hours: { days: DAYS, from: '00:00', to: '24:00', zone: UTC } } }]
risk:
  match: { path: /risk }
  upstream: UPSTREAM
  access: [{ allow: { when: \"claims.department == 'risk' && request.method != 'DELETE'\" } }]
";

fn seconds() -> u64 {
    let since = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// The two days after tomorrow, in UTC.
pub(crate) fn days_to_come() -> String {
    let today = (seconds() / 86_400 + 3) % 7;
    let name = |after: u64| {
        let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        week[usize::try_from((today + after) % 7).unwrap_or(0)]
    };
    format!("[{}-{}]", name(2), name(3))
}

fn setup(name: &str) -> Setup {
    Setup::new(name)
        .with_issuer(|issuer| {
            let risk = User::new("rita", "rita").claim("department", "risk");
            issuer.sign_in_levels(["1", "2"]).user(risk)
        })
        .with_routes(&ROUTES.replace("DAYS", &days_to_come()))
}

/// The issuer's page that the gateway sends this browser to.
async fn sent_to_issuer(browser: &Browser<'_>, target: &str) -> Result<url::Url> {
    let answer = browser.open(target).await?;
    assert_eq!(answer.status, 302, "{answer:?}");
    let start = answer.header("location").to_owned();
    let answer = browser.open(&start).await?;
    assert_eq!(answer.status, 302, "{start}: {answer:?}");
    answer.location()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stronger_sign_in_is_asked_for_and_is_enough() -> Result<()> {
    let stage = setup("rules-levels").start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let answer = browser.open("/strong/page?a=1").await?;
    let start = answer.header("location");
    assert!(start.ends_with("&issuer=main&acr_values=2%203"), "{start}");
    let issuer = sent_to_issuer(&browser, "/strong/page?a=1").await?;
    let answer = browser.open(&callback(&stage, &issuer, "alice")?).await?;
    assert_eq!(answer.header("location"), "/strong/page?a=1");
    assert_eq!(browser.open("/strong/page?a=1").await?.status, 200);

    let script = Browser::signed_in(&stage, "alice").await?;
    let answer = script.fetch("/strong/data").await?;
    assert_eq!(answer.status, 401, "a script is not redirected");
    assert_eq!(answer.json()?["code"], "insufficient_user_authentication");
    let cookies = [browser.cookie(), script.cookie()];
    stage.finish(&cookies.each_ref().map(String::as_str))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_learns_which_sign_in_its_token_needs() -> Result<()> {
    let stage = setup("rules-levels-programs").start().await?;
    let mint = |level: &str| {
        let order = Mint::access("alice").audience(["gateway"]).claim("acr", level);
        stage.issuer.mint(order.claim("auth_time", seconds() - 60))
    };
    let ask = |target: &'static str, token: String| {
        let stage = &stage;
        async move { stage.get(target).bearer(&token).send().await }
    };
    let answer = ask("/strong/x", mint("1")?).await?;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate");
    for part in ["Bearer ", "error=\"insufficient_user_authentication\"", "acr_values=\"2 3\""] {
        assert!(challenge.contains(part), "{challenge}");
    }
    assert_eq!(ask("/strong/x", mint("3")?).await?.status, 200);
    let answer = ask("/recent/x", mint("1")?).await?;
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("max_age=\"2\""), "{challenge}");
    // A role is missing too, and no sign-in brings it.
    let order = Mint::access("bob").audience(["gateway"]);
    let answer = ask("/strong-admin/x", stage.issuer.mint(order)?).await?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (403, Some("forbidden")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_ignores_levels_causes_no_loop() -> Result<()> {
    let setup = setup("rules-levels-ignored");
    let stage = setup.with_issuer(|issuer| issuer.sign_in_levels(["1"])).start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let issuer = sent_to_issuer(&browser, "/strong/page").await?;
    let answer = browser.open(&callback(&stage, &issuer, "alice")?).await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("needs a stronger sign-in"), "{}", answer.body);
    assert_eq!(browser.who().await?.as_deref(), Some("alice"), "the session stays");
    assert_eq!(browser.open("/echo").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sign_in_is_repeated_and_then_counts() -> Result<()> {
    let stage = setup("rules-age").start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.open("/recent/page").await?.status, 200);
    sleep(Duration::from_millis(3200)).await;
    let issuer = sent_to_issuer(&browser, "/recent/page").await?;
    let answer = browser.open(&callback(&stage, &issuer, "alice")?).await?;
    assert_eq!(answer.status, 302);
    assert_eq!(browser.open("/recent/page").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn links_with_values_that_no_rule_writes_are_refused() -> Result<()> {
    let stage = setup("rules-links").start().await?;
    for query in [
        "max_age=-1",
        "max_age=x",
        "max_age=99999999999",
        "acr_values=%0d%0a",
        "acr_values=%C3%A9",
        "max_age=1&max_age=2",
    ] {
        let answer = stage.get(&format!("/oauth2/start?rd=/&{query}")).navigating().send().await?;
        assert_eq!(answer.status, 400, "{query}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_and_conditions_decide() -> Result<()> {
    let stage = setup("rules-hours").start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.open("/open/page").await?.status, 200);
    let answer = alice.fetch("/holiday/x").await?;
    assert_eq!(answer.status, 403);
    let needs = answer.json()?["requirements"][0].as_str().unwrap_or_default().to_owned();
    assert!(needs.starts_with("needs the hours 00:00 to 24:00 in UTC on "), "{needs}");
    let page = alice.open("/holiday/x").await?;
    assert!(page.body.contains("hours 00:00 to 24:00 in UTC"), "{}", page.body);

    assert_eq!(alice.fetch("/risk/x").await?.status, 403, "she has no department");
    let rita = Browser::signed_in(&stage, "rita").await?;
    assert_eq!(rita.fetch("/risk/x").await?.status, 200);
    let delete = stage.ask("DELETE", "/risk/x").header("Origin", stage.origin());
    assert_eq!(rita.send(delete).await?.status, 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_closes_when_a_reload_brings_hours_that_are_over() -> Result<()> {
    let stage = setup("rules-hours-reload").start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let mut open = socket(&stage, "/open/ws", &[("cookie", &browser.cookie())]).await?;
    let closed =
        format!("days: {}, from: '00:00', to: '24:00', zone: Europe/Paris", days_to_come());
    reload(&stage, "from: '00:00', to: '24:00', zone: Europe/Paris", &closed).await?;
    closes(&mut open, Duration::from_secs(6)).await
}

/// The next full minute that is at least ten seconds away, as `HH:MM` in a zone where no day ends then; and the time until then.
fn closing_time() -> (String, &'static str, Duration) {
    let now = seconds();
    let end = (now + 10).div_ceil(60) * 60;
    let (zone, behind) = if end / 3600 % 24 < 12 { ("Etc/GMT-6", 18) } else { ("Etc/GMT+6", 6) };
    let minute = (end / 60 + 24 * 60 - behind * 60) % (24 * 60);
    let time = format!("{:02}:{:02}", minute / 60, minute % 60);
    (time, zone, Duration::from_secs(end - now))
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sockets_close_at_the_end_of_the_hours() -> Result<()> {
    let (end, zone, left) = closing_time();
    let hours = |name: &str, more: &str| {
        format!(
            "{name}:\n  match: {{ path: /{name} }}\n  upstream: UPSTREAM\n  access: [{{ allow: {{ hours: {{ from: '00:00', to: '{end}', zone: {zone}{more} }} }} }}]\n"
        )
    };
    let routes = format!("{}{}", hours("until", ""), hours("begun", ", close: false"));
    let stage: Stage = Setup::new("rules-hours-end").with_routes(&routes).start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let cookie = browser.cookie();
    let mut until = socket(&stage, "/until/ws", &[("cookie", &cookie)]).await?;
    let mut begun = socket(&stage, "/begun/ws", &[("cookie", &cookie)]).await?;
    closes(&mut until, left + Duration::from_secs(6)).await?;
    assert_eq!(begun.ask("still here").await?, "still here", "a stream that may go on goes on");
    assert_eq!(browser.fetch("/begun/x").await?.status, 403, "but no new one begins");
    Ok(())
}
