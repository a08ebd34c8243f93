use tokio::{
    io::{DuplexStream, duplex},
    sync::oneshot,
    task::JoinHandle,
};

mod quiet;

use super::*;

const IDLE: Duration = Duration::from_secs(600);

struct Open {
    client: DuplexStream,
    upstream: DuplexStream,
    drain: Option<oneshot::Sender<()>>,
    end: JoinHandle<End>,
}

fn open(expires: Option<Instant>) -> Open {
    open_with(expires, None)
}

fn open_with(expires: Option<Instant>, pings: Option<Duration>) -> Open {
    let (client, ours) = duplex(1024);
    let (upstream, theirs) = duplex(1024);
    let (drain, drained) = oneshot::channel();
    let tunnel = Tunnel::new(ours, theirs, Cutoff::new(None, expires, IDLE)).with_pings(pings);
    let end = tokio::spawn(async move {
        let drained = async move {
            let _ = drained.await;
        };
        tunnel.run(drained).await.0
    });
    Open { client, upstream, drain: Some(drain), end }
}

async fn bytes(stream: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut read = vec![0; count];
    stream.read_exact(&mut read).await.unwrap();
    read
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    read
}

#[tokio::test(start_paused = true)]
async fn bytes_pass_in_both_directions_and_so_does_the_end() {
    let mut open = open(None);
    let large: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let (mut from, sent) = (open.upstream, large.clone());
    let (mut to, upload) = (open.client, b"hello".to_vec());
    let upstream = tokio::spawn(async move {
        from.write_all(&sent).await.unwrap();
        assert_eq!(bytes(&mut from, 5).await, b"hello");
        from.shutdown().await.unwrap();
        assert_eq!(rest(&mut from).await, b"");
    });
    to.write_all(&upload).await.unwrap();
    assert_eq!(rest(&mut to).await, large);
    to.shutdown().await.unwrap();
    upstream.await.unwrap();
    assert!(matches!((&mut open.end).await.unwrap(), End::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_never_closes_does_not_keep_the_tunnel() {
    let Open { client: _client, upstream, end, drain: _drain } = open(None);
    let begun = Instant::now();
    drop(upstream);
    assert!(matches!(end.await.unwrap(), End::Closed));
    assert_eq!(begun.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_closes_between_two_frames() {
    let mut open = open(Some(Instant::now() + Duration::from_secs(30)));
    // A text frame of 10 bytes, of which 4 have arrived when the token expires.
    open.upstream.write_all(b"\x81\x0a0123").await.unwrap();
    assert_eq!(bytes(&mut open.client, 6).await, b"\x81\x0a0123");
    tokio::time::sleep(Duration::from_secs(31)).await;
    open.upstream.write_all(b"456789\x81\x02no").await.unwrap();
    let received = rest(&mut open.client).await;
    assert_eq!(received, [b"456789".as_slice(), &close_frame(1008, "token expired")].concat());
    drop(open.client);
    assert!(matches!(open.end.await.unwrap(), End::Cut(Cut::TokenExpired)));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_says_1001_and_does_not_wait_for_ever() {
    let mut open = open(None);
    open.upstream.write_all(b"\x81\x02ok").await.unwrap();
    assert_eq!(bytes(&mut open.client, 4).await, b"\x81\x02ok");
    open.drain.take().unwrap().send(()).unwrap();
    assert_eq!(rest(&mut open.client).await, close_frame(1001, "shutting down"));
    // The client does not hang up.
    assert!(matches!((&mut open.end).await.unwrap(), End::Draining));
}

#[tokio::test(start_paused = true)]
async fn no_second_close_frame_follows_the_upstreams_own() {
    let mut open = open(None);
    let own = close_frame(1000, "done");
    open.upstream.write_all(&own).await.unwrap();
    assert_eq!(bytes(&mut open.client, own.len()).await, own);
    open.drain.take().unwrap().send(()).unwrap();
    assert_eq!(rest(&mut open.client).await, b"");
}

#[tokio::test(start_paused = true)]
async fn no_close_frame_interrupts_an_unfinished_frame() {
    let mut open = open(None);
    open.upstream.write_all(b"\x82\x7e\x10\x00abc").await.unwrap();
    assert_eq!(bytes(&mut open.client, 7).await, b"\x82\x7e\x10\x00abc");
    open.drain.take().unwrap().send(()).unwrap();
    assert_eq!(rest(&mut open.client).await, b"");
    assert!(matches!(open.end.await.unwrap(), End::Draining));
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_is_closed_and_a_busy_one_is_not() {
    let mut open = open(None);
    for _ in 0..5 {
        tokio::time::sleep(IDLE / 2).await;
        open.client.write_all(b"x").await.unwrap();
        bytes(&mut open.upstream, 1).await;
    }
    let begun = Instant::now();
    assert_eq!(rest(&mut open.client).await, close_frame(1001, "idle"));
    assert_eq!(begun.elapsed(), IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_stops_the_writer() {
    let mut open = open(None);
    let chunk = vec![0x55; 64 * 1024];
    let writing = tokio::time::timeout(Duration::from_secs(5), open.upstream.write_all(&chunk));
    assert!(writing.await.is_err(), "the tunnel buffered more than its limit");
}
