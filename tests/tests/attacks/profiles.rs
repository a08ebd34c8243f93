//! Bearer tokens of other providers than Keycloak, in their own forms.

use anyhow::{Context as _, Result};
use dev_issuer::{DevClient, DevIssuer, Mint, User};
use oidc_core::http::Http as _;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use serde_json::json;

use crate::stage::{Setup, Stage};

const ROUTES: &str = "\
jobs:
  match: { path: /jobs }
  upstream: UPSTREAM
  access:
    - allow: { subjects: ['project_path:data/*:ref_type:branch:ref:main'], issuers: [ci] }
jobs-by-claim:
  match: { path: /protected }
  upstream: UPSTREAM
  access: [{ allow: { issuers: [ci], claims: { ref_protected: 'true' } } }]
roles-of-jobs:
  match: { path: /roles }
  upstream: UPSTREAM
  access: [{ allow: [ { roles: [admin] }, { groups: [/lab] }, { scopes: [score] }, { users: [alice] } ] }]
models:
  match: { path: /models }
  upstream: UPSTREAM
  access: [{ allow: { issuers: [api], scopes: [score], roles: [analyst] } }]
spiffe:
  match: { path: /spiffe }
  upstream: UPSTREAM
  access: [{ allow: { subjects: ['spiffe://acme.example/run/*'], issuers: [mesh] } }]
";

/// A platform or provider of its own.
async fn provider() -> Result<DevIssuer> {
    let builder =
        DevIssuer::builder().user(User::new("alice", "alice")).client(DevClient::public("any"));
    Ok(builder.start("127.0.0.1:0").await?)
}

/// A key of no issuer here (RFC 7515 §A.3.1).
const OTHER_KEY: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"other",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

async fn stage(name: &str, issuer: &str, settings: String) -> Result<Stage> {
    let issuer = issuer.to_owned();
    let file = file(name, OTHER_KEY)?;
    Setup::new(name)
        .with_routes(ROUTES)
        .with_plan(move |plan| {
            // Every issuer that a rule names exists.
            ["ci", "api", "mesh"].into_iter().fold(plan, |plan, name| {
                let other = format!(
                    "url: https://{name}.example\nprofile: workload\naudience: [x]\nkeys_file: {file}\nclaims: {{ roles: roles, scopes: scope }}\n"
                );
                plan.with_issuer_of_programs(name, if name == issuer { &settings } else { &other })
            })
        })
        .start()
        .await
}

/// A file with these keys.
fn file(name: &str, keys: &str) -> Result<String> {
    let path = std::env::temp_dir().join(format!("{name}-{}.json", std::process::id()));
    std::fs::write(&path, keys)?;
    Ok(path.display().to_string())
}

/// A token without any mark of Keycloak.
fn plain(subject: &str) -> Mint {
    let marks = [
        "typ",
        "azp",
        "sid",
        "acr",
        "scope",
        "realm_access",
        "resource_access",
        "preferred_username",
        "name",
        "email",
        "email_verified",
        "groups",
        "auth_time",
        "session_state",
        "allowed-origins",
    ];
    let token = Mint::access("alice").claim("sub", subject).audience(["doorward"]);
    marks.into_iter().fold(token, Mint::without)
}

const MAIN: &str = "project_path:data/churn:ref_type:branch:ref:main";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_known_by_its_subject_and_has_no_roles() -> Result<()> {
    let gitlab = provider().await?;
    let settings = format!("url: {}\nprofile: workload\naudience: [doorward]\n", gitlab.url());
    let stage = stage("attack-profile-ci", "ci", settings).await?;
    let status = async |path: &str, token: Mint| -> Result<u16> {
        let token = gitlab.mint(token)?;
        Ok(stage.get(path).bearer(&token).send().await?.status)
    };
    assert_eq!(status("/jobs/x", plain(MAIN)).await?, 200);
    let seen = stage.upstream.last("/jobs/x")?;
    assert_eq!(seen.value("x-forwarded-user").as_deref(), Some(MAIN));
    assert_eq!(seen.value("x-forwarded-issuer").as_deref(), Some(gitlab.url()));
    for absent in ["roles", "groups", "email", "preferred-username"] {
        let name = format!("x-forwarded-{absent}");
        assert!(
            seen.values(&name).iter().all(String::is_empty),
            "{name}: {:?}",
            seen.values(&name)
        );
    }
    for other in [
        "project_path:data/churn:ref_type:branch:ref:dev",
        "project_path:data/x/churn:ref_type:branch:ref:main",
        "project_path:other/churn:ref_type:branch:ref:main",
        "alice",
    ] {
        assert_eq!(status("/jobs/x", plain(other)).await?, 403, "{other}");
    }
    assert_eq!(status("/protected", plain(MAIN).claim("ref_protected", "true")).await?, 200);
    assert_eq!(status("/protected", plain(MAIN).claim("ref_protected", "false")).await?, 403);
    // Claims that would be names of a person's token.
    let names = plain(MAIN)
        .claim("realm_access", json!({"roles": ["admin"]}))
        .claim("roles", json!(["admin"]))
        .claim("groups", json!(["/lab"]))
        .claim("scope", "score")
        .claim("scp", json!(["score"]))
        .claim("preferred_username", "alice");
    assert_eq!(status("/roles", names).await?, 403);
    for fault in [
        plain(MAIN).audience(["gateway"]),
        plain(MAIN).without("aud"),
        plain(MAIN).without("exp"),
        plain(MAIN).expired(),
        plain(MAIN).claim("typ", "Bearer").claim("nonce", "n"),
        plain(MAIN).claim("at_hash", "h"),
        plain(MAIN).claim("events", json!({})),
        plain(MAIN).header("typ", "at+jwt"),
        plain(MAIN).header("cty", "JWT"),
        plain(MAIN).wrong_key(),
        plain(MAIN).unsigned(),
        Mint::id("alice").client("any").audience(["doorward"]),
    ] {
        assert_eq!(status("/jobs/x", fault).await?, 401);
    }
    // The platform offers no browser login.
    let answer = stage.get("/oauth2/start?rd=/jobs&issuer=ci").navigating().send().await?;
    assert_ne!(answer.status, 302, "{answer:?}");
    assert_eq!(stage.get("/oauth2/start?rd=/jobs").navigating().send().await?.status, 302);
    e2e::wait::until("the audit line", std::time::Duration::from_secs(5), async || {
        let audit = stage.gateway.audit()?;
        let line = audit.iter().find(|line| line["subject"] == MAIN && line["decision"] == "allow");
        let line = line.with_context(|| format!("{audit:?}"))?;
        anyhow::ensure!(line["issuer"] == "ci" && line["client"].is_null(), "{line}");
        Ok(Some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_roles_are_read_where_the_provider_has_them() -> Result<()> {
    let okta = provider().await?;
    let settings = format!(
        "url: {}\nprofile: generic\naudience: [doorward]\nclaims: {{ roles: '\"https://acme.example/app\".roles' }}\n",
        okta.url()
    );
    let stage = stage("attack-profile-api", "api", settings).await?;
    let token = || {
        plain("00u1")
            .without_header("typ")
            .claim("scp", json!(["openid", "score"]))
            .claim("https://acme.example/app", json!({"roles": {"analyst": {"1": "acme"}}}))
    };
    let status = async |token: Mint| -> Result<u16> {
        let token = okta.mint(token)?;
        Ok(stage.get("/models/x").bearer(&token).send().await?.status)
    };
    assert_eq!(status(token()).await?, 200);
    assert_eq!(status(token().claim("scp", "openid score")).await?, 200);
    assert_eq!(status(token().without("scp").claim("scope", json!(["score"]))).await?, 200);
    assert_eq!(status(token().claim("scp", json!(["openid score"]))).await?, 403);
    assert_eq!(status(token().claim("scp", "score.read")).await?, 403);
    assert_eq!(status(token().claim("https://acme.example/app", json!({}))).await?, 403);
    for id_token in [
        token().claim("nonce", "n"),
        token().claim("c_hash", "h"),
        token().claim("typ", "ID"),
        token().claim("token_use", "id"),
    ] {
        assert_eq!(status(id_token).await?, 401);
    }
    // The same token is none of the first issuer's, which has Keycloak's profile.
    let foreign = stage.issuer.mint(token().audience(["gateway"]))?;
    assert_eq!(stage.get("/echo").bearer(&foreign).send().await?.status, 401);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_without_iss_is_judged_by_the_keys_of_its_domain() -> Result<()> {
    let spire = provider().await?;
    let url = format!("{}/protocol/openid-connect/certs", spire.url());
    let http = ReqwestHttp::new(HttpOptions::default())?;
    let answer = http.send(http::Request::get(&url).body(Default::default())?).await?;
    let keys = String::from_utf8(answer.into_body().to_vec())?;
    let file = file("attack-profile-bundle", &keys)?;
    let settings = format!(
        "url: {}\nprofile: workload\naudience: [doorward]\ntrust_domain: acme.example\nkeys_file: {file}\n",
        spire.url(),
    );
    let stage = stage("attack-profile-spiffe", "mesh", settings).await?;
    let svid = |subject: &str| plain(subject).without("iss").without("iat");
    let status = async |issuer: &DevIssuer, token: Mint| -> Result<u16> {
        let token = issuer.mint(token)?;
        Ok(stage.get("/spiffe/x").bearer(&token).send().await?.status)
    };
    // Nothing is asked of the issuer itself.
    spire.stop().await;
    assert_eq!(status(&spire, svid("spiffe://acme.example/run/trainer")).await?, 200);
    assert_eq!(status(&spire, plain("spiffe://acme.example/run/trainer")).await?, 200);
    let seen = stage.upstream.last("/spiffe/x")?;
    let user = seen.value("x-forwarded-user");
    assert_eq!(user.as_deref(), Some("spiffe://acme.example/run/trainer"));
    assert_eq!(status(&spire, svid("spiffe://acme.example/run/a/b")).await?, 403);
    assert_eq!(status(&spire, svid("spiffe://acme.example/web/trainer")).await?, 403);
    for other in ["spiffe://other.example/run/trainer", "spiffe://acme.example", "alice"] {
        assert_eq!(status(&spire, svid(other)).await?, 401, "{other}");
        assert_eq!(status(&spire, plain(other)).await?, 401, "{other}");
    }
    // Another issuer's signature.
    let stolen = svid("spiffe://acme.example/run/trainer");
    assert_eq!(status(&stage.issuer, stolen.audience(["doorward"])).await?, 401);
    stage.finish(&[])
}
