//! Bounds of a user in the fields of [draft-ietf-httpapi-ratelimit-headers-10]: §3 `RateLimit-Policy`, §4 `RateLimit`.
//!
//! [draft-ietf-httpapi-ratelimit-headers-10]: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Key of the bound on tokens.
pub(crate) const TOKENS_PER_DAY: &str = "tokens_per_day";

/// Adds the fields of a bound that lets nothing more pass. Of a bound on what is open at the same time, no window is known.
pub(crate) fn reached_fields(
    headers: &mut HeaderMap,
    limit: &str,
    most: u64,
    retry_after: Duration,
) {
    match limit {
        TOKENS_PER_DAY => tokens_left_fields(headers, most, 0, retry_after),
        "requests_per_second" => {
            add(headers, format!("\"{limit}\";q={most};w=1"), format!("\"{limit}\";r=0"))
        }
        _ => add(headers, format!("\"{limit}\";q={most}"), format!("\"{limit}\";r=0")),
    }
}

/// Adds the fields of a bound on tokens, of which so many are left until it is renewed.
pub(crate) fn tokens_left_fields(headers: &mut HeaderMap, most: u64, left: u64, renewed: Duration) {
    let seconds = renewed.as_secs() + u64::from(renewed.subsec_nanos() > 0);
    add(
        headers,
        format!("\"{TOKENS_PER_DAY}\";q={most};w=86400"),
        format!("\"{TOKENS_PER_DAY}\";r={left};t={seconds}"),
    );
}

/// Both fields are lists, to which an upstream may have its own members.
fn add(headers: &mut HeaderMap, policy: String, state: String) {
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(name, value);
        }
    }
}
