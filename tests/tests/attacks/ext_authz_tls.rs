//! Questions of Envoy over the network: by mutual TLS only.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    authority::{Authority, Certified},
    envoy_check::{Check, client},
    world::free_port,
};

use crate::stage::Setup;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn only_holders_of_a_certificate_ask_over_the_network() -> Result<()> {
    let port = free_port()?;
    let setup = Setup::new("attack-ext-authz-mtls");
    let world = e2e::World::new("attack-ext-authz-mtls-authorities")?;
    let (authority, other) =
        (Authority::new(&world.folder().join("a"))?, Authority::new(&world.folder().join("b"))?);
    let (server, own) = (authority.server()?, authority.client("envoy")?);
    let foreign = other.client("mallory")?;
    let yaml = format!(
        "ext_authz: {{ listen: \"0.0.0.0:{port}\", tls: {{ certificate: {}, key: {}, client_ca: {} }} }}",
        server.certificate.display(),
        server.key.display(),
        authority.certificate().display(),
    );
    let stage = setup.with_plan(move |plan| plan.with(&yaml)).start().await?;
    client()?;
    let check = Check::get(&stage.host(), "/public/a");
    let origin = format!("https://localhost:{port}");
    let root = reqwest::Certificate::from_pem(&std::fs::read(authority.certificate())?)?;
    let by = |identity: Option<&Certified>| -> Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .timeout(PATIENCE)
            .tls_certs_only([root.clone()]);
        Ok(match identity {
            None => builder,
            Some(files) => {
                let pem = [std::fs::read(&files.certificate)?, std::fs::read(&files.key)?].concat();
                builder.identity(reqwest::Identity::from_pem(&pem)?)
            }
        }
        .build()?)
    };
    assert!(check.ask_by(&by(Some(&own))?, &origin).await?.passes());
    assert!(check.ask_by(&by(None)?, &origin).await.is_err(), "no certificate");
    assert!(check.ask_by(&by(Some(&foreign))?, &origin).await.is_err(), "another authority's");
    assert!(check.ask(port).await.is_err(), "without TLS");
    stage.finish(&[])
}
