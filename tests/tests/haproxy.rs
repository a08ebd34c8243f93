//! The real HAProxy tells the clients' addresses by the PROXY protocol, before TLS.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Result;
use dev_issuer::{DevClient, DevIssuer};
use e2e::{
    World,
    gateway::Plan,
    haproxy::{Ports, haproxy},
    visitor::plain_client,
    wait,
    wire::Wire,
    world::free_port,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A client at this address that trusts the gateway's certificate.
fn client_at(address: Ipv4Addr, world: &World) -> Result<reqwest::Client> {
    // Installs the provider of the process.
    plain_client()?;
    let certificate = std::fs::read(world.folder().join("tls.crt"))?;
    Ok(reqwest::Client::builder()
        .no_proxy()
        .local_address(Some(address.into()))
        .tls_certs_only([reqwest::Certificate::from_pem(&certificate)?])
        .build()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_tells_the_clients_address_before_tls() -> Result<()> {
    let world = World::new_with_tls("haproxy")?;
    let secret = "a secret behind HAProxy";
    let client = DevClient::confidential("gateway", secret).audience("gateway");
    let issuer = DevIssuer::builder().client(client).start("127.0.0.1:0").await?;
    let echo = world.echo().await?;
    let routes = format!(
        "all:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: anyone }}]",
        echo.url()
    );
    let (redirect, http) = (free_port()?, free_port()?);
    let settings = format!(
        "redirect: 127.0.0.1:{redirect}\nproxy_protocol: true\ntrusted_proxies: [127.0.0.1/32]"
    );
    let plan = Plan::with_client(&world, issuer.url(), secret, &routes)?;
    let gateway = plan.at_another_port()?.with(&settings).start().await?;
    let ports = Ports { https: world.public_port(), http, gateway: gateway.port(), redirect };
    let _haproxy = haproxy(&world, ports).await?;

    // HAProxy's own checks find the gateway: until then it closes connections.
    for (last, forwarded) in [(5, "6.6.6.6"), (6, "127.0.0.1"), (7, "127.0.0.9")] {
        let address = Ipv4Addr::new(127, 0, 0, last);
        let client = client_at(address, &world)?;
        wait::until("an answer through HAProxy", PATIENCE, async || {
            let request = client.get(world.url("/a")).header("x-forwarded-for", forwarded);
            let answer = request.header("forwarded", "for=6.6.6.6").send().await?;
            Ok((answer.status() == 200).then_some(()))
        })
        .await?;
        let seen = echo.last("/a")?;
        assert_eq!(seen.value("x-forwarded-for"), Some(address.to_string()));
        assert_eq!(seen.value("x-forwarded-proto").as_deref(), Some("https"));
    }

    // Plain http is redirected, by the same way.
    let head = format!("GET /a?b=c HTTP/1.1\r\nHost: localhost:{http}\r\n\r\n");
    let answer = wait::until("a redirect through HAProxy", PATIENCE, async || {
        let mut wire = Wire::connect(http).await?;
        wire.send(&head).await;
        Ok(Some(wire.answer().await?))
    })
    .await?;
    assert_eq!((answer.status, answer.header("location")), (308, &*world.url("/a?b=c")));

    wait::until("the audit line", PATIENCE, async || {
        let audit = gateway.audit()?;
        Ok(audit.iter().any(|line| line["address"] == "127.0.0.7").then_some(()))
    })
    .await?;
    gateway.finish(&[])
}
