//! `doorward key`: makes, lists and revokes API keys, by way of the admin listener of the running gateway.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use cli_auth::shown;
use http::{Method, Request, StatusCode, header};
use oidc_core::Secret;
use oidc_core::http::Http;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use serde_json::{Value, json};
use url::Url;

use super::Outcome;
use crate::config::Config;

/// Time limit of a request.
const LIMIT: Duration = Duration::from_secs(15);

/// API keys, for programs that only know a password or a fixed bearer token.
#[derive(Debug, Args)]
pub struct Key {
    #[command(subcommand)]
    action: Action,
    /// The configuration of the running gateway, which names its admin listener
    #[arg(long, short, global = true, value_name = "FILE", default_value = "doorward.yaml")]
    config: PathBuf,
    /// Address of the admin listener, if it is reached by another one than the configuration names
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<Url>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key, and print it once
    Create {
        #[command(flatten)]
        owner: OwnerArgs,
        /// A route on which the key counts; may be repeated
        #[arg(long = "route", value_name = "NAME", required = true)]
        routes: Vec<String>,
        /// Time until the key expires, such as 90d
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires: Duration,
        /// A note that tells the key from others
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
    },
    /// List all keys
    List,
    /// Revoke one key, or all keys of an owner
    Revoke {
        /// The identifier of the key
        #[arg(value_name = "ID", conflicts_with_all = ["user", "client"], required_unless_present_any = ["user", "client"])]
        id: Option<String>,
        #[command(flatten)]
        owner: OptionalOwner,
    },
}

#[derive(Debug, Args)]
struct OwnerArgs {
    /// A person, by user name or subject; they must have signed in once
    #[arg(
        long = "for",
        value_name = "USER",
        id = "user",
        conflicts_with = "client",
        required_unless_present = "client"
    )]
    user: Option<String>,
    /// A client of the issuer, by its name
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// The owner's issuer, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

#[derive(Debug, Args)]
struct OptionalOwner {
    /// All keys of a person, by user name or subject
    #[arg(long = "for", value_name = "USER", id = "user", conflicts_with = "client")]
    user: Option<String>,
    /// All keys of a client, by its name
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// The owner's issuer, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

impl Key {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// The configuration cannot be read, the gateway does not answer, or it refuses.
    pub async fn run(&self, out: &mut impl Write) -> anyhow::Result<Outcome> {
        let admin = self.admin()?;
        match &self.action {
            Action::Create { owner, routes, expires, label } => {
                let body = json!({
                    "user": owner.user,
                    "client": owner.client,
                    "issuer": owner.issuer,
                    "routes": routes,
                    "expires_in": expires.as_secs(),
                    "label": label,
                });
                let made = admin.ask(Method::POST, "keys", &[], body.to_string()).await?;
                self.print_made(&made, out)?;
            }
            Action::List => {
                let listed = admin.ask(Method::GET, "keys", &[], String::new()).await?;
                if self.json {
                    writeln!(out, "{listed:#}")?;
                } else {
                    print_list(&listed, out)?;
                }
            }
            Action::Revoke { id, owner } => {
                let revoked = match id {
                    Some(id) => {
                        let path = format!("keys/{}", segment(id)?);
                        admin.ask(Method::DELETE, &path, &[], String::new()).await?
                    }
                    None => {
                        let query: Vec<(&str, &str)> = [
                            ("user", &owner.user),
                            ("client", &owner.client),
                            ("issuer", &owner.issuer),
                        ]
                        .into_iter()
                        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
                        .collect();
                        admin.ask(Method::DELETE, "keys", &query, String::new()).await?
                    }
                };
                if self.json {
                    writeln!(out, "{revoked:#}")?;
                } else {
                    let ids = revoked.get("revoked").and_then(Value::as_array);
                    for id in ids.into_iter().flatten().filter_map(Value::as_str) {
                        writeln!(out, "revoked {}", shown(id))?;
                    }
                }
            }
        }
        Ok(Outcome::Fine)
    }

    fn print_made(&self, made: &Value, out: &mut impl Write) -> anyhow::Result<()> {
        if self.json {
            writeln!(out, "{made:#}")?;
            return Ok(());
        }
        let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default();
        // The key alone, so that a script can keep it; the rest is for people.
        writeln!(out, "{}", shown(text("key")))?;
        let _ = writeln!(
            std::io::stderr(),
            "key {} for {} ({}), until {}; it is not shown again",
            shown(text("id")),
            shown(text("name")),
            shown(text("subject")),
            shown(text("expires_at")),
        );
        Ok(())
    }

    /// The admin listener that the configuration names.
    fn admin(&self) -> anyhow::Result<AdminApi> {
        let loaded = Config::load(&self.config)
            .map_err(|problems| anyhow::anyhow!("the configuration has problems\n{problems}"))?;
        let config = loaded.config.admin;
        let url = match &self.admin {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{}/", reachable(config.listen)))?,
        };
        Ok(AdminApi { url, token: config.read_token()? })
    }
}

/// The address at which a listener is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn segment(id: &str) -> anyhow::Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || !id.bytes().all(plain) {
        bail!("invalid ID: write the identifier that `doorward key list` shows");
    }
    Ok(id)
}

/// The admin listener of a gateway.
struct AdminApi {
    url: Url,
    token: Option<Secret>,
}

impl AdminApi {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: String,
    ) -> anyhow::Result<Value> {
        let mut url = self.url.join(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let http = ReqwestHttp::new(HttpOptions::default().with_timeout(LIMIT))?;
        let mut request = Request::builder().method(method).uri(url.as_str());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Bytes::from(body))?;
        let answer = http
            .send(request)
            .await
            .with_context(|| format!("{} does not answer; is the gateway running?", self.url))?;
        let text = String::from_utf8_lossy(answer.body());
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => {
                Ok(serde_json::from_str(&text).context("the answer is not JSON")?)
            }
            status => bail!("{status}: {}", shown(text.trim())),
        }
    }
}

fn print_list(listed: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    let keys = listed.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    writeln!(
        out,
        "{:<16}  {:<9}  {:<10}  {:<20}  {:<20}  ROUTES",
        "ID", "STATE", "EXPIRES", "LAST USED", "OWNER"
    )?;
    for key in keys {
        let text = |name: &str| shown(key.get(name).and_then(Value::as_str).unwrap_or("-"));
        let routes = key.get("routes").and_then(Value::as_array).cloned().unwrap_or_default();
        let routes: Vec<_> = routes.iter().filter_map(Value::as_str).map(shown).collect();
        let expires: String = text("expires_at").chars().take(10).collect();
        writeln!(
            out,
            "{:<16}  {:<9}  {expires:<10}  {:<20}  {:<20}  {}",
            text("id"),
            text("state"),
            text("last_used"),
            text("name"),
            routes.join(","),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.1:9090", "10.0.0.1:9090"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
        for id in ["", "a/b", "../sessions", "a?b", "a%2f"] {
            assert!(segment(id).is_err(), "{id}");
        }
    }
}
