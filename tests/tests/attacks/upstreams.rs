//! Upstreams that are down, slow or break off, and the others that must not suffer; clients that break off.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{upstream::Echo, wait};
use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    limits::metric,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A route that needs no identity.
fn route(name: &str, targets: &[String], more: &str) -> String {
    let targets = targets.join(", ");
    format!(
        "{name}:\n  match: {{ path: /{name} }}\n  upstream: [{targets}]\n  access: [{{ allow: anyone }}]\n{more}"
    )
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// A port that is taken, and on which no process listens.
fn closed_port() -> Result<(TcpSocket, String)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let address = url(socket.local_addr()?);
    Ok((socket, address))
}

/// A server that reads a head and then does with the connection what `then` says; the number of heads.
async fn server<F>(
    then: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
) -> Result<(String, Arc<AtomicUsize>)>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = url(listener.local_addr()?);
    let heads = Arc::new(AtomicUsize::new(0));
    let (count, then) = (Arc::clone(&heads), Arc::new(then));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, then) = (Arc::clone(&count), Arc::clone(&then));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
                then(stream, String::from_utf8_lossy(&head).into_owned()).await;
            });
        }
    });
    Ok((address, heads))
}

/// Requests to the healthy upstream until `end`; none may fail.
async fn steady(stage: &Stage, end: &AtomicBool) -> Result<usize> {
    let mut served = 0;
    while !end.load(Ordering::SeqCst) {
        let asked = Instant::now();
        let answer = stage.get("/public/steady").send().await?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(asked.elapsed() < Duration::from_secs(4), "after {:?}", asked.elapsed());
        served += 1;
        sleep(Duration::from_millis(5)).await;
    }
    Ok(served)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_upstream_disturbs_no_other() -> Result<()> {
    let (resets, _) = server(|stream, _| async move { drop(stream) }).await?;
    let (silent, _) = server(|stream, _| async move {
        sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await?;
    let slow = "  timeouts: { response_head: 2s }\n";
    let (_taken, down) = closed_port()?;
    let stage = Setup::new("upstreams-failing")
        .with_routes(&route("down", &[down], ""))
        .with_routes(&route("resets", &[resets], ""))
        .with_routes(&route("silent", &[silent], slow))
        .start()
        .await?;
    let end = AtomicBool::new(false);
    let attack = async {
        for (path, status, most) in
            [("/down", 502, 5.0), ("/resets", 502, 5.0), ("/silent", 504, 8.0)]
        {
            let asked = Instant::now();
            let answers = try_join_all((0..20).map(|_| stage.get(path).send())).await?;
            for answer in answers {
                ensure!(answer.status == status, "{path}: {answer:?}");
            }
            ensure!(asked.elapsed().as_secs_f64() < most, "{path}: {:?}", asked.elapsed());
        }
        end.store(true, Ordering::SeqCst);
        Ok(())
    };
    let (served, ()) = tokio::try_join!(steady(&stage, &end), attack)?;
    ensure!(served > 20, "{served} requests");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_do_not_pile_up_behind_a_silent_address() -> Result<()> {
    // The queue of a listener that accepts nothing is full soon; further packets are dropped.
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream?);
    }
    let quick = "  timeouts: { connect: 6s }\n";
    let stage = Setup::new("upstreams-hole")
        .with_routes(&route("hole", &[url(address)], quick))
        .start()
        .await?;
    let ask = async || {
        let asked = Instant::now();
        let answer = stage.get("/hole").send().await?;
        ensure!(answer.status == 502, "{answer:?}");
        anyhow::Ok(asked.elapsed())
    };
    try_join_all((0..3).map(|_| ask())).await?;
    let times = try_join_all((0..30).map(|_| ask())).await?;
    let quick = times.iter().filter(|time| **time < Duration::from_secs(4)).count();
    ensure!(quick >= 28, "only {quick} of 30 were refused at once: {times:?}");
    // It accepts again: the first attempt brings it back.
    drop(queued);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 2048];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    wait::until("the upstream", PATIENCE, async || {
        Ok((stage.get("/hole").send().await?.status == 200).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejected_target_returns_without_a_failed_request() -> Result<()> {
    let (socket, dead) = closed_port()?;
    let echo = Echo::start().await?;
    let stage = Setup::new("upstreams-return")
        .with_routes(&route("two", &[dead.clone(), echo.url()], ""))
        .start()
        .await?;
    let line = format!("doorward_upstream_healthy{{route=\"two\",target=\"{dead}\"}}");
    let healthy = async || Ok::<_, anyhow::Error>(metric(&stage.gateway, &line).await? > 0.5);
    // A GET that finds it dead is sent to the other one.
    wait::until("the ejection", PATIENCE, async || {
        let answers = try_join_all((0..5).map(|_| stage.get("/two").send())).await?;
        ensure!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        Ok((!healthy().await?).then_some(()))
    })
    .await?;
    let posts = async |time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let answers = try_join_all((0..5).map(|_| stage.post("/two").body("x").send())).await?;
            ensure!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    // Longer than the first ejection: none of these may be the attempt.
    posts(Duration::from_secs(8)).await?;
    ensure!(!healthy().await?);
    let listener = socket.listen(64)?;
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    wait::until("its return", Duration::from_secs(20), async || {
        posts(Duration::from_millis(200)).await?;
        Ok(healthy().await?.then_some(()))
    })
    .await?;
    wait::until("its answer", PATIENCE, async || {
        Ok((stage.get("/two").send().await?.body == "back").then_some(()))
    })
    .await?;
    serving.abort();
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_its_check_gets_no_requests() -> Result<()> {
    let well = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&well);
    let (checked, heads) = server(move |mut stream, head| {
        let well = state.load(Ordering::SeqCst);
        async move {
            let status = if well { "200 OK" } else { "503 Service Unavailable" };
            let answer = match head.starts_with("GET /health ") {
                true => {
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                }
                false => "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nchecked"
                    .to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await?;
    let echo = Echo::start().await?;
    let health = "  health: { path: /health, interval: 1s }\n";
    let stage = Setup::new("upstreams-check")
        .with_routes(
            &route("app", &[checked.clone(), echo.url()], health).replacen("app", "checked", 2),
        )
        .start()
        .await?;
    let healthy = async |value: f64| {
        let line = format!("doorward_upstream_healthy{{route=\"checked\",target=\"{checked}\"}}");
        wait::until("the state of the target", PATIENCE, async || {
            Ok(((metric(&stage.gateway, &line).await? - value).abs() < 0.1).then_some(()))
        })
        .await
    };
    let by_checked = async || {
        let answers =
            try_join_all((0..40).map(|_| stage.post("/checked/x").body("x").send())).await?;
        ensure!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        Ok(answers.iter().filter(|answer| answer.body == "checked").count())
    };
    ensure!(by_checked().await? > 0);
    well.store(false, Ordering::SeqCst);
    healthy(0.0).await?;
    assert_eq!(by_checked().await?, 0);
    well.store(true, Ordering::SeqCst);
    healthy(1.0).await?;
    ensure!(by_checked().await? > 0);
    let asked = echo.last("/health")?;
    assert_eq!(
        (asked.method().as_str(), asked.value("host").as_deref()),
        ("GET", Some("localhost"))
    );
    ensure!(heads.load(Ordering::SeqCst) > 4);
    let line =
        format!("doorward_upstream_ejections_total{{route=\"checked\",target=\"{checked}\"}}");
    assert_eq!(metric(&stage.gateway, &line).await?.to_string(), "1");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_never_looks_complete() -> Result<()> {
    let (address, heads) = server(|mut stream, head| async move {
        let begin = match head.contains("/length") {
            true => "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nbegin",
            false => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n",
        };
        let _ = stream.write_all(begin.as_bytes()).await;
        sleep(Duration::from_millis(50)).await;
    })
    .await?;
    let stage =
        Setup::new("upstreams-break").with_routes(&route("cut", &[address], "")).start().await?;
    for path in ["/cut/length", "/cut/chunked"] {
        for _ in 0..25 {
            let answer = stage.raw(format!("GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n")).await?;
            ensure!(answer.closed && answer.answers.is_empty(), "{path}: {answer:?}");
            ensure!(answer.rest.starts_with(b"HTTP/1.1 200"), "{path}: {answer:?}");
        }
    }
    assert_eq!(heads.load(Ordering::SeqCst), 50, "an answer that began is not asked for again");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_never_tried_again_and_a_get_once() -> Result<()> {
    let (one, at_one) = server(|stream, _| async move { drop(stream) }).await?;
    let (other, at_other) = server(|stream, _| async move { drop(stream) }).await?;
    let stage = Setup::new("upstreams-again")
        .with_routes(&route("both", &[one, other], ""))
        .start()
        .await?;
    let heads = || at_one.load(Ordering::SeqCst) + at_other.load(Ordering::SeqCst);
    assert_eq!(stage.post("/both").body("x").send().await?.status, 502);
    assert_eq!(heads(), 1);
    assert_eq!(stage.get("/both").send().await?.status, 502);
    assert_eq!(heads(), 3, "one more attempt at the other target");
    let before = heads();
    for _ in 0..50 {
        assert_eq!(stage.get("/both").send().await?.status, 502);
    }
    let extra = heads() - before - 50;
    ensure!(extra <= 20, "{extra} second attempts for 50 requests");
    let line = "doorward_upstream_retries_total{route=\"both\",outcome=\"no_budget\"}";
    ensure!(metric(&stage.gateway, line).await? >= 30.0, "{}", stage.gateway.metrics().await?);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_closes_its_upstream_connection() -> Result<()> {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let (address, _) = server(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let mut body = Vec::new();
            let _ = stream.read_to_end(&mut body).await;
            let _ = sender.send(body);
        }
    })
    .await?;
    let stage =
        Setup::new("upstreams-upload").with_routes(&route("up", &[address], "")).start().await?;
    let descriptors = || -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", stage.gateway.process()))?.count())
    };
    let before = descriptors()?;
    for _ in 0..20 {
        let head =
            "POST /up HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let mut client = stage.connect().await?;
        client.send(stage.filled(head.as_bytes())).await;
        sleep(Duration::from_millis(50)).await;
        drop(client);
        let body = timeout(Duration::from_secs(1), ended.recv()).await.context("it stays open")?;
        let body = String::from_utf8(body.context("no upload")?)?;
        ensure!(
            body.contains("hello") && !body.contains("0\r\n\r\n"),
            "it looks complete: {body:?}"
        );
    }
    wait::until("the descriptors", PATIENCE, async || {
        Ok((descriptors()? <= before + 20).then_some(()))
    })
    .await?;
    stage.finish(&[])
}
