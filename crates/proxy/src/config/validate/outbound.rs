//! Checks of `outbound`: its address, and the targets.

use std::collections::BTreeSet;

use http_canonical::{CanonicalPath, Keep};
use url::Url;

use super::{Findings, at, exchange, is_loopback, upstream_tls};
use crate::config::problem::KeyPath;
use crate::config::{
    ClientAuth, Config, IssuerConfig, ListenAddr, OutboundConfig, OutboundGrant, OutboundTarget,
    UpstreamTlsConfig, UpstreamUrl,
};

/// Checks everything. `issuers` are the names written in the file, also of issuers that have problems.
pub(super) fn check(config: &Config, issuers: &BTreeSet<String>, found: &mut Findings) {
    let Some(outbound) = &config.outbound else { return };
    let here = at(&["outbound"]);
    address(&here, config, outbound, found);
    if outbound.targets.is_empty() {
        let message = "missing target; write `targets: { churn: { url: https://churn.internal, issuer: main, \
                       audience: churn } }`, or omit `outbound`";
        found.problem(here.clone(), message);
    }
    for (name, target) in &outbound.targets {
        let here = here.key("targets").key(name);
        found.name(here.clone(), name);
        if name == "token" || name.bytes().all(|byte| byte == b'.') {
            let message = format!(
                "invalid name `{name}`: the path `/{name}` has another meaning; choose another name"
            );
            found.problem(here.clone(), message);
        }
        url(&here.key("url"), &target.url, found);
        one(&here, config, issuers, target, found);
    }
}

fn address(here: &KeyPath, config: &Config, outbound: &OutboundConfig, found: &mut Findings) {
    match &outbound.listen {
        ListenAddr::Tcp(address) if !address.ip().to_canonical().is_loopback() => {
            let message = format!(
                "invalid address `{address}`: every program that reaches this listener uses the gateway's tokens; write a loopback \
                 address, such as `127.0.0.1:8081`, or a socket, such as `unix:/run/doorward-outbound.sock`"
            );
            found.problem(here.key("listen"), message);
        }
        ListenAddr::Tcp(_) if outbound.mode.is_some() => {
            let message = "invalid `mode`: only a unix socket has permissions; omit it, or listen on a socket";
            found.problem(here.key("mode"), message);
        }
        ListenAddr::Tcp(_) | ListenAddr::Unix(_) => {}
    }
    if let Some(mode) = outbound.mode.filter(|mode| mode.0 & 0o007 != 0) {
        let message = format!(
            "the mode `{mode}` lets every user of this machine use the gateway's tokens; write `\"0660\"` and give the \
             programs a group"
        );
        found.warning(here.key("mode"), message);
    }
    let admin = ListenAddr::Tcp(config.admin.listen);
    let free = |address: &ListenAddr| matches!(address, ListenAddr::Tcp(tcp) if tcp.port() == 0);
    if !free(&outbound.listen)
        && (config.listen.contains(&outbound.listen) || outbound.listen == admin)
    {
        let message = format!(
            "invalid address `{}`: another listener of the gateway has it; choose another",
            outbound.listen
        );
        found.problem(here.key("listen"), message);
    }
}

fn url(here: &KeyPath, url: &Url, found: &mut Findings) {
    if !matches!(url.scheme(), "http" | "https") {
        let message = format!("unsupported scheme `{}`; use `https`", url.scheme());
        return found.problem(here.clone(), message);
    }
    let origin = url.origin().ascii_serialization();
    if let Err(error) = origin.parse::<UpstreamUrl>() {
        return found.problem(here.clone(), error.to_string());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message = "invalid URL: it holds a user name or a password; remove them, the gateway sends a token";
        found.problem(here.clone(), message);
    }
    if url.query().is_some() || url.fragment().is_some() {
        let message =
            "invalid URL: it has a query or a fragment; remove everything from `?` or `#` on";
        found.problem(here.clone(), message);
    }
    if let Err(refused) = CanonicalPath::parse(url.path(), Keep::default()) {
        found.problem(
            here.clone(),
            format!("invalid path `{}`: {refused}; write a plain one", url.path()),
        );
    }
    if url.scheme() == "http" && !is_loopback(url) {
        found.warning(here.clone(), "plain http sends the tokens unencrypted; use `https`");
    }
}

fn one(
    here: &KeyPath,
    config: &Config,
    issuers: &BTreeSet<String>,
    target: &OutboundTarget,
    found: &mut Findings,
) {
    if let Some(audience) = &target.audience {
        exchange::audience(&here.key("audience"), audience, found);
    }
    exchange::scopes(&here.key("scopes"), &target.scopes, found);
    let timeouts = here.key("timeouts");
    found.duration(timeouts.key("connect"), target.timeouts.connect);
    found.duration(timeouts.key("response_head"), target.timeouts.response_head);
    found.duration(timeouts.key("idle"), target.timeouts.idle);
    if target.tls != UpstreamTlsConfig::default() && target.url.scheme() != "https" {
        let message = "invalid `tls`: the service does not use TLS; write its `url` as `https:`";
        found.problem(here.key("tls"), message);
    }
    upstream_tls::keys(&here.key("tls"), &target.tls, found);
    if !issuers.contains(&target.issuer) {
        let names: Vec<&str> = issuers.iter().map(String::as_str).collect();
        let message = format!(
            "unknown issuer `{}`; write one of `issuers`: {}",
            target.issuer,
            names.join(", ")
        );
        return found.problem(here.key("issuer"), message);
    }
    let Some(issuer) = config.issuers.get(&target.issuer) else { return };
    client(here, issuer, target, found);
    if target.grant == OutboundGrant::Exchange {
        if target.audience.is_none() {
            let message = "missing `audience`: an exchange is for another audience; write its name at the issuer";
            found.problem(here.key("audience"), message);
        }
        if issuer.audience.is_empty() {
            let message = format!(
                "missing `issuers.{}.audience`: only a token for the gateway is exchanged, and without an audience none \
                 is; write one, such as `audience: [gateway]`",
                target.issuer
            );
            found.problem(here.key("grant"), message);
        }
    }
}

fn client(here: &KeyPath, issuer: &IssuerConfig, target: &OutboundTarget, found: &mut Findings) {
    let name = &target.issuer;
    match &target.client {
        None if issuer.client_id.is_none() || issuer.client_auth == ClientAuth::None => {
            let message = format!(
                "missing `client`: the gateway has no `client_id` with `client_auth` at `issuers.{name}`; add them there, or \
                 write `client: {{ id: batch, auth: {{ secret: {{ file: /run/secrets/batch }} }} }}` here"
            );
            found.problem(here.clone(), message);
        }
        None => {}
        Some(client) => {
            let here = here.key("client");
            if client.id.trim().is_empty() {
                found.problem(
                    here.key("id"),
                    "invalid client: its id is empty; write the id at the issuer",
                );
            }
            match client.auth {
                ClientAuth::None => {
                    let message = "invalid `auth`: a public client gets no tokens of its own; write such as \
                                   `secret: { file: /run/secrets/batch }`";
                    found.problem(here.key("auth"), message);
                }
                ClientAuth::Mtls(_) => {
                    let message = format!(
                        "unsupported `mtls` for a target's client: the certificate belongs to the connection to the issuer; \
                         write it as `issuers.{name}.client_auth` and omit `client`"
                    );
                    found.problem(here.key("auth"), message);
                }
                _ => {}
            }
        }
    }
}
