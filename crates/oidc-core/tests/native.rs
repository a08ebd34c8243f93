//! A login by a browser on the same machine: the pages shown, and requests that do not end the
//! wait.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use oidc_core::Client;
use oidc_core::client::{ClientAuth, TokenEndpointError};
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{
    Login, LoginError, LoopbackLogin, LoopbackLoginError, LoopbackRedirect, LoopbackRedirectError,
};
use oidc_core::testing::{Fault, SUBJECT, TestIssuer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

const LONG: Duration = Duration::from_secs(60);

fn client(issuer: &TestIssuer) -> Client {
    Client::new(issuer.provider(), issuer.keys(), "cli", ClientAuth::None)
        .with_clock(issuer.clock())
}

/// A login in progress and the browser that will finish it.
struct Scene {
    issuer: TestIssuer,
    redirect_uri: Url,
    /// Query of the provider's redirect.
    query: String,
    finished: JoinHandle<Result<Login, LoopbackLoginError>>,
}

async fn begun() -> Scene {
    let issuer = TestIssuer::new();
    let redirect = LoopbackRedirect::bind().await.unwrap();
    let request = redirect.request().with_scopes(["profile"]);
    let login = redirect.begin(&client(&issuer), request).await.unwrap();
    scene(issuer, login)
}

fn scene(issuer: TestIssuer, login: LoopbackLogin) -> Scene {
    let query = issuer.authorize(login.url());
    let redirect_uri = login.redirect_uri().clone();
    Scene { issuer, redirect_uri, query, finished: tokio::spawn(login.finish(LONG)) }
}

impl Scene {
    async fn get(&self, target: &str) -> String {
        let host = self.redirect_uri.authority();
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    async fn send(&self, request: &str) -> String {
        let address = self.redirect_uri.socket_addrs(|| None).unwrap();
        let mut stream = TcpStream::connect(&*address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn come_back(&self) -> String {
        self.get(&format!("/callback?{}", self.query)).await
    }

    async fn end(self) -> Result<Login, LoopbackLoginError> {
        self.finished.await.unwrap()
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn a_user_logs_in_and_sees_the_outcome() {
    let scene = begun().await;
    let page = scene.come_back().await;
    assert_eq!(status(&page), "200");
    assert!(page.contains("You are signed in"), "{page}");
    for header in [
        "Cache-Control: no-store\r\n",
        "Referrer-Policy: no-referrer\r\n",
        "Content-Security-Policy: default-src 'none'; style-src 'sha256-",
        "Connection: close\r\n",
    ] {
        assert!(page.contains(header), "{header}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    let redirect_uri = scene.redirect_uri.clone();
    let sent = scene.issuer.last_request("token").unwrap();
    assert_eq!(sent.value("redirect_uri"), Some(redirect_uri.as_str()));
    assert_eq!(scene.end().await.unwrap().id_token.subject(), SUBJECT);
    let address = redirect_uri.socket_addrs(|| None).unwrap();
    assert!(TcpStream::connect(&*address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a_request_without_the_state_does_not_end_the_login() {
    let scene = begun().await;
    let host = scene.redirect_uri.authority().to_owned();
    let query = scene.query.clone();
    // Connections without a request, as browsers open them.
    let address = scene.redirect_uri.socket_addrs(|| None).unwrap();
    let _idle = [TcpStream::connect(&*address).await.unwrap(), {
        let mut slow = TcpStream::connect(&*address).await.unwrap();
        slow.write_all(b"GET /callback?state=").await.unwrap();
        slow
    }];
    for (target, expected) in [
        ("/favicon.ico", "404"),
        ("/", "404"),
        ("/callback/", "404"),
        ("/callback", "400"),
        ("/callback?code=a&state=another&iss=https://issuer.test/realms/lab", "400"),
        ("/callback?error=access_denied", "400"),
        ("/callback?error=access_denied&state=%3Cscript%3E", "400"),
        ("/callback?state=a&state=b", "400"),
        ("/callback?%3Cscript%3E=a&%3Cscript%3E=b", "400"),
    ] {
        let page = scene.get(target).await;
        assert_eq!(status(&page), expected, "{target}");
        assert!(!page.contains("<script"), "{page}");
    }
    for (request, expected) in [
        (format!("GET /callback?{query} HTTP/1.1\r\nHost: evil.test\r\n\r\n"), "404"),
        (format!("POST /callback?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n"), "405"),
        (format!("GET /callback?{query} HTTP/1.1\r\n\r\n"), "400"),
        (format!("GET /callback HTTP/1.1\r\nHost: {host}\r\nX: {}", "x".repeat(70_000)), "431"),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), "400"),
    ] {
        assert_eq!(status(&scene.send(&request).await), expected);
    }
    assert_eq!(scene.issuer.requests("token"), 0);
    assert!(!scene.finished.is_finished());
    assert!(scene.come_back().await.contains("You are signed in"));
    assert!(scene.end().await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_shown_and_ends_the_login() {
    let scene = begun().await;
    let state = oidc_core::login::callback::state(&scene.query).unwrap();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("error", "access_denied")
        .append_pair("error_description", "<script>alert(1)</script>")
        .append_pair("state", &state)
        .append_pair("iss", "https://issuer.test/realms/lab")
        .finish();
    let page = scene.get(&format!("/callback?{query}")).await;
    assert!(page.contains("You are not signed in") && page.contains("access_denied"), "{page}");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    let error = scene.end().await.unwrap_err();
    assert!(matches!(error, LoopbackLoginError::Refused(CallbackRefusal::Provider { .. })));

    // Another issuer's answer with this login's state: mix-up.
    let scene = begun().await;
    let query = scene.query.replace("issuer.test", "evil.test");
    scene.get(&format!("/callback?{query}")).await;
    let error = scene.end().await.unwrap_err();
    assert!(matches!(error, LoopbackLoginError::Refused(CallbackRefusal::WrongIssuer { .. })));
}

#[tokio::test]
async fn a_refused_code_is_reported_to_program_and_browser() {
    let scene = begun().await;
    scene.issuer.fail_on("token", Fault::Status(503));
    let page = scene.come_back().await;
    assert!(page.contains("You are not signed in"), "{page}");
    let error = scene.end().await.unwrap_err();
    assert!(matches!(
        error,
        LoopbackLoginError::Login(LoginError::Token(TokenEndpointError::Unavailable { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_browser_ends_on_time() {
    let issuer = TestIssuer::new();
    let redirect = LoopbackRedirect::bind().await.unwrap();
    let request = redirect.request();
    let login = redirect.begin(&client(&issuer), request).await.unwrap();
    let before = tokio::time::Instant::now();
    let error = login.finish(Duration::from_secs(120)).await.unwrap_err();
    assert!(matches!(error, LoopbackLoginError::TimedOut { after } if after.as_secs() == 120));
    assert_eq!(before.elapsed().as_secs(), 120);
}

#[tokio::test]
async fn a_registered_redirect_uri_is_kept_to_the_letter() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let registered: Url = format!("http://localhost:{port}/done").parse().unwrap();
    let redirect = LoopbackRedirect::bind_to(&registered).await.unwrap();
    assert_eq!(redirect.uri(), &registered);
    let taken = LoopbackRedirect::bind_to(&registered).await.unwrap_err();
    assert!(matches!(taken, LoopbackRedirectError::Listen { .. }), "{taken}");

    let issuer = TestIssuer::new();
    let request = redirect.request();
    let login = redirect.begin(&client(&issuer), request).await.unwrap();
    let scene = scene(issuer, login);
    let page = scene.get(&format!("/done?{}", scene.query)).await;
    assert!(page.contains("You are signed in"), "{page}");
    scene.end().await.unwrap();

    let any = LoopbackRedirect::bind_to(&"http://127.0.0.1/x".parse().unwrap()).await.unwrap();
    assert!(any.uri().port().is_some_and(|port| port >= 1024) && any.uri().path() == "/x");
}

#[tokio::test]
async fn only_this_machine_can_be_come_back_to() {
    for bad in [
        "https://127.0.0.1/callback",
        "http://id.example/callback",
        "http://10.0.0.1/callback",
        "http://0.0.0.0/callback",
        "http://[::]/callback",
        "http://localhost.evil.test/callback",
        "http://user@127.0.0.1/callback",
        "http://127.0.0.1/callback?a=b",
        "http://127.0.0.1/callback#a",
        "com.example.app:/callback",
    ] {
        let refusal = LoopbackRedirect::bind_to(&bad.parse().unwrap()).await.unwrap_err();
        assert!(matches!(refusal, LoopbackRedirectError::NotLoopback { .. }), "{bad}: {refusal}");
    }
}
