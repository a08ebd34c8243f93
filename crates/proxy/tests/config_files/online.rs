//! `check --online` against a provider and upstreams in this process.

use std::fs;

use dev_issuer::{DevClient, DevIssuer};
use doorward::commands::{Outcome, check::online};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::SMALL;

pub(crate) const CALLBACK: &str = "https://platform.example/oauth2/callback";

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) issuer: DevIssuer,
}

impl Bench {
    pub(crate) async fn new(redirect_uri: &str) -> Self {
        let gateway = DevClient::confidential("gateway", "right").redirect_uri(redirect_uri);
        let issuer = DevIssuer::builder().client(gateway).start("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), [b'k'; 32]).unwrap();
        fs::write(folder.path().join("secret"), "right").unwrap();
        Self { folder, issuer }
    }

    /// The small file before this provider and this upstream, with one change.
    pub(crate) async fn check(&self, upstream: &str, old: &str, new: &str) -> (Outcome, String) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let secret =
            format!("    client_auth: {{ secret: {{ file: {} }} }}\n    audience:", path("secret"));
        let text = SMALL
            .replace("https://keycloak.example/realms/platform", self.issuer.url())
            .replace("/run/secrets/session-key", &path("key"))
            .replace("    audience:", &secret)
            .replace("session:", "session:\n  store: cookie")
            .replace("http://app:8000", upstream)
            .replace(old, new);
        let file = self.folder.path().join("doorward.yaml");
        fs::write(&file, text).unwrap();
        let mut out = Vec::new();
        let outcome = online(&file, &mut out).await.unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }
}

/// An upstream that answers each connection with these bytes; its URL, and the requests that it got.
pub(crate) async fn upstream(
    answer: &'static str,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or_default();
            head.truncate(length);
            let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (format!("http://{address}"), requests)
}

pub(crate) const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn check_online_makes_a_request_to_each_upstream() {
    let bench = Bench::new(CALLBACK).await;
    let (good, mut requests) = upstream(OK).await;
    let both = format!("[{good}, unix:/nowhere.sock]");
    let (outcome, out) = bench.check(&both, "", "").await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    assert!(out.contains("issuers.main: answers, 1 key for signatures\n"), "{out}");
    assert!(
        out.contains(&format!("routes.app.upstream: {good}: answers 204 No Content\n")),
        "{out}"
    );
    assert!(
        out.contains("unix:/nowhere.sock: cannot be reached: no socket at /nowhere.sock"),
        "{out}"
    );
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("HEAD /app HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("host: platform.example\r\n"), "{request}");

    let (down, _requests) = upstream("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    let (outcome, out) = bench.check(&down, "", "").await;
    assert_eq!(outcome, Outcome::Failure);
    assert!(
        out.contains("answers 503 Service Unavailable: the service or a proxy before it fails"),
        "{out}"
    );

    // A port that is open and speaks another protocol answers no request.
    let (other, _requests) = upstream("SSH-2.0-OpenSSH_9.2\r\n").await;
    let (outcome, out) = bench.check(&other, "", "").await;
    assert_eq!(outcome, Outcome::Failure);
    assert!(out.contains(&format!("{other}: cannot be reached: ")), "{out}");
    let tls = good.replace("http:", "https:");
    let (outcome, out) = bench.check(&tls, "", "").await;
    assert_eq!(outcome, Outcome::Failure);
    assert!(out.contains("cannot be reached: TLS handshake failed"), "{out}");
}

#[tokio::test]
async fn check_online_proves_secret_and_redirect_uris() {
    let bench = Bench::new(CALLBACK).await;
    let (good, _requests) = upstream(OK).await;
    let (outcome, out) = bench.check(&good, "", "").await;
    assert_eq!(outcome, Outcome::Fine, "{out}");
    assert!(out.contains(&format!("issuers.main: takes logins for {CALLBACK}\n")), "{out}");
    assert!(out.contains("issuers.main: accepts the client's credential\n"), "{out}");

    let host = ("match: { path: /app }", "match: { host: lab.example, path: /app }");
    let (outcome, out) = bench.check(&good, host.0, host.1).await;
    assert_eq!(outcome, Outcome::Failure);
    let refused = "issuers.main: takes no login for https://lab.example/oauth2/callback: ";
    assert!(out.contains(refused) && out.contains("register this redirect URI"), "{out}");

    fs::write(bench.folder.path().join("secret"), "wrong").unwrap();
    for pushed in ["auto", "never"] {
        let setting = format!("    pushed_authorization: {pushed}\n    client_auth:");
        let (outcome, out) = bench.check(&good, "    client_auth:", &setting).await;
        assert_eq!(outcome, Outcome::Failure, "{pushed}");
        assert!(out.contains("refuses the gateway as its client: "), "{pushed}: {out}");
        assert!(!out.contains("accepts") && !out.contains("wrong"), "{pushed}: {out}");
    }
    fs::write(bench.folder.path().join("secret"), "right").unwrap();
    let never = "    pushed_authorization: never\n    client_auth:";
    let (outcome, out) = bench.check(&good, "    client_auth:", never).await;
    assert_eq!(outcome, Outcome::Fine, "{out}");
    assert!(out.contains("accepts the client's credential"), "{out}");
    assert!(out.contains("redirect URIs are not checked"), "{out}");
}

#[tokio::test]
async fn check_online_runs_beside_warnings_and_names_a_silent_issuer() {
    let bench = Bench::new("http://platform.example/oauth2/callback").await;
    let (good, _requests) = upstream(OK).await;
    let (outcome, out) = bench.check(&good, "https://platform", "http://platform").await;
    assert_eq!(outcome, Outcome::Fine, "plain http is a warning: {out}");
    assert!(out.contains("answers 204"), "{out}");
    bench.issuer.stop().await;
    let (outcome, out) = bench.check(&good, "", "").await;
    assert_eq!(outcome, Outcome::Failure);
    assert!(!out.contains("issuers.main: answers") && out.contains("answers 204"), "{out}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_problem() {
    let bench = Bench::new(CALLBACK).await;
    let (url, _requests) = upstream("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let store = format!("store: {{ redis: {{ url: 'redis://{free}' }} }}");
    let (outcome, out) = bench.check(&url, "store: cookie", &store).await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    assert!(out.contains(&format!("session.store: {free} cannot be reached: ")), "{out}");
    // Something answers that speaks another protocol.
    let other = url.replace("http:", "redis:");
    let store = format!("store: {{ redis: {{ url: '{other}' }} }}");
    let (outcome, out) = bench.check(&url, "store: cookie", &store).await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    assert!(out.contains("session.store: "), "{out}");
}
