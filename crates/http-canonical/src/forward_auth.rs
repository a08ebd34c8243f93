//! The request that a trusted proxy asks about, on the gateway's forward-auth endpoint.
//!
//! nginx, Traefik, Caddy and Envoy describe the request they hold in `X-Forwarded-*` or `X-Original-*` fields, and pass on
//! unchanged the fields that they do not set themselves. If two fields differ, one of them was written by the client, and which
//! one is unknown; the question is then refused. No field is a fallback for another.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    connection::Scheme,
    forwarded::{Element, X_FORWARDED_HOST},
    host::{CanonicalHost, HostRefusal},
    method::CanonicalMethod,
    path::{CanonicalPath, Keep},
    query::canonical_query,
    refusal::RequestRefusal,
};

/// A request that a trusted proxy holds and asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardAuth {
    /// Its method; `None` if the proxy does not state it.
    pub method: Option<CanonicalMethod>,
    /// Its path.
    pub path: CanonicalPath,
    /// Its query, without `?`.
    pub query: Option<String>,
    /// The host it was sent to.
    pub host: CanonicalHost,
    /// Whether it opens a WebSocket.
    pub websocket: bool,
}

/// Reasons there is no valid question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoQuestion {
    /// The peer is not in `trusted_proxies`, so it could choose the path that the rules judge.
    #[error("the peer is not in `trusted_proxies`")]
    NotTrusted,
    /// No field names a request.
    #[error("no `X-Forwarded-Uri`, `X-Original-URI` or `X-Original-URL` names the request")]
    Missing,
    /// Two fields differ, so that one of them was written by the client.
    #[error("two fields name different {0}, so one of them was written by the client")]
    Disagree(&'static str),
    /// A field cannot be read in exactly one way.
    #[error("the request in question: {0}")]
    Malformed(RequestRefusal),
}

const URI: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];
/// Fields by which a client has some frameworks serve another target; the proxy passes them on.
const OTHER_URI: [&str; 1] = ["x-rewrite-url"];
const METHOD: [&str; 2] = ["x-forwarded-method", "x-original-method"];
/// The same for the method.
const OTHER_METHOD: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// The target in one field: `/path?query`, or a whole URL as nginx's snippets send it.
struct Target<'h> {
    /// Scheme and authority of a whole URL.
    authority: Option<(&'h str, &'h str)>,
    path_and_query: &'h str,
}

impl ForwardAuth {
    /// Reads the question; the caller has checked that the peer is trusted. `named` is the host of the proxy's own request.
    pub(super) fn of(
        headers: &HeaderMap,
        named: &CanonicalHost,
        scheme: Scheme,
    ) -> Result<Self, NoQuestion> {
        let mut targets = Vec::new();
        for field in fields(headers, &URI) {
            targets.push(Target::of(field)?);
        }
        let first = targets.first().ok_or(NoQuestion::Missing)?.path_and_query;
        let another = fields(headers, &OTHER_URI).any(|field| field.as_bytes() != first.as_bytes());
        if another || targets.iter().any(|target| target.path_and_query != first) {
            return Err(NoQuestion::Disagree("targets"));
        }
        let (path, query) = match first.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (first, None),
        };
        let query = query.map(canonical_query).transpose().map_err(NoQuestion::Malformed)?;
        // A whole URL may end with its authority; a request target must not be empty.
        let whole = targets.iter().all(|target| target.authority.is_some());
        let path = if path.is_empty() && whole { "/" } else { path };
        Ok(Self {
            method: method(headers)?,
            path: CanonicalPath::parse(path, Keep::ALL).map_err(malformed)?,
            query,
            host: host(headers, &targets, named, scheme)?,
            websocket: opens_websocket(headers),
        })
    }

    /// The path and the query, as a link within the host.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.as_str().to_owned(),
        }
    }
}

impl<'h> Target<'h> {
    fn of(field: &'h HeaderValue) -> Result<Self, NoQuestion> {
        let text = field.to_str().map_err(|_| malformed(RequestRefusal::Target))?;
        Ok(match text.split_once("://") {
            Some((scheme, rest)) if !text.starts_with('/') => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path_and_query) = rest.split_at(end);
                Self { authority: Some((scheme, authority)), path_and_query }
            }
            _ => Self { authority: None, path_and_query: text },
        })
    }
}

fn method(headers: &HeaderMap) -> Result<Option<CanonicalMethod>, NoQuestion> {
    let mut stated = fields(headers, &METHOD);
    let mut others = fields(headers, &OTHER_METHOD);
    let Some(first) = stated.next() else {
        return if others.next().is_none() {
            Ok(None)
        } else {
            Err(NoQuestion::Disagree("methods"))
        };
    };
    if stated.chain(others).any(|other| other != first) {
        return Err(NoQuestion::Disagree("methods"));
    }
    let text = first.to_str().map_err(|_| malformed(RequestRefusal::Target))?;
    text.parse().map(Some).map_err(malformed)
}

/// The host asked about: the one that `X-Forwarded-Host` and whole URLs agree on, else the host of the proxy's own request. A
/// client may have written `Forwarded`, which few proxies set: it never chooses the host, and must not name another.
fn host(
    headers: &HeaderMap,
    targets: &[Target<'_>],
    named: &CanonicalHost,
    scheme: Scheme,
) -> Result<CanonicalHost, NoQuestion> {
    let parse = |text: &str, scheme: Scheme| {
        let host = text.parse::<CanonicalHost>().map_err(RequestRefusal::ForwardedHost);
        host.map(|host| host.without_default_port(scheme)).map_err(NoQuestion::Malformed)
    };
    let mut stated = Vec::new();
    for line in headers.get_all(X_FORWARDED_HOST) {
        let not_text = |_| malformed(RequestRefusal::ForwardedHost(HostRefusal::Name));
        for member in line.to_str().map_err(not_text)?.split(',') {
            stated.push(parse(member.trim(), scheme)?);
        }
    }
    for (own_scheme, authority) in targets.iter().filter_map(|target| target.authority) {
        let https = own_scheme.eq_ignore_ascii_case("https");
        stated.push(parse(authority, if https { Scheme::Https } else { Scheme::Http })?);
    }
    let host = match stated.first() {
        Some(first) if stated.iter().any(|other| other != first) => {
            return Err(NoQuestion::Disagree("hosts"));
        }
        Some(first) => first.clone(),
        None => named.clone().without_default_port(scheme),
    };
    let elements = Element::all(headers).map_err(NoQuestion::Malformed)?;
    let standard = elements.into_iter().next_back().and_then(|nearest| nearest.host);
    match standard {
        Some(standard) if parse(&standard, scheme)? != host => Err(NoQuestion::Disagree("hosts")),
        _ => Ok(host),
    }
}

/// Whether the fields that a proxy copies from its client are those of a WebSocket handshake. Proxies drop `Upgrade`, which
/// belongs to one connection, and keep these.
fn opens_websocket(headers: &HeaderMap) -> bool {
    let says = |name: &str, word: &[u8]| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(word))
    };
    ["sec-websocket-key", "sec-websocket-version"].iter().any(|name| headers.contains_key(*name))
        || says("upgrade", b"websocket")
        || says("sec-fetch-mode", b"websocket")
}

fn malformed(refusal: impl Into<RequestRefusal>) -> NoQuestion {
    NoQuestion::Malformed(refusal.into())
}

/// Every field of these names.
fn fields<'h>(
    headers: &'h HeaderMap,
    names: &'static [&'static str],
) -> impl Iterator<Item = &'h HeaderValue> {
    names.iter().flat_map(|name| headers.get_all(HeaderName::from_static(name)))
}

#[cfg(test)]
mod tests;
