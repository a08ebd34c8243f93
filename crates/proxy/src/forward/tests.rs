//! Tests of the stage on real sockets: the bytes that the upstream receives, and its response.

mod responses;
mod attempts;
mod before_the_head;
mod fixtures;
mod http2_upstreams;
mod identity;
mod large_identity;
mod prefixes;
mod requests;
mod trailers;
mod activity;
mod streams;
mod trust;
mod upstream_tls;
mod websockets;
