//! Forged cookies: other names, other copies, changed bytes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use crate::{
    browser::{Browser, callback, who},
    sessions::store,
    stage::{Setup, Stage},
};

/// A stage that people know by https, so that its cookies are `__Host-`.
async fn secure(name: &str) -> Result<Stage> {
    Setup::new(name)
        .with_client(|client| client.redirect_uri("https://localhost/oauth2/callback"))
        .with_plan(|plan| plan.with_public_url("https://localhost"))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_counts_by_its_exact_name_and_once() -> Result<()> {
    let stage = secure("attack-cookie-names").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let ((name, good), (_, other)) = (alice.session()?, bob.session()?);
    assert_eq!(name, "__Host-doorward");
    let tricks: Vec<Vec<u8>> = [
        "\u{2000}__Host-doorward=GOOD",
        "\u{a0}__Host-doorward=GOOD",
        "\u{feff}__Host-doorward=GOOD",
        "\u{85}__Host-doorward=GOOD",
        "\u{3000}__Host-doorward=GOOD",
        "$Version=1,__Host-doorward=GOOD",
        "$__Host-doorward=GOOD",
        "\"__Host-doorward\"=GOOD",
        "__Host-doorward=\"GOOD\"",
        "=__Host-doorward=GOOD",
        "__Host-doorward",
        "GOOD",
        "=GOOD",
        "__host-doorward=GOOD",
        "__HOST-DOORWARD=GOOD",
        "doorward=GOOD",
        "__Secure-doorward=GOOD",
        "__Host-__Host-doorward=GOOD",
        "__Host-doorward%20=GOOD",
        "%5f_Host-doorward=GOOD",
        "__Host-doorward =GOOD",
        "__Host-doorward==GOOD",
        "__Host-doorward=GOOD=",
        "__Host-doorward=GOOD,x",
        "__Host-doorward=GOOD; __Host-doorward=GOOD",
        "__Host-doorward=GOOD; __Host-doorward=OTHER",
        "__Host-doorward=OTHER; __Host-doorward=GOOD",
        "__Host-doorward=x; __Host-doorward=GOOD",
        "__Host-doorward=; __Host-doorward=GOOD",
        "__Host-doorward=GOOD; __Host-doorward.0=1OTHER",
        "__Host-doorward.0=9GOOD",
        "__Host-doorward.0=0GOOD",
        "__Host-doorward.0=99999999GOOD",
        "__Host-doorward.1=GOOD",
        "__Host-doorward.0=2GOOD",
        "__Host-doorward.4=GOOD",
        "__Host-doorward.00=1GOOD",
        "__Host-doorward_chunks=99999999",
        "__Host-doorward-login-AAAAAAAA=GOOD",
        "__Host-doorward=",
        "__Host-doorward=GOODGOOD",
        "__Host-doorward=../../../etc/passwd",
    ]
    .iter()
    .map(|trick| trick.replace("GOOD", &good).replace("OTHER", &other).into_bytes())
    .collect();
    let raw = [b"\x0b", b"\x0c", b"\xa0", b"\x85"]
        .map(|blank| [&blank[..], format!("__Host-doorward={good}").as_bytes()].concat());
    for trick in tricks.into_iter().chain(raw) {
        let shown = String::from_utf8_lossy(&trick).into_owned();
        let answer = stage
            .get("/echo")
            .header("Cookie", &trick)
            .send()
            .await
            .with_context(|| shown.clone())?;
        ensure!(matches!(answer.status, 400 | 401), "{shown}: {answer:?}");
    }
    // Two headers are one list (RFC 9113 §8.2.3), so the same holds.
    let twice = stage
        .get("/echo")
        .header("Cookie", format!("{name}={good}"))
        .header("Cookie", format!("{name}={other}"));
    ensure!(matches!(twice.send().await?.status, 400 | 401));
    assert_eq!(stage.reached(), Vec::<String>::new());
    for cookie in [
        format!("{name}={good}"),
        format!("a=b; {name}={good}; c=\"d e\""),
        format!("a=b;{name}={good};$Version=1"),
        format!("doorward=planted; {name}={good}; __Secure-doorward=planted"),
    ] {
        assert_eq!(who(&stage, &cookie).await?.as_deref(), Some("alice"), "{cookie}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_cookies_costs_little_and_shows_nothing() -> Result<()> {
    let stage = secure("attack-cookie-bombs").await?;
    let many: String = (0..2000).map(|number| format!("c{number}=x; ")).collect();
    let logins: String =
        (0..400).map(|number| format!("__Host-doorward-login-{number:08}=AAAA; ")).collect();
    let chunks: String =
        (0..900).map(|number| format!("__Host-doorward.{number}=9AAAA; ")).collect();
    let ours: String = std::iter::repeat_n("__Host-doorward=x; ", 900).collect();
    for bomb in [
        many,
        logins,
        chunks,
        ours,
        format!("__Host-doorward={}", "A".repeat(30_000)),
        ";".repeat(20_000),
        "=;".repeat(10_000),
    ] {
        for target in ["/echo", "/oauth2/start?rd=/", "/public/x"] {
            let began = Instant::now();
            let answer = stage.get(target).header("Cookie", &bomb).send().await?;
            ensure!(answer.status < 500, "{target}: {answer:?}");
            ensure!(
                began.elapsed() < Duration::from_secs(5),
                "{target} took {:?}",
                began.elapsed()
            );
            let back: usize = answer.headers("set-cookie").iter().map(|cookie| cookie.len()).sum();
            ensure!(back < 16_000, "{target} answers with {back} bytes of cookies");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_abandoned_logins_leave_room_for_the_next() -> Result<()> {
    let stage = Stage::new("attack-abandoned").await?;
    let browser = Browser::new(&stage);
    for number in 0..40 {
        browser.begin(&format!("/echo/{number}?{}", "x".repeat(500))).await?;
        ensure!(
            browser.cookie().len() < 8_000,
            "{} bytes after {number} logins",
            browser.cookie().len()
        );
    }
    let answer = browser.sign_in_to("alice", "/echo/at-last").await?;
    assert_eq!(answer.header("location"), "/echo/at-last");
    assert_eq!(browser.open("/echo/at-last").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_with_a_flipped_bit_signs_no_user_in() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "attack-flips-sealed" } else { "attack-flips" };
        let stage = store(Setup::new(name), cookie_sessions).start().await?;
        let alice = Browser::signed_in(&stage, "alice").await?;
        let cookie = alice.cookie();
        let start = cookie.find('=').context("no cookie")? + 1;
        let step = ((cookie.len() - start) / 60).max(1);
        let mut wire = stage.connect().await?;
        let mut asked = 0;
        for at in (start..cookie.len()).step_by(step).chain([cookie.len() - 1]) {
            for bit in 0..7 {
                let mut flipped = cookie.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                // The cookie's own syntax is between two chunks.
                if !flipped[at].is_ascii_graphic()
                    || flipped[at] == b';'
                    || matches!(cookie.as_bytes()[at], b'=' | b';' | b' ')
                {
                    continue;
                }
                let head = format!("GET /echo HTTP/1.1\r\nHost: {}\r\nCookie: ", stage.host());
                wire.send([head.as_bytes(), &flipped, b"\r\n\r\n"].concat()).await;
                let answer = wire.answer().await?;
                let renamed = flipped[..at]
                    .iter()
                    .rev()
                    .take_while(|byte| **byte != b';')
                    .all(|byte| *byte != b'=');
                ensure!(answer.status == 401 || renamed, "bit {bit} of byte {at}: {answer:?}");
                asked += 1;
            }
        }
        assert!(asked > 150, "only {asked} flips were tried");
        assert_eq!(stage.reached(), Vec::<String>::new());
        assert_eq!(alice.open("/echo").await?.status, 200);
        // Two seals of one person's session differ.
        let again = Browser::signed_in(&stage, "alice").await?;
        assert_ne!(again.cookie(), cookie);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_opens_under_its_own_name_only() -> Result<()> {
    let stage = store(Setup::new("attack-cookie-purpose"), true).start().await?;
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo").await?;
    let login = browser.cookie();
    let (login_name, login_value) = login.split_once('=').context("no login cookie")?;
    let swapped = format!("doorward={login_value}");
    assert_eq!(who(&stage, &swapped).await?, None, "a login cookie passed for a session");
    assert_eq!(who(&stage, format!("doorward.0=1{login_value}")).await?, None);
    // Another login's cookie under this one's name.
    let other = Browser::new(&stage);
    other.begin("/echo").await?;
    let other = other.cookie();
    let (_, other_value) = other.split_once('=').context("no login cookie")?;
    let target = callback(&stage, &at_provider, "alice")?;
    let answer = stage
        .get(&target)
        .header("Cookie", format!("{login_name}={other_value}"))
        .navigating()
        .send()
        .await?;
    ensure!(answer.status == 400 && answer.cookies().is_empty(), "{answer:?}");
    // A session, and the token of a sign-out form, under a login's name.
    let alice = Browser::signed_in(&stage, "alice").await?;
    let page = alice.open("/oauth2/sign_out").await?;
    let form = e2e::visitor::form_token(&page.body)?;
    let session = alice.cookie();
    let session = session.split_once('=').context("no session")?.1;
    for value in [session, form.as_str()] {
        let answer = stage
            .get(&target)
            .header("Cookie", format!("{login_name}={value}"))
            .navigating()
            .send()
            .await?;
        ensure!(answer.status == 400 && answer.cookies().is_empty(), "{answer:?}");
    }
    assert_eq!(
        who(&stage, format!("doorward={form}")).await?,
        None,
        "a form's token passed for a session"
    );
    assert_eq!(browser.open(&target).await?.status, 302);
    Ok(())
}
