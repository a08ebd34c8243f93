//! The recipes of the guide about forward-auth, taken out of its text and run: what is printed is what is tested.
//!
//! nginx, Caddy and Envoy are the real ones. Traefik and ingress-nginx are stand-ins that send what their documentation says.

use std::{path::Path, process::Command, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

use crate::{
    World,
    fronts::Front,
    gateway::Gateway,
    tools,
    upstream::Echo,
    wire::{Answer, Wire},
};

const GUIDE: &str = "docs/guides/forward-auth.md";
const GUIDE_OF_ENVOY: &str = "docs/guides/envoy.md";

/// A recipe of the guide, running on the world's public port.
#[derive(Debug)]
pub enum Recipe {
    /// A real server.
    Real(Front),
    /// A stand-in.
    StandIn(StandIn),
}

impl Recipe {
    /// Runs the recipe under this heading of the guide.
    pub async fn run(
        heading: &str,
        world: &World,
        gateway: &Gateway,
        upstream: &Echo,
    ) -> Result<Self> {
        let guide = if heading == "Envoy" { GUIDE_OF_ENVOY } else { GUIDE };
        let recipe = printed(guide, heading)?;
        let folder = world.folder().display();
        let (public, port) = (world.public_port(), gateway.port());
        let filled = recipe
            .replace("doorward:8080", &format!("127.0.0.1:{port}"))
            .replace("app:8000", &upstream.address().to_string());
        Ok(match heading {
            "nginx" => {
                let config = format!(
                    "daemon off; worker_processes 1; pid {folder}/nginx.pid; events {{}}\n\
                     http {{ access_log off;\n\
                     client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
                     fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n\
                     scgi_temp_path {folder}/scgi;\n\
                     server {{ listen 127.0.0.1:{public}; server_name localhost;\n{filled}\n}} }}\n"
                );
                let file = write(world.folder(), "nginx.conf", &config)?;
                let mut command = Command::new("nginx");
                command.args(["-e", "stderr", "-p"]).arg(world.folder()).arg("-c").arg(file);
                Self::Real(Front::start("nginx", world, &mut command).await?)
            }
            "Caddy" => {
                let site = format!("http://localhost:{public} {{\n    bind 127.0.0.1");
                let filled = filled.replace("app.platform.example {", &site);
                let config = format!("{{\n admin off\n auto_https off\n}}\n{filled}");
                let file = write(world.folder(), "Caddyfile", &config)?;
                let mut command = Command::new("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                command.env("HOME", world.folder());
                Self::Real(Front::start("caddy", world, &mut command).await?)
            }
            "Envoy" => Self::Real(envoy(world, gateway, upstream, |recipe| recipe).await?),
            "Traefik" => {
                let Some(ask) = value(&filled, "address:") else { anyhow::bail!("no address") };
                let copied = value(&filled, "authResponseHeaders:").unwrap_or_default();
                let copied = copied.trim_matches(['[', ']']).to_owned();
                let how = How { ask: ask.parse()?, copied, sign_in: None, public, gateway: port };
                Self::StandIn(StandIn::start(how, upstream).await?)
            }
            "ingress-nginx" => {
                let annotation = |name: &str| {
                    let key = format!("nginx.ingress.kubernetes.io/{name}:");
                    value(&recipe, &key).with_context(|| format!("no {key}"))
                };
                let mut ask: Url = annotation("auth-url")?.parse()?;
                ensure!(ask.port() == Some(8080), "{ask}");
                ask.set_port(Some(port)).ok().context("no port")?;
                let how = How {
                    ask,
                    copied: annotation("auth-response-headers")?,
                    sign_in: Some(annotation("auth-signin")?),
                    public,
                    gateway: port,
                };
                Self::StandIn(StandIn::start(how, upstream).await?)
            }
            other => anyhow::bail!("no recipe {other}"),
        })
    }
}

/// The recipe for Envoy with a change to it.
pub async fn envoy(
    world: &World,
    gateway: &Gateway,
    upstream: &Echo,
    change: impl FnOnce(String) -> String,
) -> Result<Front> {
    let recipe = printed(GUIDE_OF_ENVOY, "Envoy")?;
    let port = |number: u16| format!("address: 127.0.0.1, port_value: {number} }}");
    let filled = recipe
        .replace("address: 0.0.0.0, port_value: 8443 }", &port(world.public_port()))
        .replace("address: 127.0.0.1, port_value: 8080 }", &port(gateway.port()))
        .replace("address: 127.0.0.1, port_value: 9191 }", &port(gateway.ext_authz_port()?))
        .replace("address: app, port_value: 8000 }", &port(upstream.address().port()));
    let file = write(world.folder(), "envoy.yaml", &change(filled))?;
    let mut command = Command::new(tools::installed("envoy/envoy")?);
    command.arg("-c").arg(file);
    command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]);
    Front::start("envoy", world, &mut command).await
}

/// The first block of code under a heading of a guide.
pub fn printed(guide: &str, heading: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let text = std::fs::read_to_string(root.join(guide))?;
    let section = text.split(&format!("\n## {heading}\n")).nth(1).context("no such heading")?;
    let block = section.split("\n```").nth(1).context("no code under the heading")?;
    Ok(block.split_once('\n').context("an empty block")?.1.to_owned())
}

/// The rest of the line that begins with this key.
fn value(yaml: &str, key: &str) -> Option<String> {
    yaml.lines().find_map(|line| line.trim().strip_prefix(key)).map(|value| value.trim().to_owned())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<std::path::PathBuf> {
    let file = folder.join(name);
    std::fs::write(&file, text)?;
    Ok(file)
}

/// A server that asks before each request as Traefik or ingress-nginx documents it; stops when dropped.
#[derive(Debug)]
pub struct StandIn {
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct How {
    /// URL that is asked.
    ask: Url,
    /// Names of the fields of the answer that the application gets, between commas.
    copied: String,
    /// Target for browsers that are not signed in (ingress-nginx).
    sign_in: Option<String>,
    public: u16,
    gateway: u16,
}

impl StandIn {
    async fn start(how: How, upstream: &Echo) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", how.public)).await?;
        let (how, upstream) = (Arc::new(how), upstream.address().port());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let how = Arc::clone(&how);
                // A connection that breaks fails the scenario by its missing answer.
                tokio::spawn(async move { how.serve(stream, upstream).await.ok() });
            }
        });
        Ok(Self { task })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl How {
    /// Answers one request and closes the connection.
    async fn serve(&self, mut stream: TcpStream, upstream: u16) -> Result<()> {
        let mut received = Vec::new();
        let head = loop {
            ensure!(stream.read_buf(&mut received).await? > 0, "the request breaks off");
            // No scenario sends a body that matters.
            let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(head) = end.and_then(|end| received.get(..end)) {
                break std::str::from_utf8(head)?;
            }
        };
        let (line, fields) = head.split_once("\r\n").context("no request line")?;
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let fields: Vec<&str> = fields
            .split("\r\n")
            .filter(|field| !named(field, "connection") && !named(field, "content-length"))
            .collect();
        let path = target.split('?').next().unwrap_or_default();
        let answer = if path.starts_with("/oauth2/") && path != "/oauth2/auth" {
            let forwarded = format!(
                "X-Forwarded-Host: {}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.1\r\n",
                self.host()
            );
            send(self.gateway, method, target, &fields, &forwarded).await?
        } else {
            self.guarded(method, target, &fields, upstream).await?
        };
        let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
        for (name, value) in &answer.fields {
            if !matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding") {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{}", answer.body.len(), answer.body));
        stream.write_all(text.as_bytes()).await?;
        Ok(())
    }

    async fn guarded(
        &self,
        method: &str,
        target: &str,
        fields: &[&str],
        upstream: u16,
    ) -> Result<Answer> {
        let host = self.host();
        let (asked_at, about) = match &self.sign_in {
            // Traefik, ForwardAuth: the host asked at is that of `address`.
            None => (
                format!("127.0.0.1:{}", self.gateway),
                format!(
                    "X-Forwarded-Method: {method}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n\
                     X-Forwarded-Uri: {target}\r\nX-Forwarded-For: 127.0.0.1\r\n"
                ),
            ),
            // ingress-nginx, location `/_external-auth-…` of its template.
            Some(_) => (
                self.ask.host_str().unwrap_or_default().to_owned(),
                format!(
                    "X-Original-URL: http://{host}{target}\r\nX-Original-Method: {method}\r\n\
                     X-Sent-From: nginx-ingress-controller\r\nX-Real-IP: 127.0.0.1\r\n\
                     X-Forwarded-For: 127.0.0.1\r\nX-Auth-Request-Redirect: {target}\r\n"
                ),
            ),
        };
        let ask = match self.ask.query() {
            Some(query) => format!("{}?{query}", self.ask.path()),
            None => self.ask.path().to_owned(),
        };
        let mut asked: Vec<&str> = fields.to_vec();
        asked.retain(|field| {
            !named(field, "host") && !field.to_lowercase().starts_with("x-forwarded")
        });
        let asked_at = format!("Host: {asked_at}");
        asked.push(&asked_at);
        let mut answer = send(self.gateway, "GET", &ask, &asked, &about).await?;
        match &self.sign_in {
            _ if (200..300).contains(&answer.status) => {
                let names: Vec<String> =
                    self.copied.split(',').map(|name| name.trim().to_lowercase()).collect();
                let mut kept: Vec<&str> = fields.to_vec();
                kept.retain(|field| !names.iter().any(|name| named(field, name)));
                let mut copied = String::new();
                for (name, value) in &answer.fields {
                    if names.contains(name) {
                        copied.push_str(&format!("{name}: {value}\r\n"));
                    }
                }
                send(upstream, method, target, &kept, &copied).await
            }
            // nginx: 401 and 403 are passed on, all else is an error.
            Some(sign_in) if answer.status == 401 => {
                let escaped: String =
                    url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
                let location = sign_in
                    .replace("$host", &host)
                    .replace("$escaped_request_uri", &escaped.replace('+', "%20"))
                    .replace("https://", "http://");
                Ok(Answer {
                    status: 302,
                    fields: vec![("location".to_owned(), location)],
                    body: String::new(),
                })
            }
            Some(_) => {
                answer.status = if answer.status == 403 { 403 } else { 500 };
                Ok(answer)
            }
            // Traefik passes the answer on; a relative `Location` is resolved against the address it asked.
            None => {
                for (name, value) in &mut answer.fields {
                    if name == "location" {
                        *value = self.ask.join(value)?.to_string();
                    }
                }
                Ok(answer)
            }
        }
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.public)
    }
}

fn named(field: &str, name: &str) -> bool {
    field.split(':').next().is_some_and(|field| field.eq_ignore_ascii_case(name))
}

async fn send(
    port: u16,
    method: &str,
    target: &str,
    fields: &[&str],
    more: &str,
) -> Result<Answer> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let mut wire = Wire::connect(port).await?;
    wire.send(format!("{method} {target} HTTP/1.1\r\n{fields}{more}\r\n")).await;
    wire.answer().await
}
