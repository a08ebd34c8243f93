//! Calls an API as a batch job. The token is fetched once, shared with other jobs of this user, and
//! sent to that API only.
//!
//! ```text
//! cargo run -p m2m --features reqwest --example call_api -- \
//!     https://id.example/realms/lab airflow-run /run/secrets/airflow https://churn.example/score
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use anyhow::Context as _;
use m2m::middleware::BearerMiddleware;
use m2m::{CachedTokens, ClientCredentials, FileCache, Origin};
use oidc_core::client::{ClientAuth, ClientSecret};
use reqwest_middleware::ClientBuilder;
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // For the program's own `reqwest::Client`.
    oidc_core::http::reqwest::install_crypto_provider();
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: call_api ISSUER CLIENT_ID SECRET_FILE URL";
    let issuer = arguments.next().context(usage)?.parse()?;
    let client_id = arguments.next().context(usage)?;
    let secret = ClientSecret::file(arguments.next().context(usage)?);
    let url: Url = arguments.next().context(usage)?.parse()?;

    // The user's runtime directory, if there is one: it is in memory and belongs to this user only.
    let user = rustix::process::getuid().as_raw();
    let files = FileCache::in_directory(format!("/run/user/{user}/call_api"));
    let auth = ClientAuth::SecretBasic(secret);
    let tokens = CachedTokens::for_client(issuer, client_id, auth, ClientCredentials::new())?
        .with_file_cache(&files);

    let client = ClientBuilder::new(reqwest::Client::new())
        .with(BearerMiddleware::new(tokens, Origin::of(&url)?))
        .build();
    let answer = client.get(url).send().await?;
    println!("{}", answer.status());
    println!("{}", answer.text().await?);
    Ok(())
}
