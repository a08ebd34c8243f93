//! Properties of the code that reads untrusted bytes.
//!
//! Each property is a function of any bytes that panics when it does not hold. The fuzz targets in `fuzz/fuzz_targets` call these
//! functions with libFuzzer's inputs; the test `corpora` replays the committed inputs in `fuzz/corpus` on a stable toolchain.
//!
//! Private code is driven through its public callers. The inputs are text wherever the format is text, so that a corpus can be
//! read and written by hand.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold is a panic"
)]

mod api_key;
mod input;
mod gateway;

mod framing;
mod served;
mod request;
mod path;
mod host;
mod ext_authz;
mod forwarded;
mod client_cert;
mod proxy_header;
mod route;
mod condition;
mod subject_pattern;
mod outbound;
mod redirect;
mod form;
mod cookies;
mod sealed;
mod tokens;
mod provider;
mod config;
mod mcp;
mod usage;
mod migrate;

pub use api_key::api_key;
pub use client_cert::client_cert;
pub use condition::condition;
pub use config::config;
pub use cookies::cookies;
pub use ext_authz::ext_authz;
pub use form::logout_form;
pub use forwarded::forwarded;
pub use framing::{chunked, head};
pub use host::host;
pub use mcp::mcp;
pub use migrate::migration;
pub use outbound::outbound;
pub use path::path;
pub use provider::{discovery, token_answer};
pub use proxy_header::proxy_header;
pub use redirect::redirect;
pub use request::request;
pub use route::route;
pub use sealed::sealed;
pub use served::served;
pub use subject_pattern::subject_pattern;
pub use tokens::{claims, jwk_set, jws};
pub use usage::usage;

/// A property of any bytes. It panics when it does not hold.
pub type Property = fn(&[u8]);

/// Every property, by the name of its fuzz target and of its folder in `fuzz/corpus`.
pub const PROPERTIES: [(&str, Property); 28] = [
    ("api_key", api_key),
    ("chunked", chunked),
    ("claims", claims),
    ("client_cert", client_cert),
    ("condition", condition),
    ("config", config),
    ("cookies", cookies),
    ("discovery", discovery),
    ("ext_authz", ext_authz),
    ("forwarded", forwarded),
    ("head", head),
    ("host", host),
    ("jwk_set", jwk_set),
    ("jws", jws),
    ("logout_form", logout_form),
    ("mcp", mcp),
    ("outbound", outbound),
    ("migration", migration),
    ("path", path),
    ("proxy_header", proxy_header),
    ("redirect", redirect),
    ("request", request),
    ("route", route),
    ("sealed", sealed),
    ("served", served),
    ("subject_pattern", subject_pattern),
    ("token_answer", token_answer),
    ("usage", usage),
];
