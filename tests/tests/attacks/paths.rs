//! Paths and routes.

use anyhow::Result;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn smoke() -> Result<()> {
    let stage = Stage::new("attack-smoke").await?;
    let cookie = stage.sign_in("alice").await?;
    let answer = stage.get("/echo").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    println!("{answer:?} {}", String::from_utf8_lossy(&stage.upstream.requests()[0].head));
    println!("{:?}", stage.raw("GET /admin HTTP/1.1\r\nHost: HOST\r\n\r\n").await?);
    Ok(())
}
