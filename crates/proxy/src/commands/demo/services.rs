//! The demo's two services: a page with a live WebSocket, and a small model API with a streaming answer. Both know the caller only
//! from the headers of the gateway.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use askama::Template;
use axum::{
    Json, Router,
    extract::{
        Query,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::HeaderMap,
    response::{
        Html, IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{any, get},
};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

/// A page that shows a live series over a WebSocket.
pub(super) async fn dashboard() -> std::io::Result<SocketAddr> {
    serve(Router::new().route("/", get(page)).route("/live", any(live))).await
}

/// A model API.
pub(super) async fn model() -> std::io::Result<SocketAddr> {
    serve(
        Router::new()
            .route("/", get(about))
            .route("/score", get(score))
            .route("/explanation", get(explanation))
            .route("/health", get(async || "ok\n")),
    )
    .await
}

async fn serve(router: Router) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "demo service failed");
        }
    });
    Ok(addr)
}

#[derive(Template)]
#[template(path = "demo_dashboard.html")]
struct Dashboard {
    user: String,
}

async fn page(headers: HeaderMap) -> Response {
    let page = Dashboard { user: caller(&headers) };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => error.to_string().into_response(),
    }
}

async fn live(headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let user = caller(&headers);
    upgrade.on_upgrade(move |socket| tick(socket, user))
}

/// Sends a number four times a second until the page closes the socket.
async fn tick(mut socket: WebSocket, user: String) {
    let mut every = tokio::time::interval(Duration::from_millis(250));
    for n in 0_u32.. {
        every.tick().await;
        let value = 50.0 + 30.0 * (f64::from(n) / 9.0).sin() + 8.0 * (f64::from(n) / 2.3).cos();
        let point = json!({ "n": n, "value": value, "for": user }).to_string();
        if socket.send(Message::text(point)).await.is_err() {
            return;
        }
    }
}

async fn about(headers: HeaderMap) -> Json<Value> {
    Json(json!({
        "model": "churn",
        "caller": caller(&headers),
        "try": ["score?months=3", "explanation"],
    }))
}

/// Query of a request to the model.
#[derive(Deserialize)]
struct Customer {
    months: Option<u32>,
}

async fn score(headers: HeaderMap, Query(customer): Query<Customer>) -> Json<Value> {
    let months = customer.months.unwrap_or(12);
    let probability = 1.0 / (1.0 + (f64::from(months) / 6.0 - 1.0).exp());
    Json(json!({
        "model": "churn",
        "months": months,
        "probability": (probability * 1000.0).round() / 1000.0,
        "caller": caller(&headers),
    }))
}

/// Streams an explanation word by word, as a language model does.
async fn explanation(headers: HeaderMap) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let text = format!(
        "Dear {}, customers of fewer than six months leave most often; a first invoice that is clear keeps them.",
        caller(&headers)
    );
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    Sse::new(stream::iter(words).then(async |word| {
        tokio::time::sleep(Duration::from_millis(150)).await;
        Ok(Event::default().data(word))
    }))
}

/// The caller's name, as the gateway sent it.
fn caller(headers: &HeaderMap) -> String {
    let name = headers.get("x-forwarded-preferred-username").and_then(|value| value.to_str().ok());
    name.unwrap_or("unknown caller").to_owned()
}
