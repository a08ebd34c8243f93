//! Trailers of a request: the announced ones arrive, and none of them acts as a header of the gateway or the upstream.

use anyhow::{Result, ensure};
use dev_issuer::Mint;

use crate::stage::Stage;

/// A chunked upload with these fields in the head and these lines in the trailer section.
async fn upload(stage: &Stage, path: &str, fields: &str, trailers: &str) -> Result<u16> {
    let token = stage.issuer.mint(Mint::access("bob"))?;
    let answer = stage
        .raw(format!(
            "POST {path} HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n{fields}\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
        ))
        .await?;
    let first = answer.answers.first();
    Ok(first.map_or(0, |answer| answer.status))
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_trailers_arrive_and_hostile_ones_do_not() -> Result<()> {
    let stage = Stage::new("trailers-announced").await?;
    let hostile = "Authorization: Bearer x\r\nCookie: a=b\r\nX-Forwarded-User: mallory\r\nX-Doorward-Assertion: x\r\n\
                   Content-Length: 7\r\nTransfer-Encoding: identity\r\nHost: evil\r\nX-Other: 1\r\nX-Hop: 1\r\n";
    let status = upload(
        &stage,
        "/echo/1",
        "Trailer: X-Sum, Authorization, Cookie, X-Forwarded-User, X-Doorward-Assertion\r\n\
         Trailer: Content-Length, Transfer-Encoding, Host, Content-Digest, X-Hop\r\nConnection: X-Hop\r\n",
        &format!("{hostile}X-Sum: abc\r\nContent-Digest: sha-256=:AA==:\r\n"),
    )
    .await?;
    assert_eq!(status, 200);
    let seen = stage.upstream.last("/echo/1")?;
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.value("trailer").as_deref(), Some("x-sum, content-digest"));
    let mut trailers = seen.trailers.clone();
    trailers.sort();
    assert_eq!(trailers, ["content-digest: sha-256=:AA==:", "x-sum: abc"]);
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("bob"));

    // Without an announcement nothing follows the body.
    assert_eq!(upload(&stage, "/echo/2", "", "X-Sum: abc\r\n").await?, 200);
    let seen = stage.upstream.last("/echo/2")?;
    ensure!(seen.trailers.is_empty() && seen.value("trailer").is_none(), "{seen:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_trailer_section_is_no_complete_upload() -> Result<()> {
    let stage = Stage::new("trailers-malformed").await?;
    for bad in [
        "X-Sum : abc\r\n",
        "X-Sum\r\n",
        " X-Sum: folded\r\n",
        "X_Sum: abc\r\n",
        "X-Sum: a\rb\r\n",
        &"X-Sum: a\r\n".repeat(65),
    ] {
        let status = upload(&stage, "/echo/bad", "Trailer: X-Sum\r\n", bad).await?;
        assert_eq!(status, 400, "{bad:?}");
    }
    // An upstream never saw the end of one of these bodies.
    ensure!(stage.upstream.last("/echo/bad").is_err(), "a broken upload looked complete");
    // What follows the section is a request of its own, with its own decision.
    let token = stage.issuer.mint(Mint::access("bob"))?;
    let answer = stage
        .raw(format!(
            "POST /echo/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum\r\n\r\n0\r\nX-Sum: 1\r\n\r\nGET /echo/smuggled HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
        ))
        .await?;
    let statuses: Vec<u16> = answer.answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 401]);
    ensure!(stage.upstream.last("/echo/smuggled").is_err(), "smuggled");
    stage.finish(&[])
}
