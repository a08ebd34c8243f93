//! Asks the gateway as Envoy does: `envoy.service.auth.v3.Authorization/Check`, with any bytes.
//!
//! The messages are written here once more, so that a field with a wrong number in the gateway is a scenario that fails.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use prost::Message;
use reqwest::Client;
use tonic::{Status, transport::Channel};

use crate::{grpc::unary, visitor::plain_client};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that Envoy would hold.
#[derive(Debug, Clone)]
pub struct Check {
    source: Option<(String, u32)>,
    http: Http,
}

/// The answer to Envoy.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// `status.code`: 0 lets the request through.
    pub code: i32,
    /// The status of the answer to the client, where there is one.
    pub status: u16,
    /// The fields to set: on the request to the upstream, or on the answer to the client.
    pub fields: Vec<(String, String)>,
    /// The fields to remove from the request to the upstream.
    pub removed: Vec<String>,
    /// The fields to add to the upstream's answer.
    pub added: Vec<(String, String)>,
    /// The body of the answer to the client.
    pub body: String,
}

impl Check {
    /// `GET` of this target at this host, by plain http from 192.0.2.7.
    pub fn get(host: &str, path: &str) -> Self {
        let http = Http {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: host.to_owned(),
            scheme: "http".to_owned(),
            protocol: "HTTP/1.1".to_owned(),
            size: -1,
            header_map: Some(Lines::default()),
            ..Http::default()
        };
        Self { source: Some(("192.0.2.7".to_owned(), 4711)), http }
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.http.method);
        self
    }

    /// With another scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.http.scheme);
        self
    }

    /// From this client; `None` for a question without one.
    #[must_use]
    pub fn from(mut self, address: Option<&str>) -> Self {
        self.source = address.map(|address| (address.to_owned(), 4711));
        self
    }

    /// With one more header line.
    #[must_use]
    pub fn line(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        match &mut self.http.header_map {
            Some(map) => map.headers.push(Line {
                key: name.to_owned(),
                raw_value: value.to_vec(),
                ..Line::default()
            }),
            None => {
                let value = String::from_utf8_lossy(value).into_owned();
                self.http.headers.insert(name.to_owned(), value);
            }
        }
        self
    }

    /// With the fields of a browser's navigation.
    #[must_use]
    pub fn navigating(self) -> Self {
        self.line("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .line("sec-fetch-mode", "navigate")
            .line("sec-fetch-dest", "document")
            .line("sec-fetch-site", "none")
    }

    /// Describes its lines as Envoy does without `encode_raw_headers`: joined.
    #[must_use]
    pub fn joined(mut self) -> Self {
        self.http.header_map = None;
        self
    }

    /// Describes lines in both ways.
    #[must_use]
    pub fn with_joined_line(mut self, name: &str, value: &str) -> Self {
        self.http.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a query or a fragment beside the path, which Envoy never sends.
    #[must_use]
    pub fn beside(mut self, query: &str, fragment: &str) -> Self {
        query.clone_into(&mut self.http.query);
        fragment.clone_into(&mut self.http.fragment);
        self
    }

    /// Asks on this port of loopback.
    pub async fn ask(&self, port: u16) -> Result<Verdict> {
        ask_with(&client()?, &format!("http://127.0.0.1:{port}"), self.framed()).await
    }

    /// Asks by this client at this origin.
    pub async fn ask_by(&self, client: &Client, origin: &str) -> Result<Verdict> {
        ask_with(client, origin, self.framed()).await
    }

    /// Asks by tonic.
    pub async fn ask_on(&self, channel: Channel) -> Result<Verdict, Status> {
        let call = tonic::Request::new(self.message());
        let answer = unary(channel, CHECK, call).await?;
        Verdict::of(answer.get_ref()).map_err(|error| Status::internal(format!("{error:#}")))
    }

    /// The bytes of the call.
    pub fn framed(&self) -> Vec<u8> {
        let message = self.message();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        [&[0][..], &length.to_be_bytes(), &message].concat()
    }

    fn message(&self) -> Vec<u8> {
        let address = self.source.clone().map(|(address, port_value)| Address {
            socket_address: Some(SocketAddress { address, port_value }),
        });
        let request = Request {
            attributes: Some(Attributes {
                source: Some(Peer { address }),
                request: Some(HttpRequest { http: Some(self.http.clone()) }),
            }),
        };
        request.encode_to_vec()
    }
}

/// A client of gRPC without TLS.
pub fn client() -> Result<Client> {
    // Installs the provider of the process.
    plain_client()?;
    Ok(Client::builder().no_proxy().http2_prior_knowledge().timeout(PATIENCE).build()?)
}

/// Sends the bytes of a call.
pub async fn ask_with(client: &Client, origin: &str, bytes: Vec<u8>) -> Result<Verdict> {
    let call = client.post(format!("{origin}{CHECK}")).header("content-type", "application/grpc");
    let answer = call.header("te", "trailers").body(bytes).send().await?;
    let status = answer.status();
    ensure!(status.is_success(), "the call fails with {status}");
    let bytes = answer.bytes().await?;
    let (prefix, message) = bytes.split_first_chunk::<5>().context("an answer without message")?;
    let [0, length @ ..] = *prefix else { anyhow::bail!("a compressed answer") };
    ensure!(u32::from_be_bytes(length) as usize == message.len(), "not one message");
    Verdict::of(message)
}

impl Verdict {
    /// Reads the message of an answer.
    fn of(message: &[u8]) -> Result<Self> {
        let response = Response::decode(message)?;
        let mut verdict =
            Self { code: response.status.unwrap_or_default().code, ..Self::default() };
        match (response.denied, response.ok) {
            (Some(denied), None) => {
                let code = denied.status.context("an answer without status")?.code;
                verdict.status = u16::try_from(code)?;
                verdict.fields = pairs(denied.headers)?;
                verdict.body = denied.body;
            }
            (None, Some(ok)) => {
                verdict.fields = pairs(ok.headers)?;
                verdict.removed = ok.removed;
                verdict.added = pairs(ok.added)?;
            }
            other => anyhow::bail!("neither one answer nor the other: {other:?}"),
        }
        ensure!((verdict.code == 0) == (verdict.status == 0), "{verdict:?}");
        Ok(verdict)
    }

    /// Whether the request is let through.
    pub fn passes(&self) -> bool {
        self.code == 0
    }

    /// The value of a field that is set.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        values.next().map(|(_, value)| value.as_str())
    }

    /// Whether a field is removed from the request.
    pub fn removes(&self, name: &str) -> bool {
        self.removed.iter().any(|removed| removed == name)
    }
}

fn pairs(options: Vec<LineOption>) -> Result<Vec<(String, String)>> {
    let pair = |option: LineOption| {
        let line = option.header?;
        let value = match line.raw_value.is_empty() {
            true => line.value,
            false => String::from_utf8(line.raw_value).ok()?,
        };
        Some((line.key, value))
    };
    options.into_iter().map(|option| pair(option).context("an option without header")).collect()
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "1")]
    source: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    request: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
    #[prost(uint32, tag = "3")]
    port_value: u32,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(message, optional, tag = "2")]
    http: Option<Http>,
}

#[derive(Clone, PartialEq, Message)]
struct Http {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(btree_map = "string, string", tag = "3")]
    headers: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    #[prost(string, tag = "7")]
    query: String,
    #[prost(string, tag = "8")]
    fragment: String,
    #[prost(int64, tag = "9")]
    size: i64,
    #[prost(string, tag = "10")]
    protocol: String,
    #[prost(message, optional, tag = "13")]
    header_map: Option<Lines>,
}

#[derive(Clone, PartialEq, Message)]
struct Lines {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct LineOption {
    #[prost(message, optional, tag = "1")]
    header: Option<Line>,
    #[prost(int32, tag = "3")]
    append_action: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    status: Option<Code>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    ok: Option<Passed>,
}

#[derive(Clone, PartialEq, Message)]
struct Code {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<Code>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<LineOption>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct Passed {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<LineOption>,
    #[prost(string, repeated, tag = "5")]
    removed: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    added: Vec<LineOption>,
}
