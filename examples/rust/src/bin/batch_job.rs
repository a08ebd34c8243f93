//! A job that calls a protected API with its own token, by client id and secret.
//!
//! The token is fetched once and stored, also for the next run and for other workers on this
//! machine: a thousand short jobs make one token request.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use m2m::middleware::BearerMiddleware;
use m2m::{CachedTokens, ClientCredentials, FileCache, IssuerTokens, Origin};
use oidc_core::Issuer;
use oidc_core::client::{ClientAuth, ClientSecret, TokenEndpoint};
use oidc_core::dpop::DpopKey;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::provider::Provider;
use reqwest_middleware::ClientBuilder;
use serde_json::Value;
use url::Url;

/// Scores each customer of a file.
#[derive(Parser)]
struct Arguments {
    /// The issuer of the token.
    #[arg(long)]
    issuer: Issuer,
    /// The client id of this job.
    #[arg(long, default_value = "airflow-run")]
    client_id: String,
    /// The file with its secret; read again when it changes.
    #[arg(long)]
    client_secret_file: PathBuf,
    /// The API.
    #[arg(long, default_value = "http://127.0.0.1:8091")]
    api: Url,
    /// Bind the token to a key of this process, with a proof in each request (RFC 9449): a stolen
    /// token is of no use without the key.
    #[arg(long, conflicts_with = "token_folder")]
    dpop: bool,
    /// Folder that keeps the token for other processes of this user, such as `/run/user/1000/doorward`.
    #[arg(long)]
    token_folder: Option<PathBuf>,
    /// A JSON array of customers.
    customers: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // For the program's own `reqwest::Client`.
    oidc_core::http::reqwest::install_crypto_provider();
    let arguments = Arguments::parse();
    let file = &arguments.customers;
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let customers: Vec<Value> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a JSON array", file.display()))?;

    let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
    let secret = ClientSecret::file(arguments.client_secret_file);
    let provider = Provider::new(arguments.issuer, http);
    let key = arguments.dpop.then(DpopKey::generate).transpose()?.map(Arc::new);
    let mut endpoint =
        TokenEndpoint::new(provider, arguments.client_id, ClientAuth::SecretBasic(secret));
    if let Some(key) = &key {
        endpoint = endpoint.with_dpop(Arc::clone(key));
    }
    let wanted = ClientCredentials::new().with_scope("score");
    let mut tokens = CachedTokens::new(IssuerTokens::new(endpoint, wanted));
    if let Some(folder) = arguments.token_folder {
        tokens = tokens.with_file_cache(&FileCache::in_directory(folder));
    }

    // From here on it is an ordinary HTTP client: the token goes to this API only, and is replaced
    // when the API rejects it.
    let mut bearer = BearerMiddleware::new(tokens, Origin::of(&arguments.api)?);
    if let Some(key) = key {
        bearer = bearer.with_dpop(key);
    }
    let client = ClientBuilder::new(reqwest::Client::new()).with(bearer).build();
    let url = arguments.api.join("models/churn/score")?;
    for customer in customers {
        let answer = client.post(url.clone()).json(&customer).send().await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.text().await?);
        let score: Value = answer.json().await?;
        println!("{score}");
    }
    Ok(())
}
