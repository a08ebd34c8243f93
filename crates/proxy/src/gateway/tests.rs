//! The size of a request's future.

use std::time::Duration;

use http::Request;

use crate::{
    assemble::{self, Lasting},
    config::Config,
    listen::{Body, Drain},
};

const SMALL: &str = "\
public_url: https://platform.example
issuers: { main: { url: 'https://id.example', client_id: gateway, audience: gateway } }
routes:
  app:
    match: { path: / }
    upstream: http://app:8000
    sign_in: challenge
    access: [ { allow: signed_in } ]
";

/// Rare branches are boxed. A future is copied as a whole each time a layer takes it, so that a rare branch of ten
/// kilobytes would cost every request thousands of instructions.
#[tokio::test]
async fn the_future_of_a_request_is_small() {
    let config = Config::parse("doorward.yaml", SMALL).unwrap().config;
    let lasting = Lasting::new(&config, Drain::new(Duration::ZERO)).unwrap();
    let app = assemble::app(&config, &lasting, None).unwrap();
    let size =
        std::mem::size_of_val(&app.serve(Request::new(Body::empty()), super::Then::Forward, None));
    assert!(size <= 6 * 1024, "{size} bytes");
}
