//! Tokens of Keycloak that are bound to a key, before the gateway: the library is the client that proves it.

use std::sync::Arc;

use anyhow::Result;
use e2e::{
    World,
    gateway::{Gateway, Plan},
    upstream::Echo,
};
use http::Method;
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::dpop::DpopKey;
use oidc_core::http::reqwest::HttpOptions;
use oidc_core::{Clock as _, Secret, SystemClock};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use url::Url;

use crate::lab::{Lab, client_credentials, secret};

const ROUTES: &str = "\
churn:
  match: { path: /churn }
  upstream: UPSTREAM
  audience: [churn]
  sign_in: challenge
  access: [{ allow: signed_in }]
";

async fn start(
    world: &World,
    issuer: &str,
    change: impl FnOnce(Plan) -> Plan,
) -> Result<(Gateway, Echo)> {
    let upstream = world.echo().await?;
    let routes = ROUTES.replace("UPSTREAM", &upstream.url());
    let plan = Plan::with_client(world, issuer, "unused", &routes)?;
    Ok((change(plan).start().await?, upstream))
}

/// Status and code of the answer to a request with a token.
async fn ask(
    url: &str,
    authorization: String,
    more: Option<(&str, &str)>,
) -> Result<(u16, String)> {
    let client = e2e::visitor::plain_client()?;
    let request = client.get(url).header("authorization", authorization);
    let request = match more {
        Some((name, value)) => request.header(name, value),
        None => request,
    };
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
    Ok((status, body["code"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dpop_token_of_keycloak_passes_with_its_proof() -> Result<()> {
    let lab = Lab::common().await?;
    let world = World::new("bound-dpop")?;
    let bound = "tokens: { bound: dpop }";
    let issuer = lab.issuer().to_string();
    let (gateway, upstream) =
        start(&world, &issuer, |plan| plan.with_issuer_setting(bound)).await?;
    let key = Arc::new(DpopKey::generate()?);
    let endpoint = lab.endpoint("job-dpop", secret("job-dpop"))?.with_dpop(Arc::clone(&key));
    let token = endpoint.request(client_credentials(None)).await?.access_token;
    let url = world.url("/churn/score?x=1");
    let prove = |key: &DpopKey, token: &Secret| {
        key.proof(&Method::GET, &url.parse::<Url>()?, Some(token), None, SystemClock.now())
            .map_err(anyhow::Error::from)
    };
    let dpop = format!("DPoP {}", token.expose());
    let proof = prove(&key, &token)?;
    let ours = Some(("dpop", proof.expose()));
    assert_eq!(ask(&url, dpop.clone(), ours).await?.0, 200);
    let seen = upstream.last("/churn/score?x=1")?;
    assert!(seen.values("dpop").is_empty() && seen.values("authorization").is_empty());
    assert_eq!(ask(&url, dpop.clone(), ours).await?.1, "proof_replayed");
    let thief = prove(&DpopKey::generate()?, &token)?;
    let forged = Some(("dpop", thief.expose()));
    assert_eq!(ask(&url, dpop.clone(), forged).await?.1, "proof_wrong_key");
    assert_eq!(ask(&url, dpop, None).await?.1, "proof_missing");
    let bearer = format!("Bearer {}", token.expose());
    assert_eq!(ask(&url, bearer, None).await?.1, "proof_missing");
    // An unbound token of the same provider is refused where bound ones are required.
    let plain = lab.job()?.request(client_credentials(Some("churn"))).await?.access_token;
    let refused = ask(&url, format!("Bearer {}", plain.expose()), None).await?;
    assert_eq!(refused, (401, "missing_claim".to_owned()));
    gateway.finish(&[token.expose().to_owned(), proof.expose().to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_keycloak_is_bound_to_a_certificate() -> Result<()> {
    let lab = Lab::new("bound-certificate").await?;
    let authority = lab.realm.authority();
    let (mine, other) = (authority.client("certified-job")?, authority.client("another-job")?);
    let subject = json!({ "x509.subjectdn": "CN=certified-job" });
    lab.realm.set_client_attributes("job-certificate", &subject).await?;
    let options = HttpOptions::default().with_client_certificate(&mine.certificate, &mine.key);
    let endpoint =
        TokenEndpoint::new(lab.tls_provider(options)?, "job-certificate", ClientAuth::MutualTls);
    let token = endpoint.request(client_credentials(None)).await?.access_token;

    let world = World::new("bound-certificate")?;
    let issuer = lab.realm.tls_issuer();
    let ca = lab.realm.authority().certificate();
    let setting = format!("ca_file: {}", ca.display());
    // As behind a proxy that ends TLS: the provider's own connection is not the caller's.
    let (gateway, _upstream) = start(&world, &issuer, |plan| {
        plan.with_issuer_setting(&setting)
            .with_issuer_setting("tokens: { bound: certificate }")
            .with("trusted_proxies: [127.0.0.0/8]")
            .with("client_cert_header: true")
    })
    .await?;
    let field = |file: &std::path::Path| {
        use base64::Engine as _;
        let der = CertificateDer::from_pem_file(file)?;
        anyhow::Ok(format!(":{}:", base64::engine::general_purpose::STANDARD.encode(der)))
    };
    let (mine, other) = (field(&mine.certificate)?, field(&other.certificate)?);
    let url = world.url("/churn/score");
    let bearer = || format!("Bearer {}", token.expose());
    assert_eq!(ask(&url, bearer(), Some(("client-cert", &mine))).await?.0, 200);
    assert_eq!(ask(&url, bearer(), Some(("client-cert", &other))).await?.1, "wrong_certificate");
    assert_eq!(ask(&url, bearer(), None).await?.1, "certificate_missing");
    gateway.finish(&[token.expose().to_owned()])
}
