//! The whole line in one process: dev-issuer, an upstream that echoes the headers it received, the gateway between them.

use std::{
    net::TcpListener,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Json, Router, http::HeaderMap, routing::any};
use dev_issuer::{DevClient, DevIssuer};
use doorward::{
    commands::serve::{Running, recorder, reload::Reloader},
    config::Config,
    listen::{Drain, Inherited},
    log::Log,
};
use http::header;
use metrics_exporter_prometheus::PrometheusHandle;
use oidc_core::http::reqwest::install_crypto_provider;
use serde_json::{Map, Value};

/// The running parts; dropping it ends them.
pub(crate) struct TestGateway {
    pub(crate) issuers: Vec<DevIssuer>,
    pub(crate) base: String,
    pub(crate) admin: String,
    pub(crate) reloader: Reloader,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: reqwest::Client,
    drain: Drain,
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.drain.begin();
    }
}

/// One recorder serves all tests of the process.
fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| recorder().unwrap()).clone()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn certify(folder: &Path) {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
}

async fn mirror() -> String {
    let echo = async |headers: HeaderMap| {
        let mut received = Map::new();
        for (name, value) in &headers {
            received.insert(name.to_string(), Value::from(value.to_str().unwrap_or("?")));
        }
        Json(Value::Object(received))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(any(echo));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

impl TestGateway {
    pub(crate) async fn new(routes: &str) -> Self {
        Self::with_issuers(1, routes).await
    }

    /// `UPSTREAM` in `routes` is the mirror.
    pub(crate) async fn with_issuers(count: usize, routes: &str) -> Self {
        Self::start("http", count, routes).await
    }

    /// The certificate is `tls.crt` in the folder.
    pub(crate) async fn over_tls(routes: &str) -> Self {
        Self::start("https", 1, routes).await
    }

    async fn start(scheme: &str, count: usize, routes: &str) -> Self {
        install_crypto_provider();
        let port = free_port();
        let base = format!("{scheme}://127.0.0.1:{port}");
        let mut issuers = Vec::new();
        for _ in 0..count {
            let client = DevClient::confidential("gateway", "secret")
                .redirect_uri(format!("{base}/oauth2/callback"))
                .post_logout_redirect_uri(format!("{base}/oauth2/signed_out"))
                .audience("gateway");
            let builder = DevIssuer::demo_builder().client(client);
            issuers.push(builder.start("127.0.0.1:0").await.unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::write(folder.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
        if scheme == "https" {
            certify(folder.path());
        }
        let routes = routes.replace("UPSTREAM", &mirror().await);
        let text = configuration(&base, &issuers, folder.path(), &routes);
        std::fs::write(folder.path().join("doorward.yaml"), &text).unwrap();
        let loaded = Config::load(&folder.path().join("doorward.yaml")).unwrap();
        let log = Arc::new(Log::start(&loaded.config.log).unwrap());
        let drain = Drain::new(Duration::from_millis(100));
        let running = Running::start(loaded, metrics(), log, drain.clone(), Inherited::default())
            .await
            .unwrap();
        let admin = format!("http://{}", running.admin());
        let reloader = running.reloader();
        tokio::spawn(running.serve());
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { issuers, base, admin, reloader, folder, client, drain }
    }

    pub(crate) fn issuer(&self) -> &DevIssuer {
        &self.issuers[0]
    }

    pub(crate) async fn get(&self, path: &str, cookie: &str) -> reqwest::Response {
        let request =
            self.client.get(format!("{}{path}", self.base)).header(header::COOKIE, cookie);
        request.send().await.unwrap()
    }

    /// Signs a user in at the nth issuer, and returns the session cookie.
    pub(crate) async fn sign_in(&self, user: &str, nth: usize) -> String {
        let name = ["first", "second"][nth];
        let start = self.get(&format!("/oauth2/start?rd=/app&issuer={name}"), "").await;
        let login_cookie = cookie_of(&start);
        let provider = location(&start);
        let callback = self.issuers[nth].sign_in(&provider, user).unwrap();
        let callback = callback.strip_prefix(&self.base).unwrap();
        let ended = self.get(callback, &login_cookie).await;
        assert_eq!(location(&ended), "/app");
        cookie_of(&ended)
    }
}

pub(crate) fn location(response: &reqwest::Response) -> String {
    response.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

/// The cookies that an answer sets and does not clear, as a browser would send them back.
fn cookie_of(response: &reqwest::Response) -> String {
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs: Vec<&str> = set
        .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap())
        .filter(|pair| !pair.ends_with('='))
        .collect();
    pairs.join("; ")
}

fn configuration(base: &str, issuers: &[DevIssuer], folder: &Path, routes: &str) -> String {
    let (scheme, listen) = base.split_once("://").unwrap();
    let folder = folder.display();
    let tls = match scheme {
        "https" => format!("tls: {{ certificate: {folder}/tls.crt, key: {folder}/tls.key }}\n"),
        _ => String::new(),
    };
    let issuers: String = ["first", "second"]
        .iter()
        .zip(issuers)
        .map(|(name, issuer)| {
            // At most one issuer may introspect, because an opaque token does not name its issuer.
            let introspection = if *name == "first" { ", introspection: { cache: 1m }" } else { "" };
            format!(
                "  {name}: {{ url: {}, client_id: gateway, client_auth: {{ secret: {{ file: {folder}/secret }} }}, audience: [gateway]{introspection} }}\n",
                issuer.url()
            )
        })
        .collect();
    format!(
        "listen: {listen}
{tls}public_url: {base}
admin: 127.0.0.1:0
issuers:
{issuers}session:
  store: {{ embedded: {{ path: {folder}/sessions.redb }} }}
  key: {{ file: {folder}/key }}
log: {{ level: error }}
routes:
{routes}"
    )
}
