//! The request that Envoy asks about, out of the bytes of its question.

use std::net::{IpAddr, SocketAddr};

use http_canonical::{
    Peer, RequestRefusal,
    ext_authz::{Attributes, Held, Lines},
};
use prost::Message as _;

use super::messages::{AttributeContext, CheckRequest, HttpRequest};

/// A request that Envoy holds.
#[derive(Debug)]
pub struct Question {
    /// The request.
    pub held: Held,
    /// The peer of Envoy: the client, or a proxy before Envoy.
    pub client: Peer,
}

/// Reads the message `CheckRequest`.
///
/// # Errors
///
/// See [`Attributes::request`]; also for a message that is none, or that leaves out the client's address.
pub fn read(message: &[u8]) -> Result<Question, RequestRefusal> {
    let undescribed = RequestRefusal::TwoReadings;
    let request = CheckRequest::decode(message).map_err(|_| undescribed("message"))?;
    let attributes = request.attributes.ok_or(undescribed("message"))?;
    let client = client(&attributes).ok_or(undescribed("client"))?;
    let http = attributes.request.and_then(|request| request.http).ok_or(undescribed("method"))?;
    let lines = lines(&http)?;
    let attributes = Attributes {
        method: &http.method,
        path: &http.path,
        host: &http.host,
        scheme: &http.scheme,
        beside: [&http.query, &http.fragment],
        lines,
    };
    Ok(Question { held: attributes.request()?, client })
}

fn client(attributes: &AttributeContext) -> Option<Peer> {
    let address = attributes.source.as_ref()?.address.as_ref()?.socket_address.as_ref()?;
    let ip: IpAddr = address.address.parse().ok()?;
    let port = u16::try_from(address.port_value).ok()?;
    Some(Peer::Tcp(SocketAddr::new(ip, port)))
}

fn lines(http: &HttpRequest) -> Result<Lines<'_>, RequestRefusal> {
    let Some(raw) = &http.header_map else {
        let lines = http.headers.iter();
        return Ok(Lines::Joined(lines.map(|(name, value)| (&**name, &**value)).collect()));
    };
    let twice = !http.headers.is_empty()
        || raw.headers.iter().any(|line| !line.value.is_empty() && !line.raw_value.is_empty());
    if twice {
        return Err(RequestRefusal::TwoReadings("header"));
    }
    Ok(Lines::Raw(
        raw.headers
            .iter()
            .map(|line| {
                let value = match line.raw_value.is_empty() {
                    true => line.value.as_bytes(),
                    false => &line.raw_value,
                };
                (&*line.key, value)
            })
            .collect(),
    ))
}
