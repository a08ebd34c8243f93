//! Conversions to and from the crates `oauth2` and `openidconnect`, for programs that use them.
//!
//! A program keeps its code, and takes from this crate the parts that it wants:
//!
//! | part | with |
//! |---|---|
//! | HTTP with limits on time and size | [`oauth2::HttpClient`] |
//! | client authentication (RFC 7523, RFC 8705), DPoP (RFC 9449) | [`oauth2::AuthenticatedHttpClient`] |
//! | token responses as [`TokenSet`](crate::client::TokenSet), and back | [`TokenSet::from_oauth2`](crate::client::TokenSet::from_oauth2) |
#![cfg_attr(
    feature = "openidconnect",
    doc = "| verification of ID tokens | [`Verifier::openidconnect_id_token`](crate::Verifier::openidconnect_id_token) |\n\
           | metadata and keys, and back | [`openidconnect`] |"
)]
//!
//! Each conversion into a type of this crate checks what it reads as if it came from the network. No
//! conversion makes a [`Verified`](crate::Verified) value: only a verification does.

pub mod oauth2;
#[cfg(feature = "openidconnect")]
pub mod openidconnect;
