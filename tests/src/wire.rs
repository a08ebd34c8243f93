//! Sends bytes to the gateway and reads its answers, without an HTTP library.
//!
//! For requests that no library would send. Answers are read strictly: one that is not HTTP/1 with one framing fails.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use url::Url;

/// Limit for the first answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Limit for a further answer; without one in this time there is none.
const QUIET: Duration = Duration::from_millis(250);

/// A connection to the gateway.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    /// Set when answers have no body, because the requests are `HEAD`.
    heads_only: bool,
}

/// Everything received over one connection.
#[derive(Debug)]
pub struct RawAnswer {
    /// Every answer, interim ones (1xx) included.
    pub answers: Vec<Answer>,
    /// Set when the gateway closed or broke the connection.
    pub closed: bool,
    /// Bytes that are not a whole answer: after a 101, or of an answer that breaks off.
    pub rest: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields in order.
    pub fields: Vec<(String, String)>,
    /// The body, its framing removed.
    pub body: String,
}

impl Wire {
    /// Connects to a port of loopback.
    pub async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new(), heads_only: false })
    }

    /// Sends bytes. A failed write is not an error: the gateway may have answered already.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.heads_only |= bytes.starts_with(b"HEAD ");
        // After an early refusal, its answer can still be read.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Ends the sending half and continues to read.
    pub async fn half_close(&mut self) {
        // The connection may be closed already.
        let _ = self.stream.shutdown().await;
    }

    /// The next whole answer; an error when the connection ends or nothing comes in time.
    pub async fn answer(&mut self) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((answer, length)) = parse(&self.received, self.heads_only, false)? {
                self.received.drain(..length);
                return Ok(answer);
            }
            let open = timeout_at(deadline, self.stream.read_buf(&mut self.received))
                .await
                .with_context(|| format!("no answer after: {}", self.unread()))?;
            if !matches!(open, Ok(count) if count > 0) {
                return match parse(&self.received, self.heads_only, true)? {
                    Some((answer, length)) => {
                        self.received.drain(..length);
                        Ok(answer)
                    }
                    None => bail!("closed without an answer after: {}", self.unread()),
                };
            }
        }
    }

    /// Everything until the gateway closes, or falls silent after a whole answer.
    pub async fn finish(mut self) -> Result<RawAnswer> {
        let mut answers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let closed = loop {
            while !answers.last().is_some_and(Answer::is_switch)
                && let Some((answer, length)) = parse(&self.received, self.heads_only, false)?
            {
                self.received.drain(..length);
                answers.push(answer);
            }
            let answered = answers.iter().any(|answer: &Answer| answer.status >= 200)
                || answers.last().is_some_and(Answer::is_switch);
            let until = if answered { deadline.min(Instant::now() + QUIET) } else { deadline };
            match timeout_at(until, self.stream.read_buf(&mut self.received)).await {
                Ok(Ok(count)) if count > 0 => {}
                Ok(_) => break true,
                Err(_) if answered => break false,
                Err(_) => bail!("no answer after: {}", self.unread()),
            }
        };
        if let Some((answer, length)) = parse(&self.received, self.heads_only, closed)? {
            self.received.drain(..length);
            answers.push(answer);
        }
        Ok(RawAnswer { answers, closed, rest: self.received })
    }

    /// Waits for the end of the connection; an error when it stays open for so long.
    pub async fn closed_within(&mut self, patience: Duration) -> Result<()> {
        timeout(patience, async {
            while self.stream.read_buf(&mut self.received).await.is_ok_and(|count| count > 0) {}
        })
        .await
        .with_context(|| format!("the connection is still open after {patience:?}"))
    }

    fn unread(&self) -> String {
        format!("{:?}", String::from_utf8_lossy(&self.received))
    }
}

impl RawAnswer {
    /// The first answer that is not interim; an error when there is none.
    pub fn first(&self) -> Result<&Answer> {
        let last_word = |answer: &&Answer| answer.status >= 200 || answer.is_switch();
        let rest = String::from_utf8_lossy(&self.rest);
        self.answers.iter().find(last_word).with_context(|| format!("no answer; {rest:?} came"))
    }

    /// The status of the first answer; 0 when the connection was closed without one.
    pub fn status(&self) -> u16 {
        self.first().map_or(0, |answer| answer.status)
    }

    /// The status of every answer.
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }
}

impl Answer {
    /// Every value of a header field.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let of = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(of).map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header field; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("{}: not JSON: {}", self.status, self.body))
    }

    /// `Location`, which must be absolute.
    pub fn location(&self) -> Result<Url> {
        let location = self.header("location");
        location.parse().with_context(|| format!("{}: no location: {location:?}", self.status))
    }

    /// `name=value` of every cookie that is set, expired ones left out.
    pub fn cookies(&self) -> Vec<String> {
        let kept = |line: &&str| !line.to_ascii_lowercase().contains("max-age=0");
        self.headers("set-cookie")
            .into_iter()
            .filter(kept)
            .filter_map(|line| line.split(';').next())
            .map(str::to_owned)
            .collect()
    }

    fn is_switch(&self) -> bool {
        self.status == 101
    }
}

/// An answer at the front and its length; `None` while it is not whole.
fn parse(bytes: &[u8], heads_only: bool, ended: bool) -> Result<Option<(Answer, usize)>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .or(line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.with_context(|| format!("not a status line: {line:?}"))?;
    let fields: Vec<(String, String)> = lines
        .map(|line| {
            let field = line.split_once(':').with_context(|| format!("not a field: {line:?}"))?;
            Ok((field.0.to_owned(), field.1.trim().to_owned()))
        })
        .collect::<Result<_>>()?;
    let mut answer = Answer { status, fields, body: String::new() };
    let start = end + 4;
    if heads_only || status < 200 || status == 204 || status == 304 {
        return Ok(Some((answer, start)));
    }
    let body = bytes.get(start..).unwrap_or_default();
    let (lengths, codings) =
        (answer.headers("content-length").len(), answer.headers("transfer-encoding"));
    ensure!(lengths + codings.len() <= 1, "an answer with several framings: {head}");
    let (text, length) = match codings.first() {
        Some(coding) => {
            ensure!(*coding == "chunked", "an answer coded in {coding}");
            match chunked(body)? {
                Some(found) => found,
                None => return Ok(None),
            }
        }
        None if lengths == 1 => {
            let length: usize = answer.header("content-length").parse()?;
            match body.get(..length) {
                Some(body) => (body.to_vec(), length),
                None => return Ok(None),
            }
        }
        None if ended => (body.to_vec(), body.len()),
        None => return Ok(None),
    };
    answer.body = String::from_utf8_lossy(&text).into_owned();
    Ok(Some((answer, start + length)))
}

fn chunked(mut bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let whole = bytes.len();
    let mut body = Vec::new();
    loop {
        let Some(end) = find(bytes, b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        let size = usize::from_str_radix(&line, 16)
            .with_context(|| format!("not a chunk size: {line:?}"))?;
        let Some(rest) = bytes.get(end + 2..) else { return Ok(None) };
        if size == 0 {
            // Trailers, up to the empty line.
            let trailers = if rest.starts_with(b"\r\n") {
                Some(0)
            } else {
                find(rest, b"\r\n\r\n").map(|at| at + 2)
            };
            return Ok(trailers.map(|length| (body, whole - rest.len() + length + 2)));
        }
        let (Some(chunk), Some(next)) = (rest.get(..size), rest.get(size + 2..)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        bytes = next;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
