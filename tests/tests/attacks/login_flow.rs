//! Forged ends of logins: answers of another login, of another provider, of no login.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Endpoint, Fault, Grant};
use e2e::wire::Answer;

use crate::{
    browser::{Browser, callback, who, with_parameter},
    stage::Stage,
};

/// Changes a valid target.
type Altering = Box<dyn Fn(&str) -> Result<String>>;

/// Asserts that the callback answered with a page and the browser stayed signed out.
pub(crate) async fn stayed_signed_out(
    browser: &Browser<'_>,
    answer: &Answer,
    what: &str,
) -> Result<()> {
    ensure!((400..600).contains(&answer.status), "{what}: {answer:?}");
    let session = answer.cookies().into_iter().find(|cookie| !cookie.contains("-login-"));
    ensure!(session.is_none(), "{what} set {session:?}");
    ensure!(browser.who().await?.is_none(), "{what} signed a user in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_browsers_answer_signs_no_user_in() -> Result<()> {
    let stage = Stage::new("attack-login-foreign").await?;
    let foreign = async || {
        let attacker = Browser::new(&stage);
        callback(&stage, &attacker.begin("/echo").await?, "bob")
    };
    let fresh = Browser::new(&stage);
    let answer = fresh.open(&foreign().await?).await?;
    stayed_signed_out(&fresh, &answer, "in a fresh browser").await?;

    let victim = Browser::new(&stage);
    let at_provider = victim.begin("/echo").await?;
    let own = callback(&stage, &at_provider, "alice")?;
    let answer = victim.open(&foreign().await?).await?;
    stayed_signed_out(&victim, &answer, "with its own login under way").await?;
    // The attacker's code under the victim's state: PKCE binds the code to the browser that asked for it.
    let state = parameter(&own, "state")?;
    let mixed = with_parameter(&foreign().await?, "state", Some(&state));
    let answer = victim.open(&mixed).await?;
    stayed_signed_out(&victim, &answer, "another login's code under this one's state").await?;

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
async fn an_altered_answer_is_refused_and_its_code_not_sent() -> Result<()> {
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
        stayed_signed_out(&browser, &answer, name).await?;
    }
    assert_eq!(
        stage.issuer.token_requests_by_grant(Grant::AuthorizationCode),
        redeemed,
        "a code was sent to the provider"
    );
    // A made-up code is sent there, and signs no user in.
    let browser = Browser::new(&stage);
    let target = callback(&stage, &browser.begin("/echo").await?, "alice")?;
    let answer = browser.open(&with_parameter(&target, "code", Some("made-up"))).await?;
    stayed_signed_out(&browser, &answer, "a made-up code").await?;
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
    // The same answer again in the same browser, as with the back button: nothing changes.
    let again = browser.open(&target).await?;
    ensure!(again.cookies().is_empty(), "{again:?}");
    assert_eq!(browser.session()?, session);
    // Again with a copy of the cookie that the browser had then.
    let replayed = stage.get(&target).header("Cookie", &with_login).navigating().send().await?;
    ensure!(replayed.status == 400 && replayed.cookies().is_empty(), "{replayed:?}");
    assert_eq!(who(&stage, &with_login).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_another_login_signs_no_user_in() -> Result<()> {
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
        stayed_signed_out(&browser, &answer, &format!("{fault:?} at {endpoint:?}")).await?;
    }
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.who().await?.as_deref(), Some("alice"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_before_a_login_ends_with_it() -> Result<()> {
    let stage = Stage::new("attack-login-fixation").await?;
    let attacker = Browser::signed_in(&stage, "bob").await?;
    let (name, planted) = attacker.session()?;
    let victim = Browser::new(&stage);
    victim.plant(&name, &planted);
    ensure!(victim.sign_in("alice").await?.status == 302);
    let (_, first) = victim.session()?;
    assert_ne!(first, planted);
    assert_eq!(victim.who().await?.as_deref(), Some("alice"));
    assert_eq!(attacker.who().await?, None, "the planted session is still valid");

    // A value that an attacker made up is not adopted either.
    let invented = "A".repeat(43);
    let other = Browser::new(&stage);
    other.plant(&name, &invented);
    ensure!(other.sign_in("alice").await?.status == 302);
    assert_ne!(other.session()?.1, invented);
    assert_eq!(who(&stage, format!("{name}={invented}")).await?, None);

    // The same user's next login replaces the first session with another.
    ensure!(victim.sign_in("alice").await?.status == 302);
    let (_, second) = victim.session()?;
    assert_ne!(second, first);
    assert_eq!(
        who(&stage, format!("{name}={first}")).await?,
        None,
        "the former session is valid beside the new one"
    );
    assert_eq!(victim.who().await?.as_deref(), Some("alice"));
    // In another browser nothing has changed.
    assert_eq!(other.who().await?.as_deref(), Some("alice"));
    Ok(())
}
