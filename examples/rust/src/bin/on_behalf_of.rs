//! A service that calls another one on behalf of its caller: it exchanges the caller's token for one
//! that the other service accepts (RFC 8693).
//!
//! The caller's token is for this service, so the other one rejects it: otherwise every service could
//! use the tokens it gets everywhere. The exchanged one is for that service only and has the user as
//! its subject; with `--name-actor` it also has the acting service.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use m2m::{
    CachedTokens, ClientCredentials, Exchange, ExchangedTokens, IssuerTokens, PresentedToken,
    TokenError,
};
use oidc_core::client::{ClientAuth, ClientSecret, TokenEndpoint};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use oidc_core::resource_server::{Identity, VerifyLayer};
use oidc_core::{Issuer, Validation, Verifier};
use tokio::net::TcpListener;
use url::Url;

/// Calls the model API on behalf of its callers.
#[derive(Parser)]
struct Arguments {
    /// The issuer whose tokens are accepted, and which exchanges them.
    #[arg(long)]
    issuer: Issuer,
    /// The client id of this service; its callers' tokens must be for it.
    #[arg(long, default_value = "portal")]
    client_id: String,
    /// The file with its secret; read again when it changes.
    #[arg(long)]
    client_secret_file: PathBuf,
    /// The API to call, and its name at the issuer.
    #[arg(long, default_value = "http://127.0.0.1:8091")]
    api: Url,
    /// The name of that API at the issuer.
    #[arg(long, default_value = "churn")]
    api_audience: String,
    /// Have the new token name this service as the actor (`act`), where the issuer supports that.
    #[arg(long)]
    name_actor: bool,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8092")]
    listen: SocketAddr,
}

#[derive(Clone)]
struct Portal {
    tokens: ExchangedTokens,
    wanted: Exchange,
    client: reqwest::Client,
    score: Url,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // For the program's own `reqwest::Client`.
    oidc_core::http::reqwest::install_crypto_provider();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
    let provider = Provider::new(arguments.issuer.clone(), http);

    let keys = RemoteKeys::new(provider.clone());
    keys.start();
    let validation = Validation::new(arguments.issuer, arguments.client_id.clone());
    let verifier = Verifier::new(validation, Arc::new(keys));

    let secret = ClientSecret::file(arguments.client_secret_file);
    let endpoint =
        TokenEndpoint::new(provider, arguments.client_id, ClientAuth::SecretBasic(secret));
    let mut wanted = Exchange::new().with_audience(arguments.api_audience).with_scope("score");
    if arguments.name_actor {
        let own = IssuerTokens::new(endpoint.clone(), ClientCredentials::new());
        wanted = wanted.with_actor(PresentedToken::from_source(CachedTokens::new(own)));
    }
    let portal = Portal {
        tokens: ExchangedTokens::new(endpoint),
        wanted,
        client: reqwest::Client::new(),
        score: arguments.api.join("models/churn/score")?,
    };
    let service = Router::new()
        .route("/customers/score", post(score))
        .layer(VerifyLayer::new(verifier).with_realm("portal"))
        .with_state(portal);

    let listener = TcpListener::bind(arguments.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    Ok(axum::serve(listener, service).with_graceful_shutdown(interrupted).await?)
}

/// Passes the request on, on behalf of the caller.
async fn score(State(portal): State<Portal>, caller: Identity, body: Bytes) -> Response {
    let token = match portal.tokens.exchange(caller.subject_token(), &portal.wanted).await {
        Ok(token) => token,
        Err(error) => return no_token(&error),
    };
    let request = portal
        .client
        .post(portal.score.clone())
        .header(header::AUTHORIZATION, token.authorization())
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(body);
    match request.send().await {
        Ok(answer) => {
            let status = answer.status();
            let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (status, json, answer.bytes().await.unwrap_or_default()).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "the model API cannot be reached");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

/// The caller learns whether the issuer is unavailable or refused; the log has the reason.
fn no_token(error: &TokenError) -> Response {
    tracing::warn!(%error, "the caller's token was not exchanged");
    match error {
        TokenError::Unavailable { .. } => {
            let seconds = error.retry_after().unwrap_or_default().as_secs().max(1);
            let pause = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
            (StatusCode::SERVICE_UNAVAILABLE, pause).into_response()
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}
