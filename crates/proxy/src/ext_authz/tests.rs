//! Decisions that do not come about.

use std::{
    future::{pending, poll_fn, ready},
    task::Poll,
    time::Duration,
};

use super::*;
use crate::{
    assemble::{self, Lasting},
    config::Config,
};

const CONFIG: &str = "\
public_url: https://platform.example
issuers: { main: { url: 'https://id.example', client_id: gateway, audience: gateway } }
routes:
  app:
    match: { path: / }
    upstream: http://app:8000
    access: [ { allow: anyone } ]
";

fn app() -> App {
    let config = Config::parse("doorward.yaml", CONFIG).unwrap().config;
    let lasting = Lasting::new(&config, Drain::new(Duration::ZERO)).unwrap();
    assemble::app(&config, &lasting, None).unwrap()
}

/// Status of the answer to the client, and its text; an answer that lets the request through has none.
fn refused(answer: CheckResponse) -> (i32, String) {
    assert_ne!(answer.status.unwrap().code, i32::from(OK));
    assert!(answer.ok_response.is_none());
    let denied = answer.denied_response.unwrap();
    (denied.status.unwrap().code, denied.body)
}

#[tokio::test]
async fn a_panic_while_judging_is_a_refusal() {
    let broken = poll_fn(|_| -> Poll<CheckResponse> { panic!("the panic of this test") });
    let (status, text) = refused(decided(broken, &app(), pending()).await);
    assert_eq!(status, 500);
    assert!(text.contains("\"internal\"") && !text.contains("of this test"), "{text}");
}

#[tokio::test]
async fn a_question_without_a_decision_is_refused_at_the_stop() {
    let (status, text) = refused(decided(pending(), &app(), ready(())).await);
    assert_eq!(status, 503);
    assert!(text.contains("\"draining\""), "{text}");
    // A decision that is there is given all the same.
    let allowed = CheckResponse {
        status: Some(messages::Status { code: 0 }),
        ok_response: Some(messages::OkHttpResponse::default()),
        ..CheckResponse::default()
    };
    let decided = decided(ready(allowed.clone()), &app(), ready(())).await;
    assert_eq!(decided, allowed);
}
