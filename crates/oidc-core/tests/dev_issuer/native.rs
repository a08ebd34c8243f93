//! A login on the user's own machine, end to end.

use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer};
use oidc_core::client::ClientAuth;
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{LoopbackLogin, LoopbackLoginError, LoopbackRedirect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use crate::elsewhere::Elsewhere;

async fn begun(provider: &Elsewhere, signed: bool) -> LoopbackLogin {
    let redirect = LoopbackRedirect::bind().await.unwrap();
    let mut request = redirect.request().with_scopes(["profile"]);
    if signed {
        request = request.with_response_mode_jwt();
    }
    redirect.begin(&provider.client("cli", ClientAuth::None), request).await.unwrap()
}

/// The page shown to a browser that follows the redirects.
async fn open(url: &str) -> String {
    let url: Url = url.parse().unwrap();
    let mut stream = TcpStream::connect(&*url.socket_addrs(|| None).unwrap()).await.unwrap();
    let (path, query, host) = (url.path(), url.query().unwrap_or_default(), url.authority());
    let head = format!("GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[tokio::test]
async fn the_browser_comes_back_to_a_port_of_this_machine() {
    let cli = DevClient::public("cli").redirect_uri("http://127.0.0.1:*/callback");
    let provider = Elsewhere::start(DevIssuer::demo_builder().client(cli)).await;
    for signed in [false, true] {
        let login = begun(&provider, signed).await;
        let back = provider.issuer.sign_in(login.url().as_str(), "alice").unwrap();
        assert_eq!(back.contains("response="), signed);
        let finished = tokio::spawn(login.finish(Duration::from_secs(60)));
        let page = open(&back).await;
        assert!(page.contains("You are signed in"), "{page}");
        let login = finished.await.unwrap().unwrap();
        assert_eq!(login.id_token.preferred_username(), Some("alice"));
    }
}

#[tokio::test]
async fn a_forged_answer_does_not_end_a_login_that_wants_a_signed_one() {
    let cli = DevClient::public("cli").redirect_uri("http://127.0.0.1:*/callback");
    let provider = Elsewhere::start(DevIssuer::demo_builder().client(cli)).await;
    let login = begun(&provider, true).await;
    let back = provider.issuer.sign_in(login.url().as_str(), "alice").unwrap();
    let redirect_uri = login.redirect_uri().clone();
    let finished = tokio::spawn(login.finish(Duration::from_secs(60)));
    let forged = format!("{redirect_uri}?response=eyJhbGciOiJub25lIn0.e30.");
    assert!(open(&forged).await.starts_with("HTTP/1.1 400 "));
    assert!(open(&back).await.contains("You are signed in"));
    assert!(finished.await.unwrap().is_ok());

    // Unsigned, with the right state: an attacker removed the signature.
    let login = begun(&provider, true).await;
    let back = provider.issuer.sign_in(login.url().as_str(), "alice").unwrap();
    let state =
        oidc_core::login::callback::state(Url::parse(&back).unwrap().query().unwrap()).unwrap();
    let plain = format!("{}?code=x&state={state}", login.redirect_uri());
    let finished = tokio::spawn(login.finish(Duration::from_secs(60)));
    assert!(open(&plain).await.contains("You are not signed in"));
    let error = finished.await.unwrap().unwrap_err();
    assert!(matches!(error, LoopbackLoginError::Refused(CallbackRefusal::NotSigned)), "{error}");
}
