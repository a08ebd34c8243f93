//! The plans for RP-initiated, back-channel and front-channel logout.

use dev_issuer::Mint;

use super::*;
use crate::sign_outs::{framed, sign_out};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Signs out here and goes to the provider, which sends the browser back with a state of the module's choice.
async fn signed_out_with(module: &str, state: impl FnOnce(&str) -> String) -> Result<()> {
    let stage = Stage::new(module).await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let left = sign_out(&browser, &stage, "/echo?a=b").await?;
    ensure!(left.status == 303, "{left:?}");
    let at_provider = left.location()?;
    for wanted in ["id_token_hint", "post_logout_redirect_uri", "state"] {
        ensure!(
            at_provider.query_pairs().any(|(name, _)| name == wanted),
            "{wanted}: {at_provider}"
        );
    }
    let ended = e2e::visitor::plain_client()?.get(at_provider.as_str()).send().await?;
    let back =
        ended.headers().get("location").context("the provider does not send back")?.to_str()?;
    let back: url::Url = back.parse()?;
    ensure!(back.as_str().starts_with(&stage.world.url("/oauth2/signed_out")), "{back}");
    let query = state(&parameter(back.as_str(), "state")?);
    let page = browser.open(&format!("/oauth2/signed_out{query}")).await?;
    assert_eq!((page.status, browser.who().await?), (200, None), "{page:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_rp_init_logout() -> Result<()> {
    signed_out_with("oidcc-client-test-rp-init-logout", |state| {
        let state: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
        format!("?state={state}")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_rp_init_logout_other_state() -> Result<()> {
    let other = |_: &str| "?state=another-state".to_owned();
    signed_out_with("oidcc-client-test-rp-init-logout-other-state", other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_rp_init_logout_no_state() -> Result<()> {
    signed_out_with("oidcc-client-test-rp-init-logout-no-state", |_| String::new()).await
}

/// Sends a logout token; whether it ended the session.
async fn ended_by(module: &str, order: impl FnOnce(Mint) -> Mint) -> Result<bool> {
    let stage = Stage::new(module).await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let sid = stage.issuer.session_ids("alice").pop().context("no session at the provider")?;
    let token = stage.issuer.mint(order(Mint::logout("alice").client("gateway").sid(sid)))?;
    let sent = stage.post("/oauth2/backchannel_logout").form(&[("logout_token", &token)]);
    let answer = sent.send().await?;
    let ended = alice.who().await?.is_none();
    assert_eq!(answer.status, if ended { 200 } else { 400 }, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    Ok(ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_rp_backchannel_rpinitlogout() -> Result<()> {
    ensure!(ended_by("oidcc-client-test-rp-backchannel-rpinitlogout", |order| order).await?);
    Ok(())
}

/// A module whose logout token must be refused.
macro_rules! refused {
    ($($name:ident: $order:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            let module = stringify!($name).replace('_', "-");
            ensure!(!ended_by(&module, $order).await?, "{module}");
            Ok(())
        }
    )*};
}

refused! {
    oidcc_client_test_rp_backchannel_rpinitlogout_alg_none: |order| order.unsigned();
    oidcc_client_test_rp_backchannel_rpinitlogout_no_event: |order| order.without("events");
    oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce: |order| order.claim("nonce", "n");
    oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg: Mint::hmac_with_public_key;
    oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud: |order| order.audience(["gateway1"]);
    oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event:
        |order| order.claim("events", json!({ format!("{EVENT}1"): {} }));
    oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss:
        |order| order.issuer("https://op.example/");
}

/// The provider's page has the browser load the logout URL; whether that ended the session.
async fn framed_away(module: &str) -> Result<()> {
    let stage = Stage::new(module).await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let sid = stage.issuer.session_ids("alice").pop().context("no session at the provider")?;
    let answer = framed(&stage, &[("iss", stage.issuer.url()), ("sid", &sid)]).await?;
    assert_eq!((answer.status, alice.who().await?), (200, None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_rp_frontchannel_rpinitlogout() -> Result<()> {
    framed_away("oidcc-client-test-rp-frontchannel-rpinitlogout").await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidcc_client_test_rp_frontchannel_opinitlogout() -> Result<()> {
    framed_away("oidcc-client-test-rp-frontchannel-opinitlogout").await
}
