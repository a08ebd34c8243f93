//! Quiet tunnels: pinged, and open as long as both sides answer.

use super::*;

const EVERY: Duration = Duration::from_secs(30);

fn masked_pong(mark: &[u8]) -> Vec<u8> {
    let payload: Vec<u8> =
        mark.iter().zip([7, 7, 7, 7].iter().cycle()).map(|(a, b)| a ^ b).collect();
    [&[0x8A, 0x80 | 8, 7, 7, 7, 7], payload.as_slice()].concat()
}

/// The payload of the ping that each side gets.
async fn pinged(open: &mut Open) -> (Vec<u8>, Vec<u8>) {
    let to_client = bytes(&mut open.client, 10).await;
    assert_eq!(to_client.get(..2).unwrap(), b"\x89\x08");
    let to_upstream = bytes(&mut open.upstream, 14).await;
    assert_eq!(to_upstream.get(..2).unwrap(), b"\x89\x88", "masked (RFC 6455 §5.3)");
    let key = to_upstream.get(2..6).unwrap().iter().cycle();
    let payload = to_upstream.get(6..).unwrap().iter().zip(key).map(|(a, b)| a ^ b).collect();
    (to_client.get(2..).unwrap().to_vec(), payload)
}

async fn pong(open: &mut Open, client: bool, upstream: bool) {
    let (of_client, of_upstream) = pinged(open).await;
    if client {
        open.client.write_all(&masked_pong(&of_client)).await.unwrap();
    }
    if upstream {
        open.upstream.write_all(&[b"\x8A\x08", of_upstream.as_slice()].concat()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_tunnel_that_answers_stays_open() {
    let mut open = open_with(None, Some(EVERY));
    let begun = Instant::now();
    for _ in 0..100 {
        pong(&mut open, true, true).await;
    }
    assert!(begun.elapsed() > IDLE * 4, "{:?}", begun.elapsed());
    // No pong was passed on: the next bytes are the message.
    open.client.write_all(b"\x81\x80mask").await.unwrap();
    assert_eq!(bytes(&mut open.upstream, 6).await, b"\x81\x80mask");
    open.upstream.write_all(b"\x81\x02ok").await.unwrap();
    assert_eq!(bytes(&mut open.client, 4).await, b"\x81\x02ok");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_tunnel_with_a_dead_side_is_closed() {
    for (client, upstream) in [(true, false), (false, true), (false, false)] {
        let mut open = open_with(None, Some(EVERY));
        let begun = Instant::now();
        for _ in 0..IDLE.as_secs() / EVERY.as_secs() - 1 {
            pong(&mut open, client, upstream).await;
        }
        let end = soon_closed(&mut open).await;
        assert!(matches!(end, End::Cut(Cut::Idle { .. })), "{end}");
        assert!(begun.elapsed() < IDLE + GOODBYE + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

async fn soon_closed(open: &mut Open) -> End {
    let _unread = rest(&mut open.client).await;
    (&mut open.end).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_busy_tunnel_gets_no_pings() {
    let mut open = open_with(None, Some(EVERY));
    for _ in 0..20 {
        tokio::time::sleep(EVERY - Duration::from_secs(1)).await;
        open.client.write_all(b"\x81\x80mask").await.unwrap();
        assert_eq!(bytes(&mut open.upstream, 6).await, b"\x81\x80mask");
        open.upstream.write_all(b"\x81\x01x").await.unwrap();
        assert_eq!(bytes(&mut open.client, 3).await, b"\x81\x01x");
    }
}

#[tokio::test(start_paused = true)]
async fn no_ping_lands_inside_a_frame() {
    let mut open = open_with(None, Some(EVERY));
    open.upstream.write_all(b"\x81\x0a0123").await.unwrap();
    open.client.write_all(b"\x81\x84ma").await.unwrap();
    assert_eq!(bytes(&mut open.client, 6).await, b"\x81\x0a0123");
    assert_eq!(bytes(&mut open.upstream, 4).await, b"\x81\x84ma");
    tokio::time::sleep(EVERY * 3).await;
    open.upstream.write_all(b"456789").await.unwrap();
    open.client.write_all(b"sk1234").await.unwrap();
    assert_eq!(bytes(&mut open.client, 6).await, b"456789");
    assert_eq!(bytes(&mut open.upstream, 6).await, b"sk1234");
    pong(&mut open, true, true).await;
}

#[tokio::test(start_paused = true)]
async fn no_ping_follows_a_close_frame() {
    let mut open = open_with(None, Some(EVERY));
    let close = [b"\x88\x80mask".as_slice()].concat();
    open.client.write_all(&close).await.unwrap();
    assert_eq!(bytes(&mut open.upstream, close.len()).await, close);
    tokio::time::sleep(EVERY * 2).await;
    drop(open.upstream);
    assert_eq!(rest(&mut open.client).await, b"");
}

#[tokio::test(start_paused = true)]
async fn pongs_for_the_upstream_still_reach_it() {
    let mut open = open_with(None, Some(EVERY));
    pong(&mut open, true, true).await;
    open.upstream.write_all(b"\x89\x04ping").await.unwrap();
    assert_eq!(bytes(&mut open.client, 6).await, b"\x89\x04ping");
    let answer = b"\x8A\x84\0\0\0\0ping";
    open.client.write_all(answer).await.unwrap();
    assert_eq!(bytes(&mut open.upstream, answer.len()).await, answer);
}

/// The close frame comes after the bytes of a pong that had not arrived completely.
#[tokio::test(start_paused = true)]
async fn a_half_pong_does_not_break_the_close_frame() {
    let mut open = open_with(None, Some(EVERY));
    let (_, of_upstream) = pinged(&mut open).await;
    let pong = [b"\x8A\x08", of_upstream.as_slice()].concat();
    open.upstream.write_all(pong.get(..5).unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    open.drain.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    open.upstream.write_all(pong.get(5..).unwrap()).await.unwrap();
    let expected = [pong.as_slice(), &close_frame(1001, "shutting down")].concat();
    assert_eq!(rest(&mut open.client).await, expected);
}
