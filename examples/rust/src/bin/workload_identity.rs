//! A job without a secret: it sends the token that its platform wrote into a file (RFC 7523 §2.2).
//!
//! On Kubernetes that file is a projected service account token: the cluster signs it, keeps it fresh,
//! and only the issuer accepts it. There is no secret to create, distribute or rotate.
//! `kubernetes/job.yaml` is the job as a manifest.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use m2m::middleware::BearerMiddleware;
use m2m::{CachedTokens, ClientCredentials, IssuerTokens, Origin};
use oidc_core::Issuer;
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::provider::Provider;
use reqwest_middleware::ClientBuilder;
use serde_json::{Value, json};
use url::Url;

/// Scores one customer.
#[derive(Parser)]
struct Arguments {
    /// The issuer of the token.
    #[arg(long)]
    issuer: Issuer,
    /// The client id of this job.
    #[arg(long, default_value = "nightly")]
    client_id: String,
    /// File into which the platform writes its token; read at each use.
    #[arg(long, default_value = "/var/run/secrets/issuer/token")]
    token_file: PathBuf,
    /// The API.
    #[arg(long, default_value = "http://127.0.0.1:8091")]
    api: Url,
    /// Months since the customer's contract began.
    #[arg(long, default_value_t = 12)]
    months: u32,
    /// Number of the customer's complaints.
    #[arg(long, default_value_t = 2)]
    complaints: u32,
    /// Certificates to trust at the issuer, in PEM, in place of the system's.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// The customer.
    customer: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // For the program's own `reqwest::Client`.
    oidc_core::http::reqwest::install_crypto_provider();
    let arguments = Arguments::parse();
    let mut options = HttpOptions::default();
    if let Some(file) = arguments.ca_file {
        options = options.with_ca_file(file);
    }
    let provider = Provider::new(arguments.issuer, Arc::new(ReqwestHttp::new(options)?));
    let proof = ClientAuth::AssertionFile(arguments.token_file);
    let endpoint = TokenEndpoint::new(provider, arguments.client_id, proof);
    let wanted = ClientCredentials::new().with_scope("score");
    let tokens = CachedTokens::new(IssuerTokens::new(endpoint, wanted));

    let bearer = BearerMiddleware::new(tokens, Origin::of(&arguments.api)?);
    let client = ClientBuilder::new(reqwest::Client::new()).with(bearer).build();
    let customer = json!({
        "id": arguments.customer, "months": arguments.months, "complaints": arguments.complaints,
    });
    let url = arguments.api.join("models/churn/score")?;
    let answer = client.post(url).json(&customer).send().await?;
    anyhow::ensure!(answer.status().is_success(), "{}", answer.text().await?);
    println!("{}", answer.json::<Value>().await?);
    Ok(())
}
