//! Return addresses: each address that the gateway serves survives a login, in line and on a link.

use anyhow::{Result, ensure};

use crate::{
    browser::{Browser, callback},
    stage::{Setup, Stage},
};

/// Addresses as a browser sends them, and as the gateway sends them on.
const SERVED: &[(&str, &str)] = &[
    ("/echo/a%20b", "/echo/a%20b"),
    ("/echo/%C3%A9", "/echo/%C3%A9"),
    ("/echo/a+b", "/echo/a+b"),
    ("/echo/a%2Bb", "/echo/a%2Bb"),
    ("/echo/a%26b", "/echo/a%26b"),
    ("/echo/100%25", "/echo/100%25"),
    ("/echo/a%23b", "/echo/a%23b"),
    ("/echo/a%3Fb", "/echo/a%3Fb"),
    ("/echo/a\"b", "/echo/a%22b"),
    ("/echo/a|b", "/echo/a%7Cb"),
    ("/echo/{a}", "/echo/%7Ba%7D"),
    ("/echo/a;v=1", "/echo/a;v=1"),
    ("/echo/:a@b=c,d", "/echo/:a@b=c,d"),
    ("/jupyter/a%2Fb", "/jupyter/a%2Fb"),
    ("/jupyter/a//b", "/jupyter/a//b"),
    ("/echo?q=a+b&c=d", "/echo?q=a+b&c=d"),
    ("/echo?q=a%20b", "/echo?q=a%20b"),
    ("/echo?q=%C3%A9", "/echo?q=%C3%A9"),
    ("/echo?q=%26%23%25%2B", "/echo?q=%26%23%25%2B"),
    ("/echo?q=%", "/echo?q=%25"),
    ("/echo?q=%FF", "/echo?q=%FF"),
    ("/echo?c=C:\\dir", "/echo?c=C:%5Cdir"),
    ("/echo?q={|}^`", "/echo?q=%7B%7C%7D%5E%60"),
    ("/echo?rd=//evil.test&rd=2", "/echo?rd=//evil.test&rd=2"),
    ("/echo?a?b=/c", "/echo?a?b=/c"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_back_to_every_address_that_is_served() -> Result<()> {
    let stage = Stage::new("return-address-in-line").await?;
    for (asked, lands) in SERVED {
        let browser = Browser::new(&stage);
        let sent_away = browser.open(asked).await?;
        ensure!(sent_away.status == 302, "{asked}: {sent_away:?}");
        let start = sent_away.header("location").to_owned();
        let at_provider = browser.open(&start).await?.location()?;
        let back = browser.open(&callback(&stage, &at_provider, "alice")?).await?;
        assert_eq!((back.status, back.header("location")), (302, *lands), "{asked}");
        assert_eq!(browser.open(lands).await?.status, 200, "{lands}");
        assert_eq!(stage.reached().last().map(String::as_str), Some(*lands));
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_may_write_its_address_unencoded() -> Result<()> {
    let stage = Stage::new("return-address-link").await?;
    for (query, lands) in [
        ("rd=/path/%E2%9C%93", "/path/%E2%9C%93"),
        ("rd=/a%20b", "/a%20b"),
        ("rd=/?q=%C3%A9", "/?q=%C3%A9"),
        ("rd=/p?c=C:%5Cdir", "/p?c=C:%5Cdir"),
        ("rd=/p?c=C:\\dir", "/p?c=C:%5Cdir"),
        ("rd=/p?q=a+b", "/p?q=a+b"),
        ("rd=/p?q=a%2Bb", "/p?q=a+b"),
        ("rd=/p%3Fq%3Da%2520b%26c", "/p?q=a%20b&c"),
        ("rd=/100%25", "/100%25"),
        ("rd=/%FF", "/%FF"),
        ("r%64=/a", "/a"),
        ("rd=/app/%23/%C3%A9", "/app/#/%C3%A9"),
    ] {
        let browser = Browser::new(&stage);
        let at_provider = browser.open(&format!("/oauth2/start?{query}")).await?.location()?;
        let back = browser.open(&callback(&stage, &at_provider, "alice")?).await?;
        assert_eq!((back.status, back.header("location")), (302, lands), "{query}");
    }
    let twice = stage.get("/oauth2/start?rd=/a&r%64=/b").navigating().send().await?;
    assert_eq!(twice.status, 400, "{twice:?}");
    stage.finish(&[])
}

fn long(bytes: usize) -> String {
    let mut address = "/echo?q=".to_owned();
    while address.len() + 6 <= bytes {
        address.push_str("%C3%A9");
    }
    address.push_str(&"x".repeat(bytes - address.len()));
    address
}

/// Signs in on the way to an address of this many bytes; the callback's answer.
async fn signed_in_to(stage: &Stage, bytes: usize) -> Result<(Browser<'_>, e2e::wire::Answer)> {
    let browser = Browser::new(stage);
    let mut began = browser.open(&long(bytes)).await?;
    ensure!(began.status == 302, "{bytes}: {began:?}");
    // The link to begin holds a short address; with a long one the login begins at once.
    if began.header("location").starts_with("/oauth2/start?") {
        began = browser.open(began.header("location")).await?;
    }
    ensure!(began.status == 302, "{bytes}: {began:?}");
    let back = browser.open(&callback(stage, &began.location()?, "alice")?).await?;
    Ok((browser, back))
}

async fn keeps_addresses_up_to(stage: &Stage, limit: usize, above: &[usize]) -> Result<()> {
    for bytes in [1500, 1999, 2000, 2001, 2048, limit] {
        let (_, back) = signed_in_to(stage, bytes).await?;
        assert_eq!((back.status, back.header("location")), (302, &*long(bytes)), "{bytes}");
    }
    for bytes in above {
        let (browser, back) = signed_in_to(stage, *bytes).await?;
        assert_eq!(back.status, 200, "{bytes}: {back:?}");
        assert!(back.body.contains("too long") && back.body.contains("href=\"/\""), "{back:?}");
        assert_eq!(browser.who().await?.as_deref(), Some("alice"), "{bytes}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_kilobytes_survive_a_login_with_records() -> Result<()> {
    let stage = Stage::new("return-address-records").await?;
    // The longest address that a request line of 8 KiB has room for.
    let longest = 8 * 1024 - "GET  HTTP/1.1\r\n".len();
    keeps_addresses_up_to(&stage, longest, &[]).await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_kilobytes_survive_a_login_with_cookies() -> Result<()> {
    let setup = Setup::new("return-address-cookies");
    let stage = setup.with_plan(|plan| plan.with_cookie_sessions()).start().await?;
    keeps_addresses_up_to(&stage, 2 * 1024, &[2 * 1024 + 1, 3000, 8000]).await?;
    stage.finish(&[])
}

/// Begins a login in each tab before the first comes back; the callbacks' answers in the same order.
async fn tabs(stage: &Stage, count: usize) -> Result<Vec<e2e::wire::Answer>> {
    let browser = Browser::new(stage);
    let mut callbacks = Vec::new();
    for tab in 0..count {
        let at_provider = browser.begin(&format!("/echo/{tab}?{}", "x".repeat(150))).await?;
        callbacks.push(callback(stage, &at_provider, "alice")?);
    }
    let mut answers = Vec::new();
    for callback in callbacks {
        answers.push(browser.open(&callback).await?);
    }
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_tabs_that_sign_in_at_once_all_arrive() -> Result<()> {
    let stage = Stage::new("return-address-tabs").await?;
    for (tab, answer) in tabs(&stage, 20).await?.into_iter().enumerate() {
        let lands = format!("/echo/{tab}?{}", "x".repeat(150));
        assert_eq!((answer.status, answer.header("location")), (302, &*lands), "{tab}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_cookies_five_tabs_arrive_and_another_is_told_why() -> Result<()> {
    let setup = Setup::new("return-address-cookie-tabs");
    let stage = setup.with_plan(|plan| plan.with_cookie_sessions()).start().await?;
    let answers = tabs(&stage, 6).await?;
    assert_eq!(answers[0].status, 400);
    assert!(answers[0].body.contains("before too many others"), "{:?}", answers[0]);
    for (tab, answer) in answers.iter().enumerate().skip(1) {
        let lands = format!("/echo/{tab}?{}", "x".repeat(150));
        assert_eq!((answer.status, answer.header("location")), (302, &*lands), "{tab}");
    }
    // The one that comes back last finds the session of the others.
    let browser = Browser::new(&stage);
    let mut callbacks = Vec::new();
    for _ in 0..6 {
        let at_provider = browser.begin("/echo").await?;
        callbacks.push(callback(&stage, &at_provider, "alice")?);
    }
    assert_eq!(browser.open(&callbacks[5]).await?.header("location"), "/echo");
    let lost = browser.open(&callbacks[0]).await?;
    assert_eq!(lost.status, 200, "{lost:?}");
    assert!(lost.body.contains("You are signed in") && lost.body.contains("href=\"/\""));
    assert_eq!(browser.who().await?.as_deref(), Some("alice"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_too_large_for_a_cookie_are_refused_with_the_remedy() -> Result<()> {
    let groups = (0..250).map(|group| format!("/a/group/with/a/long/name/{group}"));
    let carol = dev_issuer::User::new("carol", "carol").groups(groups);
    let setup = Setup::new("return-address-too-large").with_issuer(|issuer| issuer.user(carol));
    let stage = setup.with_plan(|plan| plan.with_cookie_sessions()).start().await?;
    let browser = Browser::new(&stage);
    let refused = browser.sign_in("carol").await?;
    assert_eq!(refused.status, 400, "{refused:?}");
    for word in ["session.store: embedded", "fewer claims"] {
        assert!(refused.body.contains(word), "{word}: {refused:?}");
    }
    assert_eq!(browser.who().await?, None);
    assert_eq!(browser.sign_in("alice").await?.status, 302);
    stage.finish(&[])
}
