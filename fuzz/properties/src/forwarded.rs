//! Forwarding fields: a client changes nothing that a trusted proxy states after it.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_canonical::{
    Arrival, CanonicalPath, CanonicalRequest, Keep, Peer, RequestId, RequestRefusal, Scheme, Trust,
};

/// The trusted proxy, the client it serves, and what the proxy says of the request.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const HOST: &str = "real.example";

const URIS: [&str; 4] = ["x-forwarded-uri", "x-original-uri", "x-original-url", "x-rewrite-url"];
const METHODS: [&str; 5] = [
    "x-forwarded-method",
    "x-original-method",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Header lines that a client writes.
pub fn forwarded(data: &[u8]) {
    let mut client = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(24) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (name, value) else { continue };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let forwarded =
            name.as_str().starts_with("x-forwarded-") && name.as_str().bytes().all(plain);
        let about_origin = name == "forwarded"
            || forwarded
            || URIS.contains(&name.as_str())
            || METHODS.contains(&name.as_str());
        if about_origin {
            client.append(name, value);
        }
    }
    from_a_stranger(&client);
    if let Ok(request) = canonical(&client, PROXY) {
        chained(request);
    }
    appended(&client);
    asked(&client);
}

fn canonical(headers: &HeaderMap, peer: IpAddr) -> Result<CanonicalRequest<()>, RequestRefusal> {
    let mut request = Request::get("/").body(()).unwrap();
    *request.headers_mut() = headers.clone();
    request.headers_mut().insert("host", HeaderValue::from_static("gateway.example"));
    let arrival = Arrival {
        peer: Peer::Tcp((peer, 4711).into()),
        scheme: Scheme::Http,
        request_id: RequestId::random(),
        asks_websocket: false,
        certificate: None,
    };
    let trust = Trust::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    CanonicalRequest::from_http(request, arrival, &trust)
}

/// From a peer that is not trusted, the fields mean nothing.
fn from_a_stranger(client: &HeaderMap) {
    let request = canonical(client, CLIENT).unwrap();
    assert_eq!(request.client_ip(), Some(CLIENT));
    assert_eq!(request.host().to_string(), "gateway.example");
    assert_eq!(request.scheme(), Scheme::Http);
    assert!(request.question().is_err());
    let parts = request.into_parts();
    assert_eq!(parts.forwarded_for, [CLIENT]);
    assert!(parts.headers.is_empty());
}

/// The chain ends at the peer, and only its far end is not trusted.
fn chained(request: CanonicalRequest<()>) {
    let parts = request.into_parts();
    let chain = parts.forwarded_for;
    assert_eq!(chain.first().copied(), parts.client_ip);
    assert_eq!(chain.last(), Some(&PROXY));
    let trusted = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    };
    assert!(chain.iter().skip(1).all(trusted), "{chain:?}");
}

/// The proxy adds its statement to the client's lines, or after them.
fn appended(client: &HeaderMap) {
    let standard = format!("for={CLIENT};host={HOST};proto=https");
    for joined in [true, false] {
        let mut nginx = client.clone();
        append(&mut nginx, "x-forwarded-for", &CLIENT.to_string(), joined);
        stated(&nginx, false);
        nginx.insert("x-forwarded-host", HeaderValue::from_static(HOST));
        stated(&nginx, true);
        let mut modern = client.clone();
        append(&mut modern, "forwarded", &standard, joined);
        stated(&modern, true);
        append(&mut modern, "x-forwarded-for", &CLIENT.to_string(), joined);
        stated(&modern, true);
    }
}

fn append(headers: &mut HeaderMap, name: &'static str, value: &str, joined: bool) {
    let mut lines: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    match lines.pop().filter(|_| joined) {
        Some(last) => {
            let line = [last.as_bytes(), b", ", value.as_bytes()].concat();
            lines.push(HeaderValue::from_bytes(&line).unwrap());
            headers.remove(name);
            for line in lines {
                headers.append(name, line);
            }
        }
        None => drop(headers.append(name, HeaderValue::from_str(value).unwrap())),
    }
}

/// The address is the proxy's word or nothing; the host, where the proxy names it, too.
fn stated(headers: &HeaderMap, host: bool) {
    let Ok(request) = canonical(headers, PROXY) else { return };
    let believed = request.client_ip();
    assert!(believed == Some(CLIENT) || believed == Some(PROXY), "{believed:?} of {headers:?}");
    if host {
        assert_eq!(request.host().to_string(), HOST, "{headers:?}");
    }
    chained(request);
}

/// A forward-auth question names one request in all of its fields.
fn asked(client: &HeaderMap) {
    if let Ok(request) = canonical(client, PROXY)
        && let Ok(question) = request.question()
    {
        let path = CanonicalPath::parse(question.path.as_str(), Keep::ALL);
        assert_eq!(path.as_ref(), Ok(&question.path));
        assert_eq!(question.host.to_string().parse().as_ref(), Ok(&question.host));
        let mut targets: Vec<&[u8]> = fields(client, &URIS).map(without_authority).collect();
        targets.dedup();
        assert!(targets.len() <= 1, "two targets, and one of them is judged: {client:?}");
        let mut methods: Vec<&[u8]> = fields(client, &METHODS).collect();
        methods.dedup();
        assert!(methods.len() <= 1, "two methods, and one of them is judged: {client:?}");
        let stated = methods.first().map(|method| String::from_utf8_lossy(method).into_owned());
        assert_eq!(question.method.as_ref().map(ToString::to_string), stated);
    }
    // A proxy that sets its own fields, and passes on the rest.
    let mut proxied = client.clone();
    proxied.insert("x-forwarded-uri", HeaderValue::from_static("/real?a=1"));
    proxied.insert("x-forwarded-method", HeaderValue::from_static("PUT"));
    proxied.insert("x-forwarded-host", HeaderValue::from_static(HOST));
    if let Ok(request) = canonical(&proxied, PROXY)
        && let Ok(question) = request.question()
    {
        assert_eq!(question.path_and_query(), "/real?a=1", "{client:?}");
        assert_eq!(question.method.as_ref().map(ToString::to_string).as_deref(), Some("PUT"));
        assert_eq!(question.host.to_string(), HOST);
    }
}

fn fields<'h>(headers: &'h HeaderMap, names: &'static [&str]) -> impl Iterator<Item = &'h [u8]> {
    names.iter().flat_map(|name| headers.get_all(*name)).map(HeaderValue::as_bytes)
}

/// The target of a field that may hold a whole URL.
fn without_authority(field: &[u8]) -> &[u8] {
    let Some(start) = field.windows(3).position(|window| window == b"://") else { return field };
    if field.starts_with(b"/") {
        return field;
    }
    let rest = &field[start + 3..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    &rest[end..]
}
