//! The stage of every attack: an issuer, an upstream that records bytes, and the gateway between them.
//!
//! | route | may be used by |
//! |---|---|
//! | `/public/**` | anyone |
//! | `/admin` | the role `admin` |
//! | `/echo` | every signed-in user |
//! | `/app` | `/app/public/**`, and `GET /app/*/status`: anyone; the rest: the role `admin` |
//! | `/jupyter` | as `/app`, with `%2F` and `//` kept |
//! | `/ws` | every signed-in user |
//!
//! `alice` has the role `admin` and is in `/lab`; `bob` has no role and no group.

use anyhow::{Context as _, Result};
use dev_issuer::{DevClient, DevIssuer, DevIssuerBuilder, User};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    upstream::Echo,
    wire::{Answer, RawAnswer, Wire},
};
use url::Url;

/// The gateway's secret at the issuer.
pub(crate) const CLIENT_SECRET: &str = "the gateway's secret in attacks";

/// Builds a stage that differs from the usual one.
pub(crate) struct Setup {
    name: String,
    issuer: DevIssuerBuilder,
    client: DevClient,
    routes: String,
    plan: Vec<Box<dyn FnOnce(Plan) -> Plan + Send>>,
    provider_down: bool,
    reached_elsewhere: bool,
    naming: fn(&str) -> String,
}

/// The running parts. All of them end when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The provider.
    pub(crate) issuer: DevIssuer,
    /// The upstream of every route.
    pub(crate) upstream: Echo,
    /// The binary under attack.
    pub(crate) gateway: Gateway,
    /// Folder, port and public address.
    pub(crate) world: World,
}

/// Builds a request to which nothing is added but `Host`.
#[derive(Debug)]
pub(crate) struct Asking<'s> {
    stage: &'s Stage,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Setup {
    /// The usual stage under this name.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            issuer: DevIssuer::builder()
                .user(User::new("alice", "alice").roles(["admin"]).groups(["/lab"]))
                .user(User::new("bob", "bob")),
            client: DevClient::confidential("gateway", CLIENT_SECRET).audience("gateway"),
            routes: String::new(),
            plan: Vec::new(),
            provider_down: false,
            reached_elsewhere: false,
            naming: str::to_owned,
        }
    }

    /// Changes the gateway's client at the issuer: `|client| client.scope("read")`.
    pub(crate) fn with_client(mut self, change: impl FnOnce(DevClient) -> DevClient) -> Self {
        self.client = change(self.client);
        self
    }

    /// The issuer is down when the gateway starts, so nothing waits for readiness; `issuer.resume()` ends that.
    pub(crate) fn without_provider(mut self) -> Self {
        self.provider_down = true;
        self
    }

    /// Browsers know the issuer by a public name, the gateway reaches it at the address that it listens on.
    pub(crate) fn reached_elsewhere(mut self) -> Self {
        self.reached_elsewhere = true;
        self.with_issuer(|issuer| issuer.public_url("https://id.example"))
    }

    /// Configures the issuer by this name instead of its own.
    pub(crate) fn naming(mut self, name: fn(&str) -> String) -> Self {
        self.naming = name;
        self
    }

    /// Changes the issuer: `|issuer| issuer.access_token_lifetime(…)`.
    pub(crate) fn with_issuer(
        mut self,
        change: impl FnOnce(DevIssuerBuilder) -> DevIssuerBuilder,
    ) -> Self {
        self.issuer = change(self.issuer);
        self
    }

    /// Changes the configuration: `|plan| plan.with("endpoints: /own")`.
    pub(crate) fn with_plan(mut self, change: impl FnOnce(Plan) -> Plan + Send + 'static) -> Self {
        self.plan.push(Box::new(change));
        self
    }

    /// Makes the gateway trust the fields of proxies on loopback, and so of every test.
    pub(crate) fn trusting_proxies(self) -> Self {
        self.with_plan(|plan| plan.with("trusted_proxies: [127.0.0.0/8]"))
    }

    /// More routes, in YAML; `UPSTREAM` is replaced by the upstream's URL, `PUBLIC` by the gateway's.
    pub(crate) fn with_routes(mut self, yaml: &str) -> Self {
        self.routes.push_str(yaml);
        self
    }

    /// Starts all parts, and waits until the gateway is ready.
    pub(crate) async fn start(self) -> Result<Stage> {
        let world = World::new(&self.name)?;
        let client = self
            .client
            .redirect_uri(world.url("/oauth2/callback"))
            .post_logout_redirect_uri(world.url("/oauth2/signed_out"))
            .backchannel_logout_uri(world.url("/oauth2/backchannel_logout"));
        let issuer = self.issuer.client(client).start("127.0.0.1:0").await?;
        if self.provider_down {
            issuer.stop().await;
        }
        let upstream = world.echo().await?;
        let routes = format!("{ROUTES}{}", self.routes)
            .replace("UPSTREAM", &upstream.url())
            .replace("PUBLIC", &world.public_url());
        let plan = Plan::with_client(&world, &(self.naming)(issuer.url()), CLIENT_SECRET, &routes)?;
        // Secrets must be absent from the log also at its most verbose level.
        let plan = plan.with("log: { level: debug }");
        let plan = self.plan.into_iter().fold(plan, |plan, change| change(plan));
        let plan = match self.reached_elsewhere {
            true => plan.with_issuer_setting(&format!("discovery_url: {}", issuer.discovery_url())),
            false => plan,
        };
        let gateway = if self.provider_down { plan.launch()? } else { plan.start().await? };
        Ok(Stage { issuer, upstream, gateway, world })
    }
}

impl Stage {
    /// The usual stage under this name.
    pub(crate) async fn new(name: &str) -> Result<Self> {
        Setup::new(name).start().await
    }

    /// The value of `Host`: `localhost:port`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.world.public_port())
    }

    /// The `Origin` of the gateway's pages.
    pub(crate) fn origin(&self) -> String {
        self.world.public_url()
    }

    /// A fresh connection to the gateway.
    pub(crate) async fn connect(&self) -> Result<Wire> {
        Wire::connect(self.gateway.port()).await
    }

    /// Sends bytes over a fresh connection, with `HOST` replaced by [`Stage::host`], and reads the answers.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> Result<RawAnswer> {
        let mut wire = self.connect().await?;
        wire.send(self.filled(bytes.as_ref())).await;
        wire.finish().await
    }

    /// The bytes with `HOST` replaced.
    pub(crate) fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(bytes.len() + 16);
        let mut rest = bytes;
        while let Some(at) = rest.windows(4).position(|four| four == b"HOST") {
            filled.extend_from_slice(&rest[..at]);
            filled.extend_from_slice(self.host().as_bytes());
            rest = &rest[at + 4..];
        }
        filled.extend_from_slice(rest);
        filled
    }

    /// A request to be sent over a fresh connection.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Asking<'_> {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host());
        Asking { stage: self, head: head.into_bytes(), body: Vec::new() }
    }

    /// `GET`.
    pub(crate) fn get(&self, target: &str) -> Asking<'_> {
        self.ask("GET", target)
    }

    /// `POST`.
    pub(crate) fn post(&self, target: &str) -> Asking<'_> {
        self.ask("POST", target)
    }

    /// Signs in as a browser would; returns the `Cookie` header of the session.
    pub(crate) async fn sign_in(&self, user: &str) -> Result<String> {
        let answer = self.finish_login(user, "/echo").await?;
        let cookies = answer.cookies().join("; ");
        anyhow::ensure!(!cookies.is_empty(), "no session for {user}: {answer:?}");
        Ok(cookies)
    }

    /// The callback's answer to a login of `user` that began with `rd=return_to`.
    pub(crate) async fn finish_login(&self, user: &str, return_to: &str) -> Result<Answer> {
        let (location, cookies) = self.begin_login(return_to).await?;
        let callback = self.issuer.sign_in(location.as_str(), user).context("at the issuer")?;
        let callback: Url = callback.parse()?;
        let target = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
        self.get(&target).header("Cookie", &cookies).send().await
    }

    /// Begins a login; returns the provider's URL and the `Cookie` that the callback needs.
    pub(crate) async fn begin_login(&self, return_to: &str) -> Result<(Url, String)> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("rd", return_to)
            .finish();
        let answer = self.get(&format!("/oauth2/start?{query}")).send().await?;
        anyhow::ensure!(answer.status == 302, "a login does not begin: {answer:?}");
        Ok((answer.location()?, answer.cookies().join("; ")))
    }

    /// Stops the gateway in order and checks its log: JSON, without these cookies or other secrets.
    pub(crate) fn finish(self, cookies: &[&str]) -> Result<()> {
        let secrets = cookies.iter().flat_map(|cookies| cookies.split("; "));
        let secrets: Vec<String> = secrets
            .filter_map(|cookie| cookie.split_once('=').map(|(_, value)| value.to_owned()))
            .collect();
        self.gateway.finish(&secrets)
    }

    /// The targets that reached the upstream.
    pub(crate) fn reached(&self) -> Vec<String> {
        self.upstream.requests().iter().map(e2e::upstream::Recorded::target).collect()
    }
}

impl Asking<'_> {
    /// Adds a field; the value is bytes.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    /// Adds the fields of a browser's navigation.
    pub(crate) fn navigating(self) -> Self {
        self.header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Dest", "document")
            .header("Sec-Fetch-Site", "none")
    }

    /// Adds an access token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds a body and its length.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    /// Adds a form as the body.
    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    /// Sends the request and returns the one answer.
    pub(crate) async fn send(mut self) -> Result<Answer> {
        self.head.extend_from_slice(b"\r\n");
        self.head.append(&mut self.body);
        let mut wire = self.stage.connect().await?;
        wire.send(&self.head).await;
        wire.answer().await
    }
}

const ROUTES: &str = "\
public:
  match: { path: /public }
  upstream: UPSTREAM
  access: [{ path: /public/**, allow: anyone }]
admin:
  match: { path: /admin }
  upstream: UPSTREAM
  access: [{ allow: { roles: [admin] } }]
echo:
  match: { path: /echo }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
app:
  match: { path: /app }
  upstream: UPSTREAM
  access:
    - { path: /app/public/**, allow: anyone }
    - { path: /app/*/status, methods: [GET], allow: anyone }
    - { allow: { roles: [admin] } }
jupyter:
  match: { path: /jupyter }
  upstream: UPSTREAM
  paths: { encoded_slash: keep, double_slash: keep }
  access:
    - { path: /jupyter/public/**, allow: anyone }
    - { allow: { roles: [admin] } }
ws:
  match: { path: /ws }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
";
