//! Workloads that are known by their client certificate alone: by its name, and by no other.

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dev_issuer::Mint;
use e2e::{authority::Authority, wait};

use crate::{
    certificates::{Parts, SOON, ask, client, connect, der},
    stage::{Setup, Stage},
    tokens::code_of,
};

const ETL: &str = "spiffe://acme.example/run/etl";

const ROUTES: &str = "\
mesh:
  match: { path: /mesh }
  upstream: UPSTREAM
  sign_in: challenge
  access:
    - { path: /mesh/open/**, allow: anyone }
    - { allow: { subjects: ['spiffe://acme.example/run/*'], issuers: [mesh] } }
people:
  match: { path: /people }
  upstream: UPSTREAM
  access: [{ allow: { roles: [admin], issuers: [main] } }]
";

async fn stage(parts: &Parts, name: &str) -> Result<Stage> {
    let tls = parts.tls("")?;
    let mesh = format!(
        "workload_certificates: {{ mesh: {{ ca_file: {} }} }}",
        parts.client_ca().display()
    );
    let setup = Setup::new(name).with_routes(ROUTES);
    setup.with_plan(move |plan| plan.with(&tls).with(&mesh)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_a_workload_and_nothing_more() -> Result<()> {
    let parts = Parts::new()?;
    let stage = stage(&parts, "certificate-callers").await?;
    let etl = parts.clients.workload("etl", ETL)?;
    let mut stream = connect(&stage, &client(&parts, Some(&etl))?).await?;
    for target in ["/mesh/a", "/mesh/a", "/mesh/open/a"] {
        let (status, body) = ask(&mut stream, &stage, target, &[]).await?;
        assert_eq!(status, 200, "{target}: {body}");
    }
    let seen = stage.upstream.last("/mesh/a")?;
    assert_eq!(seen.value("x-forwarded-user").as_deref(), Some(ETL));
    assert_eq!(seen.value("x-forwarded-issuer").as_deref(), Some("certificate:mesh"));
    for absent in ["x-forwarded-roles", "x-forwarded-preferred-username", "client-cert"] {
        assert!(seen.values(absent).is_empty(), "{absent}");
    }
    let (status, _) = ask(&mut stream, &stage, "/people/b", &[]).await?;
    assert_eq!(status, 403, "a workload has no role");
    // A browser sends a certificate for every site's page.
    for page in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let (status, body) = ask(&mut stream, &stage, "/mesh/b", &[page]).await?;
        assert_eq!(status, 403, "{page:?}: {body}");
        assert!(body.contains("foreign_origin"), "{body}");
    }
    // A token decides where there is one, and one that does not verify is refused.
    let alice = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let authorization = format!("Bearer {alice}");
    let token = [("Authorization", authorization.as_str())];
    assert_eq!(ask(&mut stream, &stage, "/people/a", &token).await?.0, 200);
    assert_eq!(ask(&mut stream, &stage, "/mesh/b", &token).await?.0, 403);
    let (status, _) = ask(&mut stream, &stage, "/mesh/b", &[("Authorization", "Bearer x")]).await?;
    assert_eq!(status, 401);

    for (name, uri) in [
        ("other", "spiffe://acme.example/other/etl"),
        ("deeper", "spiffe://acme.example/run/etl/x"),
        ("domain", "spiffe://evil.example/run/etl"),
    ] {
        let certified = parts.clients.workload(name, uri)?;
        let mut stream = connect(&stage, &client(&parts, Some(&certified))?).await?;
        assert_eq!(ask(&mut stream, &stage, "/mesh/b", &[]).await?.0, 403, "{uri}");
    }
    for anonymous in [None, Some(parts.clients.client("nameless")?)] {
        let mut stream = connect(&stage, &client(&parts, anonymous.as_ref())?).await?;
        assert_eq!(ask(&mut stream, &stage, "/mesh/b", &[]).await?.0, 401, "{anonymous:?}");
    }
    let named = |line: &serde_json::Value| {
        line["credential"] == "certificate" && line["subject"] == ETL && line["issuer"] == "mesh"
    };
    wait::until("the audit line that names the workload", SOON, async || {
        Ok(stage.gateway.audit()?.iter().any(named).then_some(()))
    })
    .await?;
    assert!(!stage.reached().iter().any(|target| target.ends_with("/b")), "{:?}", stage.reached());
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_ends_with_its_authority() -> Result<()> {
    let parts = Parts::new()?;
    let stage = stage(&parts, "certificate-callers-ca").await?;
    let etl = parts.clients.workload("etl", ETL)?;
    let mut stream = connect(&stage, &client(&parts, Some(&etl))?).await?;
    assert_eq!(ask(&mut stream, &stage, "/mesh/a", &[]).await?.0, 200);
    let next = Authority::new(&parts.folder.path().join("next"))?;
    parts.trust(&next)?;
    // The connection stays, and names no caller any more.
    wait::until("the end of the authority", SOON, async || {
        Ok((ask(&mut stream, &stage, "/mesh/a", &[]).await?.0 == 401).then_some(()))
    })
    .await?;
    assert_eq!(ask(&mut stream, &stage, "/mesh/open/a", &[]).await?.0, 200);
    let new = next.workload("etl", ETL)?;
    wait::until("the new authority", SOON, async || {
        let mut stream = connect(&stage, &client(&parts, Some(&new))?).await?;
        Ok((ask(&mut stream, &stage, "/mesh/a", &[]).await?.0 == 200).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_names_the_workload_it_serves() -> Result<()> {
    let parts = Parts::new()?;
    parts.trust(&parts.clients)?;
    let mesh = format!(
        "workload_certificates: {{ mesh: {{ ca_file: {} }} }}",
        parts.client_ca().display()
    );
    let setup = Setup::new("certificate-callers-proxy").with_routes(ROUTES).trusting_proxies();
    let stage = setup
        .with_plan(move |plan| plan.with(&mesh).with("client_cert_header: true"))
        .start()
        .await?;
    let field = |certificate: &std::path::Path| {
        anyhow::Ok(format!(":{}:", STANDARD.encode(der(certificate)?)))
    };
    let etl = field(&parts.clients.workload("etl", ETL)?.certificate)?;
    let answer = stage.get("/mesh/a").header("Client-Cert", &etl).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    // The field proves nothing by itself: the authority must have issued the certificate.
    let stranger = Authority::new(&parts.folder.path().join("stranger"))?;
    let forged = field(&stranger.workload("etl", ETL)?.certificate)?;
    let answer = stage.get("/mesh/b").header("Client-Cert", &forged).send().await?;
    assert_eq!((answer.status, code_of(&answer)), (401, "login_needed".to_owned()));
    let chained = stage.get("/mesh/b").header("Client-Cert", &forged);
    let answer = chained.header("Client-Cert-Chain", &etl).send().await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    // The same for a request that a proxy asks about.
    let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", "/mesh/a");
    let answer = ask.header("Client-Cert", &etl).send().await?;
    assert_eq!((answer.status, answer.header("x-auth-request-user")), (202, ETL));
    assert!(!stage.reached().iter().any(|target| target.ends_with("/b")), "{:?}", stage.reached());
    stage.finish(&[])
}
