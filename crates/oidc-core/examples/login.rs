//! Logs a person in at any issuer, with a browser and a loopback address (RFC 8252 §7.3).
//!
//! Register `http://127.0.0.1:8765/callback` as a redirect URI of a public client, then:
//!
//! ```text
//! cargo run -p oidc-core --features native --example login -- https://id.example/realms/lab my-client
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use oidc_core::Client;
use oidc_core::client::ClientAuth;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::login::LoopbackRedirect;
use oidc_core::provider::Provider;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: login ISSUER CLIENT_ID";
    let issuer = arguments.next().context(usage)?.parse()?;
    let client_id = arguments.next().context(usage)?;

    let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
    let provider = Provider::new(issuer, http);
    let keys = Arc::new(RemoteKeys::new(provider.clone()));
    let client = Client::new(provider, keys, client_id, ClientAuth::None);

    let redirect = LoopbackRedirect::bind_to(&"http://127.0.0.1:8765/callback".parse()?).await?;
    let request = redirect.request().with_scopes(["openid", "profile"]);
    let waiting = redirect.begin(&client, request).await?;
    println!("open {}", waiting.url());

    let login = waiting.finish(Duration::from_secs(300)).await?;
    println!("hello {}", login.id_token.name().unwrap_or(login.id_token.subject()));
    Ok(())
}
