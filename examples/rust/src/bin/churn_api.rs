//! A model API: it checks access tokens, and requires a different right on each route.
//!
//! The functions that do the work know nothing of this: they are called with an [`Identity`] or not at
//! all.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use oidc_core::dpop::DpopPolicy;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::{KeySource as _, RemoteKeys};
use oidc_core::provider::Provider;
use oidc_core::resource_server::{Forbidden, Identity, Requirement, VerifyLayer};
use oidc_core::{Issuer, Validation, Verifier};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

/// Scores customers for callers with the right.
#[derive(Parser)]
struct Arguments {
    /// The issuer whose tokens are accepted.
    #[arg(long)]
    issuer: Issuer,
    /// The audience of the tokens: the name of this service at the issuer.
    #[arg(long, default_value = "churn")]
    audience: String,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// Public URL of this service; with it, tokens bound to a DPoP key are accepted too (RFC 9449).
    #[arg(long)]
    public_url: Option<Url>,
    /// Certificates to trust at the issuer, in PEM, in place of the system's.
    #[arg(long)]
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Customer {
    id: String,
    months: f64,
    complaints: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();

    // One set of keys for all requests, fetched in the background. The service starts without them,
    // and answers 503 until they are there.
    let mut options = HttpOptions::default();
    if let Some(file) = arguments.ca_file {
        options = options.with_ca_file(file);
    }
    let http = Arc::new(ReqwestHttp::new(options)?);
    let keys = RemoteKeys::new(Provider::new(arguments.issuer.clone(), http));
    keys.start();
    let validation = Validation::new(arguments.issuer, arguments.audience);
    let verifier = Verifier::new(validation, Arc::new(keys.clone()));

    let mut tokens = VerifyLayer::new(verifier).with_realm("churn");
    if let Some(public_url) = arguments.public_url {
        tokens = tokens.with_dpop(DpopPolicy::default(), public_url);
    }
    let service = Router::new()
        .route("/models/churn", get(model))
        .route("/models/churn/score", post(score))
        .route("/whoami", get(whoami))
        .layer(tokens)
        // Outside the layer: the probe of the platform has no token.
        .route("/readyz", get(ready))
        .with_state(keys);

    let listener = TcpListener::bind(arguments.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    Ok(axum::serve(listener, service).with_graceful_shutdown(interrupted).await?)
}

/// For programs with the scope `models:read`, and for users with the role `data-scientist`.
async fn model(caller: Identity) -> Result<Json<Value>, Forbidden> {
    caller.require_any([
        Requirement::scope("models:read"),
        Requirement::realm_role("data-scientist"),
    ])?;
    Ok(Json(json!({"name": "churn", "version": 3, "inputs": ["months", "complaints"]})))
}

/// For callers with the scope `score`. The answer has the user, the client and the acting service.
async fn score(caller: Identity, Json(customer): Json<Customer>) -> Result<Json<Value>, Forbidden> {
    caller.require_scope("score")?;
    let churn = 1.0 / (1.0 + (0.04 * customer.months - 0.9 * customer.complaints).exp());
    Ok(Json(json!({
        "customer": customer.id,
        "churn": (churn * 100.0).round() / 100.0,
        "for": caller.subject(),
        "client": caller.client(),
        "actor": caller.actors().next().and_then(|actor| actor.client_id()),
    })))
}

/// For every caller with a valid token.
async fn whoami(caller: Identity) -> Json<Value> {
    Json(json!({
        "issuer": caller.issuer(),
        "subject": caller.subject(),
        "client": caller.client(),
        "roles": caller.realm_roles().iter().collect::<Vec<_>>(),
        "scopes": caller.scopes().iter().collect::<Vec<_>>(),
    }))
}

async fn ready(State(keys): State<RemoteKeys>) -> StatusCode {
    if keys.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
