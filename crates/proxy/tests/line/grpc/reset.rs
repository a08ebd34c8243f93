//! Rapid reset (CVE-2023-44487): streams opened and reset at once, frame by frame ([RFC 9113 §4.1]).
//!
//! [RFC 9113 §4.1]: https://www.rfc-editor.org/rfc/rfc9113#section-4.1

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::call::{connect, soon};
use crate::test_gateway::TestGateway;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// The code of a peer that generates excessive load.
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// End of the connection.
#[derive(Debug)]
pub(super) enum Last {
    /// The gateway ended it with GOAWAY.
    GoAway(u32),
    /// It answered a ping after the flood.
    Alive,
    /// It was closed without GOAWAY.
    Broken,
}

/// Opens this many calls on one connection, and resets each at once.
pub(super) async fn flood(gateway: &TestGateway, token: &str, calls: u32) -> Last {
    let (_, authority) = gateway.base.split_once("://").unwrap();
    let head = head(authority, &format!("Bearer {token}"));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    for call in 0..calls {
        let stream = 2 * call + 1;
        frame(&mut bytes, HEADERS, END_HEADERS, stream, &head);
        frame(&mut bytes, RST_STREAM, 0, stream, &CANCEL);
    }
    frame(&mut bytes, PING, 0, 0, b"go on?!?");
    let (mut reading, mut writing) = connect(gateway).await.into_split();
    let writing = tokio::spawn(async move {
        // It may be ended in the middle.
        let written = writing.write_all(&bytes).await;
        (writing, written)
    });
    let last = soon(async {
        let mut header = [0; 9];
        while reading.read_exact(&mut header).await.is_ok() {
            let [high, middle, low, kind, flags, ..] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            if reading.read_exact(&mut payload).await.is_err() {
                break;
            }
            match kind {
                GOAWAY => {
                    let code = payload.get(4..8).unwrap().try_into().unwrap();
                    return Last::GoAway(u32::from_be_bytes(code));
                }
                PING if flags == ACK && payload == b"go on?!?" => return Last::Alive,
                _ => {}
            }
        }
        Last::Broken
    })
    .await;
    drop(writing.await.unwrap());
    last
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend(&length[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// A call's header section without any compression but the static table's names ([RFC 7541, appendix A]).
///
/// [RFC 7541, appendix A]: https://www.rfc-editor.org/rfc/rfc7541#appendix-A
fn head(authority: &str, authorization: &str) -> Vec<u8> {
    let mut head = vec![0x83, 0x86]; // `:method: POST`, `:scheme: http`
    for (name, value) in [
        (1, authority),
        (4, "/lab.Score/Chat"),
        (23, authorization),
        (31, "application/grpc"), // `content-type`
    ] {
        integer(&mut head, 4, name);
        integer(&mut head, 7, value.len());
        head.extend(value.as_bytes());
    }
    head
}

/// [RFC 7541 §5.1](https://www.rfc-editor.org/rfc/rfc7541#section-5.1), the other bits of the byte being 0.
fn integer(bytes: &mut Vec<u8>, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        bytes.push(u8::try_from(value).unwrap());
        return;
    }
    bytes.push(u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}
