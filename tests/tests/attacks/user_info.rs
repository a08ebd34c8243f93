//! Claims from UserInfo: they complete an ID token, are about its subject, and verify no address of another source.

use std::time::Duration;

use anyhow::Result;
use dev_issuer::{Dialect, Endpoint};
use serde_json::json;
use tokio::time::sleep;

use crate::{browser::Browser, providers::sent, stage::Setup};

#[tokio::test(flavor = "multi_thread")]
async fn user_info_adds_claims_that_the_id_token_lacks() -> Result<()> {
    let admin = json!({ "roles": ["admin"] });
    let dialect = Dialect::new().minimal_id_token().userinfo("realm_access", admin);
    for (name, setting, status, asked) in [
        ("missing", "userinfo: when_missing", 200, 1),
        ("always", "userinfo: always", 200, 1),
        ("never", "userinfo: never", 403, 0),
    ] {
        let dialect = dialect.clone();
        let setup = Setup::new(&format!("provider-userinfo-{name}"))
            .with_client(|client| client.opaque_access_tokens())
            .with_issuer(|issuer| issuer.dialect(dialect))
            .with_plan(move |plan| plan.with_issuer_setting(setting));
        let stage = setup.start().await?;
        let browser = Browser::signed_in(&stage, "alice").await?;
        assert_eq!(browser.open("/admin/x").await?.status, status, "{name}");
        assert_eq!(stage.issuer.requests(Endpoint::UserInfo), asked, "{name}");
        assert_eq!(browser.open("/echo").await?.status, 200);
        let user = sent(&stage, "x-forwarded-preferred-username")?;
        assert_eq!(user.as_deref(), (asked > 0).then_some("alice"), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_id_tokens_cause_no_user_info_request() -> Result<()> {
    let stage = Setup::new("provider-userinfo-whole").start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.open("/admin/x").await?.status, 200);
    assert_eq!(stage.issuer.requests(Endpoint::UserInfo), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn user_info_about_another_subject_is_refused() -> Result<()> {
    let setup =
        Setup::new("provider-userinfo-sub").with_client(|client| client.opaque_access_tokens());
    let stage =
        setup.with_plan(|plan| plan.with_issuer_setting("userinfo: always")).start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.open("/echo").await?.status, 200);
    stage.issuer.set_dialect(Dialect::new().userinfo("sub", json!("another-subject")));
    let answer = Browser::new(&stage).sign_in("alice").await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    sleep(Duration::from_millis(5200)).await;
    let answer = browser.post("/oauth2/session/refresh", &stage.origin(), &[]).await?;
    assert_eq!(answer.status, 401, "a refresh ends the session too: {answer:?}");
    assert_eq!(browser.fetch("/echo").await?.status, 401);
    stage.issuer.set_dialect(Dialect::new().without_userinfo("sub"));
    assert_eq!(Browser::new(&stage).sign_in("alice").await?.status, 400, "nor about no subject");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_answer_is_read_if_it_is_for_this_client() -> Result<()> {
    let roles = json!({ "roles": ["admin"] });
    let signed = Dialect::new().minimal_id_token().signed_userinfo();
    let signed = signed.userinfo("realm_access", roles);
    for (name, setting, dialect, status) in [
        ("honest", "when_missing", signed.clone(), 200),
        ("iss", "when_missing", signed.clone().userinfo("iss", json!("https://evil.test")), 403),
        ("no-iss", "when_missing", signed.clone().without_userinfo("iss"), 403),
        ("aud", "when_missing", signed.clone().userinfo("aud", json!("another-client")), 403),
        ("no-aud", "when_missing", signed.clone().without_userinfo("aud"), 403),
        ("kind", "when_missing", signed.clone().userinfo("typ", json!("ID")), 403),
        ("always", "always", signed.clone().userinfo("aud", json!("another-client")), 400),
        ("sub", "when_missing", signed.userinfo("sub", json!("another-subject")), 400),
    ] {
        let setting = format!("userinfo: {setting}");
        let setup = Setup::new(&format!("provider-userinfo-signed-{name}"))
            .with_client(|client| client.opaque_access_tokens())
            .with_issuer(|issuer| issuer.dialect(dialect))
            .with_plan(move |plan| plan.with_issuer_setting(&setting));
        let stage = setup.start().await?;
        let browser = Browser::new(&stage);
        let signed_in = browser.sign_in("alice").await?;
        if status == 400 {
            assert_eq!(signed_in.status, 400, "{name}: {signed_in:?}");
            continue;
        }
        assert_eq!(browser.open("/admin/x").await?.status, status, "{name}");
        assert_eq!(stage.issuer.requests(Endpoint::UserInfo), 1, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_address_of_user_info_is_of_one_source() -> Result<()> {
    let stage = Setup::new("provider-userinfo-email").start().await?;
    for (name, dialect, expected) in [
        (
            "an unverified address beside a stray verification",
            Dialect::new()
                .without_id_token("email")
                .userinfo("email", json!("boss@corp.example"))
                .userinfo("email_verified", json!(false)),
            None,
        ),
        (
            "a verification of another address",
            Dialect::new()
                .id_token("email", json!("boss@corp.example"))
                .without_id_token("email_verified")
                .without_id_token("preferred_username")
                .userinfo("email_verified", json!(true)),
            None,
        ),
        (
            "a verification as text",
            Dialect::new().id_token("email_verified", json!("true")),
            Some("alice@example.com"),
        ),
        ("a denial as text", Dialect::new().id_token("email_verified", json!("false")), None),
    ] {
        stage.issuer.set_dialect(dialect.minimal_access_token());
        let browser = Browser::signed_in(&stage, "alice").await?;
        assert_eq!(browser.open("/echo").await?.status, 200);
        let email = sent(&stage, "x-forwarded-email")?;
        assert_eq!(email.is_some(), expected.is_some(), "{name}: {email:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unverified_addresses_count_only_where_configured() -> Result<()> {
    for (name, setting, sent_on) in
        [("default", "leeway: 30s", false), ("lenient", "email: { require_verified: false }", true)]
    {
        let dialect = Dialect::new().without_id_token("email_verified").minimal_access_token();
        let setup = Setup::new(&format!("provider-email-{name}"))
            .with_issuer(|issuer| issuer.dialect(dialect.without_userinfo("email_verified")))
            .with_plan(move |plan| plan.with_issuer_setting(setting));
        let stage = setup.start().await?;
        let browser = Browser::signed_in(&stage, "alice").await?;
        assert_eq!(browser.open("/echo").await?.status, 200);
        assert_eq!(sent(&stage, "x-forwarded-email")?.is_some(), sent_on, "{name}");
    }
    Ok(())
}
