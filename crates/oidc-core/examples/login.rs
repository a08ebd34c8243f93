//! Logs a person in at any issuer, with a browser and a loopback address (RFC 8252 §7.3).
//!
//! Register `http://127.0.0.1:8765/callback` as a redirect URI of a public client, then:
//!
//! ```text
//! cargo run -p oidc-core --example login -- https://id.example/realms/lab my-client
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;

use anyhow::Context as _;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::{Client, ClientAuth, LoginRequest, Provider, RemoteKeys};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

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

    let listener = TcpListener::bind("127.0.0.1:8765").await?;
    let request = LoginRequest::new("http://127.0.0.1:8765/callback".parse()?)
        .with_scopes(["openid", "profile"]);
    let (url, pending) = client.begin_login(request).await?;
    println!("open {url}");

    let query = callback_query(&listener).await?;
    let code = client.parse_callback(&query, &pending).await?;
    let login = client.finish_login(code, &pending).await?;
    println!("hello {}", login.id_token.name().unwrap_or(login.id_token.subject()));
    Ok(())
}

/// Waits for the browser to come back, and returns the query of that request.
async fn callback_query(listener: &TcpListener) -> anyhow::Result<String> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let (read, mut write) = stream.split();
        let line = BufReader::new(read).lines().next_line().await?.unwrap_or_default();
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\nYou may close this.\r\n";
        write.write_all(answer.as_bytes()).await?;
        if let Some(query) = target.strip_prefix("/callback?") {
            return Ok(query.to_owned());
        }
    }
}
