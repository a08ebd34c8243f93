//! gRPC through the whole line: HTTP/2 from the client to the upstream, in clear text and over TLS.

mod call;
mod reset;
mod service;

use dev_issuer::Mint;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use self::call::{Answer, Client, Messages};
use crate::world::{World, free_port};

/// `SERVICE` speaks HTTP/2, `DOWN` is nobody's.
const ROUTES: &str = "
  score:
    match: { path: /lab.Score }
    upstream: SERVICE
    access: [ { allow: { roles: [data-scientist] } } ]
  down:
    match: { path: /lab.Down }
    upstream: DOWN
    access: [ { allow: signed_in } ]
";

async fn routes() -> String {
    let down = format!("h2c://127.0.0.1:{}", free_port());
    ROUTES.replace("SERVICE", &service::start().await).replace("DOWN", &down)
}

async fn world() -> World {
    World::new(&routes().await).await
}

fn token(world: &World, user: &str) -> String {
    world.issuer().mint(Mint::access(user).client("gateway").audience(["gateway"])).unwrap()
}

/// A call as gRPC libraries make it.
fn call(world: &World, method: &str, token: Option<&str>) -> http::request::Builder {
    let request = Request::post(format!("{}/{method}", world.base))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

/// Calls with one message, and reads everything: what the service was told, what it answered, and how it ended.
async fn unary(world: &World, client: &mut Client) -> (Value, String, HeaderMap) {
    let request = call(world, "lab.Score/Predict", Some(&token(world, "alice")));
    let (messages, body) = Messages::new();
    messages.send("abc");
    drop(messages);
    let mut answer = Answer::of(client.send(request.body(body).unwrap()).await);
    let told = serde_json::from_str(&answer.message().await.unwrap()).unwrap();
    let echoed = answer.message().await.unwrap();
    assert_eq!(answer.message().await, None);
    (told, echoed, answer.into_trailers())
}

fn arrived((told, echoed, trailers): &(Value, String, HeaderMap)) {
    assert_eq!(told["x-forwarded-preferred-username"], "alice");
    assert!(told["x-forwarded-roles"].as_str().unwrap().contains("data-scientist"));
    assert!(told["x-doorward-assertion"].is_string());
    assert_eq!(told["content-type"], "application/grpc+proto");
    assert_eq!(told.get("authorization"), None);
    assert_eq!(echoed, "abc");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["grpc-message"], "1 message");
}

#[tokio::test]
async fn a_unary_call_arrives_with_its_caller_and_its_trailers_come_back() {
    let world = world().await;
    let mut client = Client::in_clear_text(&world).await;
    for _ in 0..3 {
        arrived(&unary(&world, &mut client).await);
    }
}

#[tokio::test]
async fn a_unary_call_is_the_same_over_tls() {
    let world = World::over_tls(&routes().await).await;
    let answered = unary(&world, &mut Client::over_tls(&world).await).await;
    arrived(&answered);
    assert_eq!(answered.0["x-forwarded-proto"], "https");
}

#[tokio::test]
async fn each_message_is_answered_while_the_client_still_streams() {
    let world = world().await;
    let mut client = Client::in_clear_text(&world).await;
    let (messages, body) = Messages::new();
    let request = call(&world, "lab.Score/Chat", Some(&token(&world, "alice")));
    let mut answer = Answer::of(client.send(request.body(body).unwrap()).await);
    answer.message().await.unwrap();
    for text in ["one", "two", "three"] {
        messages.send(text);
        assert_eq!(answer.message().await.as_deref(), Some(text));
    }
    drop(messages);
    assert_eq!(answer.message().await, None);
    assert_eq!(answer.into_trailers()["grpc-message"], "3 messages");
}

#[tokio::test]
async fn te_arrives_and_the_clients_trailers_do_not() {
    let world = world().await;
    let mut client = Client::in_clear_text(&world).await;
    let (messages, body) = Messages::new();
    messages.send("abc");
    messages.end_with("x-forwarded-user", "mallory");
    let request = call(&world, "lab.Score/Predict", Some(&token(&world, "alice")));
    let mut answer = Answer::of(client.send(request.body(body).unwrap()).await);
    let told: Value = serde_json::from_str(&answer.message().await.unwrap()).unwrap();
    assert_eq!(told["te"], "trailers");
    assert_eq!(answer.message().await.as_deref(), Some("abc"));
    assert_eq!(answer.message().await, None);
    let trailers = answer.into_trailers();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-seen-trailers"], "none");
}

/// The `grpc-status` of an answer that is nothing but its head.
async fn trailers_only(response: Response<Incoming>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
    assert!(!response.headers()["grpc-message"].is_empty());
    let mut answer = Answer::of(response);
    assert_eq!(answer.message().await, None);
    assert!(answer.into_trailers().is_empty());
    status
}

#[tokio::test]
async fn a_refusal_is_a_status_that_grpc_knows() {
    let world = world().await;
    let mut client = Client::in_clear_text(&world).await;
    let (alice, bob) = (token(&world, "alice"), token(&world, "bob"));
    for (method, token, status) in [
        ("lab.Score/Predict", None, "16"),
        ("lab.Score/Predict", Some("nonsense"), "16"),
        ("lab.Score/Predict", Some(bob.as_str()), "7"),
        ("lab.Down/Predict", Some(alice.as_str()), "14"),
        ("lab.Nothing/Predict", Some(alice.as_str()), "12"),
    ] {
        // The client is still streaming when it is refused.
        let (messages, body) = Messages::new();
        messages.send("abc");
        let request = call(&world, method, token).body(body).unwrap();
        assert_eq!(trailers_only(client.send(request).await).await, status, "{method} {token:?}");
    }
    arrived(&unary(&world, &mut client).await);
}

#[tokio::test]
async fn a_flood_of_resets_disturbs_nobody_else() {
    let world = world().await;
    let mut client = Client::in_clear_text(&world).await;
    arrived(&unary(&world, &mut client).await);
    let alice = token(&world, "alice");
    let flood = reset::flood(&world, &alice, 500);
    let others = async {
        for _ in 0..20 {
            arrived(&unary(&world, &mut client).await);
        }
    };
    // Either the connection is ended in words, or it goes on; it never just breaks.
    let (last, ()) = tokio::join!(flood, others);
    assert!(
        matches!(last, reset::Last::GoAway(reset::ENHANCE_YOUR_CALM) | reset::Last::Alive),
        "{last:?}"
    );
    arrived(&unary(&world, &mut client).await);
}
