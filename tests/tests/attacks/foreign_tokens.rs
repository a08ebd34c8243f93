//! `Authorization: Bearer`, in whatever spelling: verified, refused, or an application's own where anyone may call.

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dev_issuer::Mint;
use e2e::gateway::Plan;

use crate::stage::{Setup, Stage};

/// A JWT of these claims, signed by no configured issuer.
pub(crate) fn jwt(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims), part("signature"))
}

/// Values that a lenient server takes for `Bearer` and a token.
const SPELLINGS: [&[u8]; 13] = [
    b"Bearer\tTOKEN",
    b"bearer\tTOKEN",
    b"Bearer \tTOKEN",
    b"Bearer TOKEN\xff",
    b"\xa0Bearer TOKEN",
    b"Bearer,TOKEN",
    b"Bearer=TOKEN",
    b"BearerTOKEN",
    b"Bearer: TOKEN",
    b"Bearer \"TOKEN\"",
    b"Bearer TOKEN, Basic eDp5",
    b"Bearer TOKEN TOKEN",
    b"Bearer",
];

fn spelled(spelling: &[u8], token: &str) -> Vec<u8> {
    let at = spelling.windows(5).position(|five| five == b"TOKEN");
    let Some(at) = at else { return spelling.to_vec() };
    let rest = spelled(&spelling[at + 5..], token);
    [&spelling[..at], token.as_bytes(), &rest].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_bearer_passes_unverified() -> Result<()> {
    let stage = Stage::new("attack-bearer-spelling").await?;
    let forged = jwt(&format!(r#"{{"iss":"{}","sub":"mallory"}}"#, stage.issuer.url()));
    let good = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    for spelling in SPELLINGS {
        for token in [&*forged, &*good, "opaque"] {
            let value = spelled(spelling, token);
            let shown = String::from_utf8_lossy(&value).into_owned();
            for path in ["/public/a", "/echo", "/admin/x"] {
                let status = stage.get(path).header("Authorization", &value).send().await?.status;
                assert_eq!(status, 401, "{path} {shown:?}");
            }
        }
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let value = format!("{scheme} {good}");
        let answer = stage.get("/admin/x").header("Authorization", value).send().await?;
        assert_eq!(answer.status, 200, "{scheme}");
        let seen = stage.upstream.last("/admin/x")?;
        assert!(seen.values("authorization").is_empty(), "{scheme}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_s_token_passes_where_anyone_may_call() -> Result<()> {
    let stage = Stage::new("attack-bearer-foreign").await?;
    let foreign = [
        jwt(r#"{"iss":"https://app.example","sub":"svc"}"#),
        jwt(&format!(r#"{{"iss":"{}/","sub":"svc"}}"#, stage.issuer.url())),
        "glsa_opaque-token-of-grafana".to_owned(),
        "b3BhcXVl+/~==".to_owned(),
    ];
    for token in &foreign {
        assert_eq!(stage.get("/public/a").bearer(token).send().await?.status, 200, "{token}");
        let seen = stage.upstream.last("/public/a")?;
        assert_eq!(seen.value("authorization"), Some(format!("Bearer {token}")));
        assert!(seen.values("x-forwarded-user").is_empty(), "{token}");
        assert!(seen.values("x-doorward-assertion").is_empty(), "{token}");
        for path in ["/echo", "/admin/x", "/app/x"] {
            assert_eq!(stage.get(path).bearer(token).send().await?.status, 401, "{path} {token}");
        }
        for path in ["/oauth2/userinfo", "/oauth2/portal"] {
            assert_eq!(stage.get(path).bearer(token).send().await?.status, 401, "{path} {token}");
        }
    }
    // Beside a session: the session counts where anyone may call, and the token opens nothing anywhere.
    let alice = stage.sign_in("alice").await?;
    let both = stage.get("/public/a").header("Cookie", &alice).bearer(&foreign[0]);
    assert_eq!(both.send().await?.status, 200);
    let seen = stage.upstream.last("/public/a")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    assert_eq!(seen.value("authorization"), Some(format!("Bearer {}", foreign[0])));
    let both = stage.get("/echo").header("Cookie", &alice).bearer(&foreign[0]);
    assert_eq!(both.send().await?.status, 401);
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ours_is_verified_also_where_anyone_may_call() -> Result<()> {
    let stage = Stage::new("attack-bearer-public").await?;
    let ours = stage.issuer.url();
    for bad in [
        jwt(&format!(r#"{{"iss":"{ours}","sub":"mallory"}}"#)),
        jwt(r#"{"sub":"mallory"}"#),
        jwt(r#"{"iss":null,"sub":"mallory"}"#),
        jwt(&format!(r#"{{"iss":["{ours}"],"sub":"mallory"}}"#)),
        jwt(&format!(r#"{{"iss":"https://app.example","iss":"{ours}","sub":"mallory"}}"#)),
        jwt("not json"),
        "a.b.c".to_owned(),
        "..".to_owned(),
        stage.issuer.mint(Mint::access("alice").client("gateway").expired())?,
        stage.issuer.mint(Mint::access("alice").client("gateway").wrong_key())?,
        stage.issuer.mint(Mint::access("alice").client("gateway").audience(["other"]))?,
        stage.issuer.mint(Mint::id("alice").client("gateway"))?,
    ] {
        let answer = stage.get("/public/a").bearer(&bad).send().await?;
        assert_eq!(answer.status, 401, "{bad}: {answer:?}");
        assert!(answer.header("www-authenticate").contains("invalid_token"), "{answer:?}");
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    let good = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(stage.get("/public/a").bearer(&good).send().await?.status, 200);
    let seen = stage.upstream.last("/public/a")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_asked_about_where_an_issuer_introspects() -> Result<()> {
    let stage = Setup::new("attack-bearer-opaque")
        .with_plan(|plan| plan.with_issuer_setting("introspection: {}"))
        .start()
        .await?;
    for path in ["/public/a", "/echo"] {
        assert_eq!(
            stage.get(path).bearer("opaque-of-no-issuer").send().await?.status,
            401,
            "{path}"
        );
    }
    let foreign = jwt(r#"{"iss":"https://app.example"}"#);
    assert_eq!(stage.get("/public/a").bearer(&foreign).send().await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_treat_an_application_s_token_alike() -> Result<()> {
    let stage = Setup::new("attack-bearer-question").trusting_proxies().start().await?;
    let foreign = jwt(r#"{"iss":"https://app.example"}"#);
    for (uri, value, status) in [
        ("/public/a", format!("Bearer {foreign}"), 202),
        ("/public/a", format!("Bearer\t{foreign}"), 401),
        ("/echo", format!("Bearer {foreign}"), 401),
    ] {
        let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", uri);
        let answer = ask.header("Authorization", &value).send().await?;
        assert_eq!(answer.status, status, "{uri} {value:?}");
    }
    stage.finish(&[])
}

const WITH_TOKEN: &str = "\
tokens:
  match: { path: /tokens }
  upstream: UPSTREAM
  identity: { access_token: true }
  access: [{ allow: anyone }]
";

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audience_no_token_of_ours_passes() -> Result<()> {
    let stage = Setup::new("attack-bearer-no-audience")
        .with_routes(WITH_TOKEN)
        .with_plan(Plan::without_audience)
        .start()
        .await?;
    let forged = jwt(&format!(r#"{{"iss":"{}","sub":"alice"}}"#, stage.issuer.url()));
    let good = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let cookie = stage.sign_in("alice").await?;
    for target in ["/public/a", "/echo", "/tokens/x"] {
        for token in [&forged, &good] {
            let answer = stage.get(target).bearer(token).header("Cookie", &cookie).send().await?;
            assert_eq!(answer.status, 401, "{target}: {answer:?}");
        }
        let malformed = stage.get(target).header("Authorization", "Bearer\tx y").send().await?;
        assert_eq!(malformed.status, 401, "{target}");
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    // The gateway ignores an application's own token beside a session.
    let own = "glsa_opaque-token-of-grafana";
    assert_eq!(stage.get("/echo").bearer(own).header("Cookie", &cookie).send().await?.status, 200);
    let seen = stage.upstream.last("/echo")?.value("authorization");
    assert_eq!(seen, Some(format!("Bearer {own}")));
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_scheme_takes_the_place_of_a_verified_token() -> Result<()> {
    let stage = Setup::new("attack-bearer-schemes").with_routes(WITH_TOKEN).start().await?;
    let forged = jwt(&format!(r#"{{"iss":"{}","sub":"mallory"}}"#, stage.issuer.url()));
    for prefix in ["DPoP ", "JWT ", "Token ", "OAuth ", "", "Basic x, Bearer ", "x Bearer "] {
        let value = format!("{prefix}{forged}");
        let answer = stage.get("/tokens/x").header("Authorization", &value).send().await?;
        if answer.status == 200 {
            let seen = stage.upstream.last("/tokens/x")?;
            assert!(seen.values("authorization").is_empty(), "{prefix:?}");
        } else {
            assert_eq!(answer.status, 401, "{prefix:?}: {answer:?}");
        }
    }
    stage.finish(&[])
}
