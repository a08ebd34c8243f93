//! Redirects after signing in or out: never off the origin, however the target is spelled.

use anyhow::{Result, ensure};
use e2e::wire::Answer;
use url::Url;

use self::targets::{FOREIGN, LEGITIMATE, ODD, filled};
use crate::{
    browser::{Browser, callback},
    paths::ways_out::without_dots,
    stage::Stage,
};

#[path = "../../../crates/proxy/tests/redirects/targets.rs"]
mod targets;

/// Every hostile target, for the gateway of this stage.
fn hostile(stage: &Stage) -> impl Iterator<Item = String> {
    let origin = stage.origin();
    FOREIGN.iter().chain(ODD).map(move |target| filled(target, &origin))
}

/// Asserts that every reading of a target by a browser, a proxy or a page ends on the own origin.
fn stays(location: &str, origin: &str) -> Result<()> {
    let own = Url::parse(origin)?;
    let base = own.join("/oauth2/callback")?;
    let mut readings = vec![location.to_owned()];
    let path = location.split(['?', '#']).next().unwrap_or_default();
    let once = decoded(path);
    let twice = decoded(&once);
    readings.extend([path.to_owned(), once, twice]);
    for reading in readings.clone() {
        let slashes = reading.replace('\\', "/");
        let stripped: String =
            slashes.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
        readings.extend([slashes, without_dots(&stripped), stripped]);
    }
    for reading in readings {
        let url = base.join(&reading)?;
        ensure!(url.origin() == own.origin(), "{location:?}, read as {reading:?}, leads to {url}");
        ensure!(
            url.username().is_empty() && !url.path().starts_with("//"),
            "{location:?} is {url}"
        );
    }
    Ok(())
}

fn decoded(text: &str) -> String {
    // A plus is a plus in a path, so it is kept from the form decoder.
    let kept = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(kept.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// The callback's answer to a login that began with this target.
async fn after_login(stage: &Stage, target: &str) -> Result<Answer> {
    let browser = Browser::new(stage);
    let at_provider = browser.begin(target).await?;
    browser.open(&callback(stage, &at_provider, "alice")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_no_browser_off_the_origin() -> Result<()> {
    let stage = Stage::new("attack-redirect-login").await?;
    let mut wrong = Vec::new();
    for target in hostile(&stage) {
        let answer = after_login(&stage, &target).await?;
        let location = answer.header("location").to_owned();
        ensure!(
            answer.status == 302 && answer.headers("location").len() == 1,
            "{target:?}: {answer:?}"
        );
        if let Err(error) = stays(&location, &stage.origin()) {
            wrong.push(format!("{target:?}: {error}"));
        }
        let planted = answer
            .headers("set-cookie")
            .iter()
            .any(|cookie| cookie.starts_with("doorward=planted"));
        ensure!(!planted, "{target:?} set a cookie: {answer:?}");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_back_to_the_page_it_began_at() -> Result<()> {
    let stage = Stage::new("attack-redirect-legitimate").await?;
    for target in LEGITIMATE {
        let answer = after_login(&stage, target).await?;
        assert_eq!(answer.header("location"), *target, "{answer:?}");
        stays(target, &stage.origin())?;
    }
    let written_out = format!("{}/lab?x=1", stage.origin());
    assert_eq!(after_login(&stage, &written_out).await?.header("location"), "/lab?x=1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_field_or_parameter_chooses_the_target() -> Result<()> {
    let stage = Stage::new("attack-redirect-elsewhere").await?;
    // Two targets: neither is chosen.
    let answer = stage.get("/oauth2/start?rd=/a&rd=//evil.test").send().await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    // Fields about the host that a client sends decide nothing.
    for (name, value) in [
        ("X-Forwarded-Host", "evil.test"),
        ("Forwarded", "host=evil.test;proto=https"),
        ("X-Forwarded-Proto", "https"),
        ("X-Original-Host", "evil.test"),
        ("X-Forwarded-Prefix", "//evil.test"),
        ("X-Forwarded-Port", "1"),
        ("Referer", "https://evil.test/"),
    ] {
        let answer =
            stage.get("/oauth2/start?rd=/a").header(name, value).navigating().send().await?;
        let back = answer
            .location()?
            .query_pairs()
            .find(|(key, _)| key == "redirect_uri")
            .map(|(_, uri)| uri.into_owned());
        let pushed = answer.header("location").contains("request_uri=");
        ensure!(
            pushed || back == Some(format!("{}/oauth2/callback", stage.origin())),
            "{name}: {answer:?}"
        );
        ensure!(!answer.header("location").contains("evil.test"), "{name}: {answer:?}");
        // Pushed or not, the provider leads back to this address.
        let at_provider = answer.location()?;
        let callback = stage.issuer.sign_in(at_provider.as_str(), "alice")?;
        ensure!(
            callback.starts_with(&format!("{}/oauth2/callback?", stage.origin())),
            "{name}: {callback}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_leads_no_browser_off_the_origin() -> Result<()> {
    let stage = Stage::new("attack-redirect-sign-out").await?;
    for target in hostile(&stage) {
        let encoded: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let browser = Browser::signed_in(&stage, "bob").await?;
        let asked = browser.open(&format!("/oauth2/sign_out?rd={encoded}")).await?;
        ensure!(asked.status == 200, "{target:?}: {asked:?}");
        let back = e2e::visitor::attribute(&asked.body, "name=\"rd\"", "value").unwrap_or_default();
        stays(&unescaped(&back), &stage.origin())?;
        let csrf = e2e::visitor::form_token(&asked.body)?;
        let left = browser
            .post("/oauth2/sign_out", &stage.origin(), &[("csrf", &csrf), ("rd", &target)])
            .await?;
        ensure!(matches!(left.status, 200 | 303), "{target:?}: {left:?}");
        links_stay(&left, &stage)?;
        assert_eq!(browser.who().await?, None, "{target:?}");
    }
    Ok(())
}

/// A redirect leads to the provider's end-session endpoint and back here; a page links to this origin only.
fn links_stay(left: &Answer, stage: &Stage) -> Result<()> {
    if left.status == 303 {
        let location = left.location()?;
        ensure!(location.as_str().starts_with(stage.issuer.url()), "{location}");
        let back = location.query_pairs().find(|(name, _)| name == "post_logout_redirect_uri");
        ensure!(
            back.is_some_and(|(_, uri)| uri.starts_with(&format!("{}/", stage.origin()))),
            "{location}"
        );
    }
    for link in left.body.split("href=\"").skip(1) {
        let link = unescaped(link.split('"').next().unwrap_or_default());
        stays(&link, &stage.origin())?;
        // The same holds for the target of a link to sign in.
        for (name, value) in Url::parse(&stage.origin())?.join(&link)?.query_pairs() {
            if name == "rd" {
                stays(&value, &stage.origin())?;
            }
        }
    }
    Ok(())
}

fn unescaped(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&amp;", "&")
        .replace("&#60;", "<")
        .replace("&lt;", "<")
        .replace("&#34;", "\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_page_links_nowhere_else() -> Result<()> {
    let stage = Stage::new("attack-redirect-page").await?;
    for target in hostile(&stage) {
        let encoded: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let page = stage.get(&format!("/oauth2/sign_in?rd={encoded}")).navigating().send().await?;
        ensure!(page.status == 200, "{target:?}: {page:?}");
        links_stay(&page, &stage)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_a_finished_sign_out_choose_no_target() -> Result<()> {
    let stage = Stage::new("attack-redirect-signed-out").await?;
    for target in hostile(&stage) {
        for state in [target.clone(), format!("switch:{target}"), format!("switch:switch:{target}")]
        {
            let encoded: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
            let asking = stage.get(&format!("/oauth2/signed_out?state={encoded}")).navigating();
            let left = asking.send().await?;
            ensure!(matches!(left.status, 200 | 303), "{state:?}: {left:?}");
            if left.status == 303 {
                let start = stage.origin().parse::<Url>()?.join(left.header("location"))?;
                ensure!(start.path() == "/oauth2/start", "{state:?}: {left:?}");
                let back = start.query_pairs().find(|(name, _)| name == "rd");
                stays(&back.map(|(_, rd)| rd.into_owned()).unwrap_or_default(), &stage.origin())?;
            } else {
                links_stay(&left, &stage)?;
            }
        }
    }
    Ok(())
}
