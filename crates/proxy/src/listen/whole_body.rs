//! A request's body as a whole, for the few requests that are judged by it.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Reason there is no whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// It is larger than the reader takes.
    #[error("the body is too large")]
    TooLarge,
    /// The client broke it off.
    #[error("the client broke off its upload")]
    BrokenOff,
}

/// Reads a body of at most `limit` bytes. Trailers are dropped.
///
/// # Errors
///
/// [`NotWhole`]
pub(crate) async fn whole_body(body: Body, limit: usize) -> Result<Bytes, NotWhole> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(NotWhole::TooLarge),
        Err(_) => Err(NotWhole::BrokenOff),
    }
}
