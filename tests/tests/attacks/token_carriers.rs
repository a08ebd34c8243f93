//! Tokens for the gateway beside the application's own credentials, and two credentials in one request.

use anyhow::Result;
use dev_issuer::Mint;

use crate::{
    foreign_tokens::jwt,
    open_streams::{SOON, closes, reload, socket},
    stage::{Setup, Stage},
    tokens::code_of,
};

/// `grafana` issues its own tokens; `tokens` receives the caller's.
const ROUTES: &str = "\
grafana:
  match: { path: /grafana }
  upstream: UPSTREAM
  bearer: application
  access: [{ path: /grafana/api/health, allow: anyone }, { allow: { roles: [admin] } }]
tokens:
  match: { path: /tokens }
  upstream: UPSTREAM
  identity: { access_token: true }
  access: [{ allow: signed_in }]
";

/// Credentials of an application that the gateway has no part in.
const OWN: [&str; 6] = [
    "Bearer glsa_opaque-token-of-grafana",
    "token 0123456789abcdef",
    "Basic YWRtaW46YWRtaW4=",
    "ApiKey x:y",
    "DPoP opaque",
    "AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature=00",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_the_applications_own_identifies_the_caller() -> Result<()> {
    let stage = Setup::new("carriers-own-field").with_routes(ROUTES).start().await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let foreign = format!("Bearer {}", jwt(r#"{"iss":"https://app.example","sub":"svc"}"#));
    for path in ["/public/a", "/echo/a", "/admin/a", "/grafana/api/x"] {
        for own in OWN.into_iter().chain([&*foreign]) {
            let ask = stage.get(path).header("X-Doorward-Token", &token);
            let answer = ask.header("Authorization", own).send().await?;
            assert_eq!(answer.status, 200, "{path} {own}: {answer:?}");
            let seen = stage.upstream.last(path)?;
            assert_eq!(seen.value("authorization").as_deref(), Some(own), "{path}");
            assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
            assert!(seen.values("x-doorward-token").is_empty(), "{path}");
        }
        // The other direction: what does not name a caller on its own still names none.
        for own in OWN.into_iter().filter(|_| path == "/echo/a") {
            let status = stage.get(path).header("Authorization", own).send().await?.status;
            assert_eq!(status, 401, "{own}");
        }
    }
    // Where the application takes `Authorization` for verified, nothing unverified is in it.
    let ask = stage.get("/tokens/a").header("X-Doorward-Token", &token);
    assert_eq!(ask.header("Authorization", "Bearer opaque").send().await?.status, 401);
    let ask = stage.get("/tokens/a").header("X-Doorward-Token", &token);
    assert_eq!(ask.header("Authorization", "token abc").send().await?.status, 200);
    let seen = stage.upstream.last("/tokens/a")?.value("authorization");
    assert_eq!(seen, Some(format!("Bearer {token}")));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_field_is_verified_or_refused_on_every_route() -> Result<()> {
    let stage = Setup::new("carriers-refused").with_routes(ROUTES).start().await?;
    let mint = || Mint::access("alice").client("gateway");
    let good = stage.issuer.mint(mint())?;
    let forged = jwt(&format!(r#"{{"iss":"{}","sub":"alice"}}"#, stage.issuer.url()));
    for bad in [
        stage.issuer.mint(mint().expired())?.as_str(),
        stage.issuer.mint(mint().wrong_key())?.as_str(),
        stage.issuer.mint(mint().audience(["other"]))?.as_str(),
        stage.issuer.mint(Mint::id("alice").client("gateway"))?.as_str(),
        &forged,
        // A token of no configured issuer passes unread in `Authorization` only.
        &jwt(r#"{"iss":"https://app.example","sub":"svc"}"#),
        "opaque",
        "",
        &format!("Bearer {good}"),
        &format!("{good},{good}"),
        &format!("{good} {good}"),
        "=",
    ] {
        for path in ["/public/a", "/echo/a", "/grafana/api/health", "/oauth2/userinfo"] {
            let answer = stage.get(path).header("X-Doorward-Token", bad).send().await?;
            assert_eq!(answer.status, 401, "{path} {bad:?}: {answer:?}");
        }
    }
    let twice = stage.get("/public/a").header("X-Doorward-Token", &good);
    assert_eq!(twice.header("x-doorward-token", &good).send().await?.status, 400);
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    // Named as a field of the connection it counts all the same: it is for the next hop.
    let ask = stage.get("/echo/a").header("X-Doorward-Token", &good);
    let answer = ask.header("Connection", "x-doorward-token").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_of_one_request_name_one_caller() -> Result<()> {
    let stage = Setup::new("carriers-two").with_routes(ROUTES).start().await?;
    let mint = |user: &str| stage.issuer.mint(Mint::access(user).client("gateway"));
    let (alice, bob) = (mint("alice")?, mint("bob")?);
    let (alices, bobs) = (stage.sign_in("alice").await?, stage.sign_in("bob").await?);
    let bearer = |token: &str| format!("Bearer {token}");
    let mut asked = 0;
    for path in ["/public/a", "/echo/a", "/oauth2/userinfo"] {
        for (authorization, own, cookie) in [
            (Some(bearer(&alice)), Some(&bob), None),
            (Some(bearer(&bob)), Some(&alice), None),
            (Some(bearer(&alice)), None, Some(&bobs)),
            (None, Some(&alice), Some(&bobs)),
            (Some(bearer(&alice)), Some(&alice), Some(&bobs)),
        ] {
            let mut ask = stage.get(path);
            for (name, value) in [
                ("Authorization", authorization.as_ref()),
                ("X-Doorward-Token", own),
                ("Cookie", cookie),
            ] {
                if let Some(value) = value {
                    ask = ask.header(name, value);
                }
            }
            let answer = ask.send().await?;
            let code = code_of(&answer);
            assert_eq!((answer.status, &*code), (400, "credentials_disagree"), "{answer:?}");
            asked += 1;
        }
    }
    assert_eq!((asked, stage.reached().len()), (15, 0), "{:?}", stage.reached());
    // The same caller twice, and a cookie that opens nothing.
    let other = mint("alice")?;
    let ask = stage.get("/echo/a").bearer(&alice).header("X-Doorward-Token", &other);
    assert_eq!(ask.header("Cookie", &alices).send().await?.status, 200);
    let seen = stage.upstream.last("/echo/a")?;
    assert!(seen.values("authorization").is_empty() && seen.values("cookie").is_empty());
    let unknown = format!("doorward={}", "A".repeat(22));
    let ask = stage.get("/echo/a").bearer(&alice).header("Cookie", unknown);
    assert_eq!(ask.send().await?.status, 200);
    stage.finish(&[&alices, &bobs])
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_application_pass_untouched_and_name_no_caller() -> Result<()> {
    let stage = Setup::new("carriers-application").with_routes(ROUTES).start().await?;
    let ours = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let cookie = stage.sign_in("alice").await?;
    let own = [
        b"Bearer glsa_opaque".to_vec(),
        format!("Bearer {ours}").into_bytes(),
        format!("DPoP {ours}").into_bytes(),
        b"Bearer\tx y".to_vec(),
        b"bearer x\xff".to_vec(),
        b"token abc".to_vec(),
    ];
    for value in &own {
        let shown = String::from_utf8_lossy(value).into_owned();
        let ask = stage.get("/grafana/api/health").header("Authorization", value);
        assert_eq!(ask.send().await?.status, 200, "{shown}");
        let seen = stage.upstream.last("/grafana/api/health")?;
        assert_eq!(seen.value("authorization"), Some(shown.clone()));
        assert!(seen.values("x-forwarded-user").is_empty(), "{shown}");
        // The gateway does not read it: a rule that wants a caller is not met by it.
        let ask = stage.get("/grafana/api/x").header("Authorization", value);
        let answer = ask.send().await?;
        assert_eq!((answer.status, &*code_of(&answer)), (401, "login_needed"), "{shown}");
        let ask = stage.get("/grafana/api/x").header("Authorization", value);
        assert_eq!(ask.header("Cookie", &cookie).send().await?.status, 200, "{shown}");
        let seen = stage.upstream.last("/grafana/api/x")?;
        assert_eq!(seen.value("authorization"), Some(shown));
        assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    }
    // Everywhere else the token is the gateway's.
    assert_eq!(stage.get("/echo/a").bearer("glsa_opaque").send().await?.status, 401);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dpop_token_of_ours_is_never_passed_on_unread() -> Result<()> {
    let stage = Stage::new("carriers-dpop").await?;
    let ours = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let forged = jwt(&format!(r#"{{"iss":"{}","sub":"alice"}}"#, stage.issuer.url()));
    for path in ["/public/a", "/echo/a"] {
        for token in [&ours, &forged, &format!("{ours}\tx"), ""] {
            for scheme in ["DPoP", "dpop", "DPOP"] {
                let ask = stage.get(path).header("Authorization", format!("{scheme} {token}"));
                let answer = ask.send().await?;
                assert_eq!(answer.status, 401, "{path} {scheme} {token}: {answer:?}");
            }
        }
    }
    let answer =
        stage.get("/echo/a").header("Authorization", format!("DPoP {ours}")).send().await?;
    assert_eq!(code_of(&answer), "not_bound", "{answer:?}");
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    let foreign = jwt(r#"{"iss":"https://app.example","sub":"svc"}"#);
    let ask = stage.get("/public/a").header("Authorization", format!("DPoP {foreign}"));
    assert_eq!(ask.send().await?.status, 200);
    let ask = stage.get("/echo/a").header("Authorization", format!("DPoP {foreign}"));
    assert_eq!(ask.send().await?.status, 401);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_closes_when_its_token_goes_to_the_application() -> Result<()> {
    let stage = Stage::new("carriers-reload").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let bearer = ("authorization", &*format!("Bearer {token}"));
    let mut by_header = socket(&stage, "/admin/ws", &[bearer]).await?;
    let mut by_field = socket(&stage, "/admin/ws", &[("x-doorward-token", &token)]).await?;
    reload(&stage, "match: { path: /admin }", "match: { path: /admin }\n    bearer: application")
        .await?;
    closes(&mut by_header, SOON).await?;
    assert_eq!(by_field.ask("still").await?, "still");
    stage.finish(&[])
}
