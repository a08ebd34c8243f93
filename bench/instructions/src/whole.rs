//! Whole requests: from the bytes that a client sends to the last byte of the upstream's response.

use crate::{
    Cases,
    parts::{Parts, browser, program},
    peers::Client,
};

/// Requests in a counted run.
const COUNT: usize = 200;

pub(crate) fn count(cases: &Cases, parts: &Parts) {
    let gateway = parts.serve(&parts.config);
    let ticket = parts.ticket();
    let bearer = format!("Authorization: Bearer {}", parts.token(0));
    let nothing = "X-Nothing: 1";
    for (name, head) in [
        ("request-anyone", program("/open/data", nothing)),
        ("request-session", browser("/closed/api/data?page=2", &ticket)),
        ("request-bearer", program("/closed/api/data?page=2", &bearer)),
    ] {
        let client = Client::new(gateway);
        send(cases, parts, name, COUNT, &client, || vec![head.clone(); COUNT]);
    }
}

/// Counts requests of a client.
pub(crate) fn send(
    cases: &Cases,
    parts: &Parts,
    name: &str,
    count: usize,
    client: &Client,
    heads: impl FnMut() -> Vec<String>,
) {
    cases.count(name, count, heads, |heads| parts.runtime.block_on(client.send(heads)));
}
