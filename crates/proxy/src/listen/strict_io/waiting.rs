//! Waits for the first bytes of a connection and for whole heads, before a parser has it.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{Mode, Step, StrictIo};

/// The first bytes of an HTTP/2 connection ([RFC 9113 §3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Protocol {
    Http1,
    Http2,
}

impl<T: AsyncRead + AsyncWrite + Unpin> StrictIo<T> {
    /// Waits for the client's first bytes and returns their protocol: the one `agreed` on in the handshake, or else HTTP/2 if
    /// they are its preface. `None` when the client closed the connection without sending any.
    pub(in super::super) async fn begin(
        &mut self,
        agreed: Option<Protocol>,
    ) -> io::Result<Option<Protocol>> {
        if agreed == Some(Protocol::Http2) {
            self.mode = Mode::Transparent;
            return Ok(agreed);
        }
        loop {
            if poll_fn(|context| self.poll_buffer(context)).await? == 0 {
                return Ok(None);
            }
            let seen = self.buffer.len().min(PREFACE.len());
            if agreed.is_some() || self.buffer.get(..seen) != PREFACE.get(..seen) {
                self.judge();
                return Ok(Some(Protocol::Http1));
            }
            if seen == PREFACE.len() {
                self.mode = Mode::Transparent;
                return Ok(Some(Protocol::Http2));
            }
        }
    }

    /// Waits until a head may be handed on, or what the parser gets in place of an invalid or late one. `false` when there is
    /// nothing to answer: the client closed the connection, or sent no byte by `idle_by`.
    pub(in super::super) async fn head(&mut self, idle_by: Option<Instant>) -> io::Result<bool> {
        self.idle_by = idle_by;
        let arrived = poll_fn(|context| self.poll_head(context)).await;
        self.idle_by = None;
        arrived
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut nowhere = ReadBuf::new(&mut []);
        while self.ready == 0 && self.mode == Mode::Strict {
            if let Step::Return = ready!(self.poll_strict(context, &mut nowhere))? {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }
}
