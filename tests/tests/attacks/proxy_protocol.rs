//! The PROXY protocol: a trusted proxy tells the client, and a client tells nothing.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{
    wait,
    wire::{Answer, Wire},
};
use serde_json::json;

use crate::stage::{Setup, Stage};

const PATIENCE: Duration = Duration::from_secs(20);
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const TRUSTING: &str = "proxy_protocol: true\ntrusted_proxies: [127.0.0.0/8]\n";

/// A header with this command, family and rest.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// The header of a proxy that serves this client, with these fields about the connection.
fn telling(client: Ipv4Addr, fields: &[u8]) -> Vec<u8> {
    let rest = [&client.octets()[..], &[10, 0, 0, 1, 0x12, 0x67, 1, 0xBB], fields].concat();
    header(0x21, 0x11, &rest)
}

async fn stage(name: &str, settings: &'static str) -> Result<Stage> {
    Setup::new(name).with_plan(move |plan| plan.with(settings)).start().await
}

/// A connection that begins with these bytes.
async fn connected(stage: &Stage, start: &[u8]) -> Result<Wire> {
    let mut wire = stage.connect().await?;
    wire.send(start).await;
    Ok(wire)
}

async fn get(stage: &Stage, start: &[u8], fields: &str) -> Result<Answer> {
    let mut wire = connected(stage, start).await?;
    let head = format!("GET /public/a HTTP/1.1\r\nHost: HOST\r\n{fields}\r\n");
    wire.send(stage.filled(head.as_bytes())).await;
    wire.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_told_address_is_the_clients() -> Result<()> {
    let stage = stage("attack-proxy-protocol", TRUSTING).await?;
    let client = Ipv4Addr::new(203, 0, 113, 7);
    // Names, a checksum's absence and padding change nothing.
    for fields in [&[][..], &[0x04, 0, 0], &[0x02, 0, 1, b'a', 0x04, 0, 2, 0, 0]] {
        for more in ["", "X-Forwarded-For: 6.6.6.6\r\n", "Forwarded: for=6.6.6.6\r\n"] {
            let answer = get(&stage, &telling(client, fields), more).await?;
            assert_eq!(answer.status, 200, "{answer:?}");
            let seen = stage.upstream.last("/public/a")?;
            assert_eq!(seen.value("x-forwarded-for").as_deref(), Some("203.0.113.7"), "{more}");
        }
    }
    // A proxy before that one is the client here, and trusted for what it says of its own.
    let inner = telling(Ipv4Addr::new(127, 0, 0, 9), &[]);
    get(&stage, &inner, "X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n").await?;
    let seen = stage.upstream.last("/public/a")?;
    let chain = seen.value("x-forwarded-for");
    assert_eq!(chain.as_deref(), Some("198.51.100.1, 127.0.0.9"));
    // Several requests of one connection are of one client.
    let mut wire = connected(&stage, &telling(client, &[])).await?;
    for _ in 0..2 {
        let head = b"GET /public/b HTTP/1.1\r\nHost: HOST\r\n\r\n";
        wire.send(stage.filled(head)).await;
        assert_eq!(wire.answer().await?.status, 200);
        let seen = stage.upstream.last("/public/b")?;
        assert_eq!(seen.value("x-forwarded-for").as_deref(), Some("203.0.113.7"));
    }
    // A connection of the proxy's own.
    assert_eq!(get(&stage, &header(0x20, 0, &[]), "").await?.status, 200);
    assert_eq!(get(&stage, &header(0x20, 0x11, &[9; 12]), "").await?.status, 200);
    wait::until("the audit line", PATIENCE, async || {
        let audit = stage.gateway.audit()?;
        Ok(audit.iter().any(|line| line["address"] == json!("203.0.113.7")).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_valid_header_is_closed() -> Result<()> {
    let stage = stage("attack-proxy-protocol-headers", TRUSTING).await?;
    let client = Ipv4Addr::new(203, 0, 113, 7);
    let request = stage.filled(b"GET /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n");
    let v1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";
    for (case, start) in [
        ("none", Vec::new()),
        ("version 1", v1.to_vec()),
        ("version 3", header(0x31, 0x11, &[1; 12])),
        ("another command", header(0x22, 0x11, &[1; 12])),
        ("unspecified", header(0x21, 0x00, &[])),
        ("a datagram", header(0x21, 0x12, &[1; 12])),
        ("a unix socket", header(0x21, 0x31, &[1; 216])),
        ("a short address", header(0x21, 0x11, &[1; 11])),
        ("IPv6 of the length of IPv4", header(0x21, 0x21, &[1; 12])),
        ("no client", telling(Ipv4Addr::UNSPECIFIED, &[])),
        ("half a field", telling(client, &[0x04, 0])),
        ("a field beyond the header", telling(client, &[0x04, 0, 9, 0])),
        ("another checksum", telling(client, &[0x03, 0, 4, 1, 2, 3, 4])),
        ("a long header", header(0x21, 0x11, &[0; 4000])),
        ("line ends", b"\r\n\r\n".to_vec()),
    ] {
        let mut wire = connected(&stage, &[&start[..], &request].concat()).await?;
        wire.closed_within(PATIENCE).await.context(case)?;
        assert!(wire.answer().await.is_err(), "{case}");
    }
    assert!(stage.reached().is_empty());
    // A second header is no request.
    let twice = [telling(client, &[]), telling(Ipv4Addr::new(6, 6, 6, 6), &[])].concat();
    assert_eq!(get(&stage, &twice, "").await?.status, 400);
    assert!(stage.reached().is_empty());
    let metrics = stage.gateway.metrics().await?;
    assert!(metrics.contains("doorward_proxy_protocol_refused_total{reason=\"malformed\"}"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_in_pieces_is_read_and_a_late_one_is_not() -> Result<()> {
    let settings =
        "proxy_protocol: true\ntrusted_proxies: [127.0.0.0/8]\nlimits: { first_head: 4s }";
    let stage = stage("attack-proxy-protocol-slow", settings).await?;
    let start = telling(Ipv4Addr::new(203, 0, 113, 7), &[0x04, 0, 3, 0, 0, 0]);
    let mut wire = stage.connect().await?;
    for byte in &start {
        wire.send([*byte]).await;
    }
    wire.send(stage.filled(b"GET /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n")).await;
    assert_eq!(wire.answer().await?.status, 200);
    for part in [&[][..], &SIGNATURE[..5], &start[..16], &start[..20]] {
        let mut wire = connected(&stage, part).await?;
        wire.closed_within(PATIENCE).await?;
    }
    assert_eq!(stage.reached().len(), 1);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_an_untrusted_peer_is_refused() -> Result<()> {
    let settings = "proxy_protocol: true\ntrusted_proxies: [10.0.0.0/8]\n";
    let stage = stage("attack-proxy-protocol-peer", settings).await?;
    let request = stage.filled(b"GET /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n");
    let start = telling(Ipv4Addr::new(10, 0, 0, 9), &[]);
    for bytes in [request.clone(), [&start[..], &request].concat(), header(0x20, 0, &[])] {
        let mut wire = connected(&stage, &bytes).await?;
        wire.closed_within(PATIENCE).await?;
        assert!(wire.answer().await.is_err());
    }
    assert!(stage.reached().is_empty());
    let metrics = stage.gateway.metrics().await?;
    assert!(metrics.contains("doorward_proxy_protocol_refused_total{reason=\"untrusted\"} 3"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_a_header_is_no_request() -> Result<()> {
    let stage = stage("attack-proxy-protocol-off", "trusted_proxies: [127.0.0.0/8]").await?;
    let start = telling(Ipv4Addr::new(203, 0, 113, 7), &[]);
    assert_eq!(get(&stage, &start, "").await?.status, 400);
    assert!(stage.reached().is_empty());
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_told_client_has_the_bound_of_its_address() -> Result<()> {
    let settings =
        "proxy_protocol: true\ntrusted_proxies: [127.0.0.0/8]\nlimits: { per_address: 2 }";
    let stage = stage("attack-proxy-protocol-bound", settings).await?;
    let open = async |client: Ipv4Addr| -> Result<(Wire, bool)> {
        let mut wire = connected(&stage, &telling(client, &[])).await?;
        let head = b"GET /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n";
        wire.send(stage.filled(head)).await;
        let answered = wire.answer().await.is_ok_and(|answer| answer.status == 200);
        Ok((wire, answered))
    };
    let (one, other) = (Ipv4Addr::new(203, 0, 113, 7), Ipv4Addr::new(203, 0, 113, 8));
    let (first, passed) = open(one).await?;
    assert!(passed);
    let (_second, passed) = open(one).await?;
    assert!(passed);
    assert!(!open(one).await?.1, "a third connection of one client");
    assert!(open(other).await?.1, "another client by the same proxy");
    drop(first);
    wait::until("the place of a client that left", PATIENCE, async || {
        Ok(open(one).await?.1.then_some(()))
    })
    .await?;
    stage.finish(&[])
}
