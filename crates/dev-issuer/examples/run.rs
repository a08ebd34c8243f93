//! Runs the demo provider until Ctrl-C: `cargo run -p dev-issuer --example run -- 127.0.0.1:9000`.
#![expect(clippy::print_stdout, reason = "prints the address to the user")]

use std::error::Error;

use dev_issuer::{DevClient, DevIssuer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let gateway = DevClient::confidential("gateway", "secret")
        .redirect_uri("http://127.0.0.1:*/oauth2/callback")
        .redirect_uri("http://localhost:*/oauth2/callback")
        .post_logout_redirect_uri("http://127.0.0.1:*/")
        .audience("gateway")
        .service_account_roles(["batch"]);
    let issuer = DevIssuer::demo_builder()
        .client(gateway)
        .client(DevClient::public("cli").redirect_uri("http://127.0.0.1:*/"))
        .start(&addr)
        .await?;
    println!("issuer    {}", issuer.url());
    println!("discovery {}", issuer.discovery_url());
    println!("clients   gateway (secret: secret), cli (public)");
    println!("people    alice / alice, bob / bob");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
