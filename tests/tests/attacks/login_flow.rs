//! Logins that are not what they seem: answers of another login, of another provider, of nobody.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Endpoint, Fault, Grant};
use e2e::wire::Answer;

use crate::{
    browser::{Browser, callback, who, with_parameter},
    stage::Stage,
};

/// Makes another target of a good one.
type Altering = Box<dyn Fn(&str) -> Result<String>>;

/// The callback ended with a page, and nobody is signed in.
pub(crate) async fn signed_nobody_in(
    browser: &Browser<'_>,
    answer: &Answer,
    what: &str,
) -> Result<()> {
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

/// A parameter of a target's query.
pub(crate) fn parameter(target: &str, name: &str) -> Result<String> {
    let query = target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    Ok(found.with_context(|| format!("no {name} in {target}"))?.1.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_quite_the_one_awaited_is_refused_unused() -> Result<()> {
    let stage = Stage::new("attack-login-altered").await?;
    let redeemed = stage.issuer.token_requests_by_grant(Grant::AuthorizationCode);
    let altered: Vec<(&str, Altering)> = vec![
        (
            "state altered",
            Box::new(|target| {
                let state = parameter(target, "state")?;
                Ok(with_parameter(target, "state", Some(&format!("{state}x"))))
            }),
        ),
        (
            "state in another case",
            Box::new(|target| {
                let state = parameter(target, "state")?;
                let other: String = state
                    .chars()
                    .map(|c| {
                        if c.is_ascii_lowercase() {
                            c.to_ascii_uppercase()
                        } else {
                            c.to_ascii_lowercase()
                        }
                    })
                    .collect();
                Ok(with_parameter(target, "state", Some(&other)))
            }),
        ),
        ("state empty", Box::new(|target| Ok(with_parameter(target, "state", Some(""))))),
        ("no state", Box::new(|target| Ok(with_parameter(target, "state", None)))),
        ("state twice", Box::new(|target| Ok(format!("{target}&state=x")))),
        (
            "the same state twice",
            Box::new(|target| Ok(format!("{target}&state={}", parameter(target, "state")?))),
        ),
        ("code twice", Box::new(|target| Ok(format!("{target}&code=x")))),
        ("no code", Box::new(|target| Ok(with_parameter(target, "code", None)))),
        ("code empty", Box::new(|target| Ok(with_parameter(target, "code", Some(""))))),
        (
            "iss of another",
            Box::new(|target| Ok(with_parameter(target, "iss", Some("https://evil.test")))),
        ),
        (
            "iss with a slash more",
            Box::new(|target| {
                Ok(with_parameter(target, "iss", Some(&format!("{}/", parameter(target, "iss")?))))
            }),
        ),
        ("no iss", Box::new(|target| Ok(with_parameter(target, "iss", None)))),
        ("iss twice", Box::new(|target| Ok(format!("{target}&iss={}", parameter(target, "iss")?)))),
        ("error beside the code", Box::new(|target| Ok(format!("{target}&error=access_denied")))),
        (
            "a huge state",
            Box::new(|target| Ok(with_parameter(target, "state", Some(&"x".repeat(20_000))))),
        ),
        (
            "many parameters",
            Box::new(|target| {
                Ok(format!("{target}{}", (0..200).map(|n| format!("&p{n}=x")).collect::<String>()))
            }),
        ),
    ];
    for (name, alter) in &altered {
        let browser = Browser::new(&stage);
        let target = callback(&stage, &browser.begin("/echo").await?, "alice")?;
        let answer = browser.open(&alter(&target)?).await?;
        signed_nobody_in(&browser, &answer, name).await?;
    }
    assert_eq!(
        stage.issuer.token_requests_by_grant(Grant::AuthorizationCode),
        redeemed,
        "a code was sent to the provider"
    );
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
    let replayed = stage.get(&target).header("Cookie", &with_login).navigating().send().await?;
    ensure!(replayed.status == 400 && replayed.cookies().is_empty(), "{replayed:?}");
    assert_eq!(who(&stage, &with_login).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_answers_for_another_login_signs_nobody_in() -> Result<()> {
    let stage = Stage::new("attack-login-faults").await?;
    for (fault, endpoint) in [
        (Fault::WrongNonce, Endpoint::Token),
        (Fault::WrongIssuer, Endpoint::Token),
        (Fault::WrongIssuer, Endpoint::Authorization),
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
    assert_eq!(
        who(&stage, format!("{name}={first}")).await?,
        None,
        "the session before lives on beside the new one"
    );
    assert_eq!(victim.who().await?.as_deref(), Some("alice"));
    // In another browser nothing has changed.
    assert_eq!(other.who().await?.as_deref(), Some("alice"));
    Ok(())
}
