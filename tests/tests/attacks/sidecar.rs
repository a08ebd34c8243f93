//! The example of a sidecar: a service on a socket, which only the gateway beside it reaches.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use dev_issuer::Mint;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    task::JoinHandle,
};

use crate::stage::Setup;

/// A service on a Unix socket that records the heads of its requests.
struct Service {
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Service {
    fn start(socket: &Path) -> Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    if !matches!(stream.read_buf(&mut head).await, Ok(count) if count > 0) {
                        break;
                    }
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                record.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Ok(Self { heads, task })
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The part of the example's file that begins with this key.
fn part(text: &str, key: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(key));
    let more = lines.clone().skip(1).take_while(|line| line.is_empty() || line.starts_with(' '));
    lines.take(1).chain(more).map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_lets_verified_calls_through_to_the_socket() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sidecar/doorward.yaml");
    let text = std::fs::read_to_string(example)?;
    let folder = std::env::temp_dir().join(format!("doorward-sidecar-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let socket = folder.join("app.sock");
    let service = Service::start(&socket)?;
    let issuers =
        part(&text, "issuers:").replace("https://keycloak.example/realms/platform", "ISSUER");
    let routes = part(&text, "routes:")
        .replace("routes:\n", "")
        .replace("/run/churn/app.sock", &socket.display().to_string())
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)))
        .collect::<String>();
    let stage = Setup::new("sidecar")
        .with_client(|client| client.audience("churn").scope("score"))
        .with_plan(move |plan| plan.with_issuers(&issuers).with_only_routes(&routes))
        .start()
        .await?;

    let token = |order: Mint| stage.issuer.mint(order.client("gateway"));
    let job = || Mint::service("gateway").audience(["churn"]).scope("score");
    let score = async |token: &str| -> Result<u16> {
        Ok(stage.post("/score").bearer(token).body("{}").send().await?.status)
    };
    assert_eq!(score(&token(job())?).await?, 200);
    let head = service.heads().pop().unwrap_or_default();
    assert!(
        head.starts_with("post /score ") && head.contains("x-doorward-assertion: ey"),
        "{head}"
    );
    assert!(!head.contains("authorization:"), "the token stays with the gateway: {head}");

    for refused in [job().audience(["another"]), job().expired(), job().wrong_key()] {
        assert_eq!(score(&token(refused)?).await?, 401);
    }
    assert_eq!(score(&token(job().scope("read"))?).await?, 403);
    assert_eq!(score(&token(Mint::id("alice"))?).await?, 401);
    let unknown = stage.get("/anything").navigating().send().await?;
    assert_eq!(unknown.status, 401, "no redirect to a login: {unknown:?}");
    assert!(unknown.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(stage.get("/healthz").send().await?.status, 200);
    assert_eq!(service.heads().len(), 2, "the score and the probe");
    std::fs::remove_dir_all(folder)?;
    stage.finish(&[])
}
