//! Hostile answers of upstreams: no answer gets into another, and no upstream can write in the gateway's name.

use std::net::SocketAddr;

use anyhow::Result;
use e2e::wire::Wire;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::stage::{Setup, Stage};

/// A whole answer without a request.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";

/// Answers that can be read in two ways: refused whole, before a byte of them is passed on.
const TWO_WAYS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX: y\0\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nX: y\rZ: z\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.1 099 Low\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "hello",
];

/// Chunked answers that break the coding: the head may be sent already, but the client must see that the rest is missing.
const BROKEN_CHUNKS: &[&str] = &[
    "5\r\nhelloX\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
];

/// Serves canned answers: `/canned/7` is answered with the seventh. Closes only where the answer has no other end.
struct Canned {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl Canned {
    async fn start(answers: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let answers = answers.clone();
                connections.spawn(async move {
                    let mut request = Vec::new();
                    while matches!(stream.read_buf(&mut request).await, Ok(count) if count > 0) {
                        if !request.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let head = String::from_utf8_lossy(&request).into_owned();
                        let number = head.split(['/', ' ', '?']).find_map(|word| word.parse().ok());
                        let clean = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean".to_owned();
                        let answer = number.and_then(|number: usize| answers.get(number));
                        let answer = answer.unwrap_or(&clean);
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                        request.clear();
                    }
                });
            }
        });
        Ok(Self { address, _connections: task })
    }
}

async fn stage(name: &str, canned: &Canned) -> Result<Stage> {
    let route = format!(
        "canned:\n  match: {{ path: /canned }}\n  upstream: http://{}\n  timeouts: {{ response_head: 3s }}\n  access: [{{ allow: anyone }}]\n",
        canned.address
    );
    Setup::new(name).with_routes(&route).start().await
}

/// The next client gets its own answer.
async fn is_clean(stage: &Stage, after: &str) -> Result<()> {
    for _ in 0..2 {
        let answer = stage.get("/canned/clean").send().await?;
        assert_eq!((answer.status, answer.body.as_str()), (200, "clean"), "after {after:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_can_be_read_in_two_ways_is_not_passed_on() -> Result<()> {
    let canned =
        Canned::start(TWO_WAYS.iter().map(|text| format!("{text}{POISON}")).collect()).await?;
    let stage = stage("attack-answers-heads", &canned).await?;
    for (number, text) in TWO_WAYS.iter().enumerate() {
        let answer = stage.get(&format!("/canned/{number}")).send().await?;
        assert_eq!(answer.status, 502, "{text:?}: {answer:?}");
        assert!(!answer.body.contains("hello") && !answer.body.contains("poisoned"), "{answer:?}");
        is_clean(&stage, text).await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_does_not_look_whole() -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let canned =
        Canned::start(BROKEN_CHUNKS.iter().map(|body| format!("{head}{body}{POISON}")).collect())
            .await?;
    let stage = stage("attack-answers-chunks", &canned).await?;
    for (number, body) in BROKEN_CHUNKS.iter().enumerate() {
        let target = format!("GET /canned/{number} HTTP/1.1\r\nHost: HOST\r\n\r\n");
        let mut wire = Wire::connect(stage.gateway.port()).await?;
        wire.send(stage.filled(target.as_bytes())).await;
        match wire.answer().await {
            Ok(answer) => assert_eq!(answer.status, 502, "{body:?}: {answer:?}"),
            Err(error) => assert!(format!("{error:#}").contains("closed"), "{body:?}: {error:#}"),
        }
        is_clean(&stage, body).await?;
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_an_answer_are_no_answer_to_another_request() -> Result<()> {
    const WHOLE: &[(&str, &str, u16, &str)] = &[
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, ""),
        (
            "GET",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            200,
            "hello",
        ),
    ];
    let canned =
        Canned::start(WHOLE.iter().map(|(_, text, ..)| format!("{text}{POISON}")).collect())
            .await?;
    let stage = stage("attack-answers-behind", &canned).await?;
    for (number, (method, text, status, body)) in WHOLE.iter().enumerate() {
        for _ in 0..3 {
            let answer = stage.ask(method, &format!("/canned/{number}")).send().await?;
            assert_eq!((answer.status, &*answer.body), (*status, *body), "{text:?}");
            is_clean(&stage, text).await?;
        }
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_cannot_set_the_gateways_fields() -> Result<()> {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: theme=dark; Path=/\r\n\
        Set-Cookie: doorward=planted; Path=/\r\nSet-Cookie: DOORWARD=planted\r\nSet-Cookie: doorward.0=planted\r\n\
        Set-Cookie: __Host-doorward=planted; Secure; Path=/\r\nSet-Cookie: doorward-login-aaaaaaaa=planted\r\n\
        Set-Cookie: doorward=; Max-Age=0\r\nX-Doorward-Assertion: planted\r\nConnection: X-Hop\r\nX-Hop: planted\r\n\
        Keep-Alive: planted\r\nProxy-Authenticate: planted\r\nX-Own: kept\r\n\r\nhello";
    let canned = Canned::start(vec![answer.to_owned()]).await?;
    let stage = stage("attack-answers-voice", &canned).await?;
    let alice = stage.sign_in("alice").await?;
    for cookie in ["", &alice] {
        let answer = stage.get("/canned/0").header("Cookie", cookie).send().await?;
        assert_eq!(answer.status, 200);
        assert!(!format!("{answer:?}").contains("planted"), "{answer:?}");
        assert_eq!(answer.headers("set-cookie"), ["theme=dark; Path=/"]);
        assert_eq!(answer.header("x-own"), "kept");
    }
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 200);
    stage.finish(&[&alice])
}
