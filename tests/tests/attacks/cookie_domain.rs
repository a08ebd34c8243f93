//! One session for the hosts of a domain (`session.dangerous_cookie_domain`).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use e2e::{visitor::form_token, wire::Answer};
use url::{Url, form_urlencoded};

use crate::stage::{Setup, Stage};

const APP: &str = "app.lab.localhost";
const CONSOLE: &str = "console.lab.localhost";

async fn stage(name: &str) -> Result<Stage> {
    let callback = |host: &str| format!("https://{host}/oauth2/callback");
    Setup::new(name)
        .with_client(|client| client.redirect_uri(callback(APP)).redirect_uri(callback(CONSOLE)))
        .with_routes(
            "console:\n  match: { host: console.lab.localhost, path: / }\n  upstream: UPSTREAM\n  access: [{ allow: \
             signed_in }]\n",
        )
        .with_plan(|plan| {
            plan.with_public_url("https://app.lab.localhost")
                .with_session_setting("dangerous_cookie_domain: lab.localhost")
        })
        .start()
        .await
}

/// A browser that keeps cookies by RFC 6265bis §5.7, and sends each to the hosts it is for.
struct Visitor<'s> {
    stage: &'s Stage,
    /// By name and host or domain; a domain begins with a dot.
    jar: BTreeMap<(String, String), String>,
}

impl<'s> Visitor<'s> {
    fn new(stage: &'s Stage) -> Self {
        Self { stage, jar: BTreeMap::new() }
    }

    fn cookies(&self, host: &str) -> String {
        let goes = |place: &str| place == host || place.starts_with('.') && host.ends_with(place);
        let sent = self.jar.iter().filter(|((_, place), _)| goes(place));
        sent.map(|((name, _), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    async fn send(&mut self, host: &str, head: &str, body: &str) -> Result<Answer> {
        let cookies = self.cookies(host);
        let cookies = if cookies.is_empty() { cookies } else { format!("Cookie: {cookies}\r\n") };
        let length = body.len();
        let mut wire = self.stage.connect().await?;
        let text = format!(
            "{head}\r\nHost: {host}\r\n{cookies}Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
             Sec-Fetch-Site: same-origin\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        wire.send(text.as_bytes()).await;
        let answer = wire.answer().await?;
        for line in answer.headers("set-cookie") {
            let (name, value) = line
                .split(';')
                .next()
                .and_then(|it| it.split_once('='))
                .context("a nameless cookie")?;
            let domain = line.split("; ").find_map(|part| part.strip_prefix("Domain="));
            if name.starts_with("__Host-") {
                ensure!(domain.is_none(), "a browser drops {line}");
            }
            let place = domain.map_or(host.to_owned(), |domain| format!(".{domain}"));
            match line.contains("Max-Age=0") {
                true => drop(self.jar.remove(&(name.to_owned(), place))),
                false => drop(self.jar.insert((name.to_owned(), place), value.to_owned())),
            }
        }
        Ok(answer)
    }

    async fn open(&mut self, host: &str, target: &str) -> Result<Answer> {
        self.send(host, &format!("GET {target} HTTP/1.1"), "").await
    }

    async fn sign_in(&mut self, host: &str) -> Result<()> {
        let begun = self.open(host, "/oauth2/start?rd=/echo").await?;
        let callback: Url =
            self.stage.issuer.sign_in(begun.location()?.as_str(), "alice")?.parse()?;
        ensure!(callback.host_str() == Some(host), "{callback}");
        let target = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
        let answer = self.open(host, &target).await?;
        ensure!(answer.status == 302, "{answer:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sibling_hosts_share_the_session_and_no_other_does() -> Result<()> {
    let stage = stage("cookie-domain-share").await?;
    let mut visitor = Visitor::new(&stage);
    assert_eq!(visitor.open(CONSOLE, "/echo").await?.status, 302, "signed out");
    visitor.sign_in(APP).await?;
    let kept = visitor.cookies(APP);
    ensure!(kept.starts_with("__Secure-doorward="), "{kept}");
    assert_eq!(visitor.cookies(CONSOLE), kept, "the login's own cookies are gone");
    for host in [APP, CONSOLE] {
        assert_eq!(visitor.open(host, "/echo").await?.status, 200, "{host}");
        let seen = stage.upstream.last("/echo")?;
        assert_eq!(seen.value("cookie"), None, "{host}: withheld from its upstream");
        let also = format!("GET /echo HTTP/1.1\r\nX-Note: {host}");
        assert_eq!(visitor.send(host, &also, "").await?.status, 200);
    }
    for other in ["localhost", "lab.localhost.evil.example", "evillab.localhost"] {
        assert_eq!(visitor.cookies(other), "", "{other}");
    }
    // Another site is not served at all.
    assert_eq!(visitor.open("other.example", "/echo").await?.status, 421);
    stage.finish(&[&kept])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_ends_the_session_on_every_host() -> Result<()> {
    let stage = stage("cookie-domain-end").await?;
    let mut visitor = Visitor::new(&stage);
    visitor.sign_in(CONSOLE).await?;
    let kept = visitor.cookies(APP);
    assert_eq!(visitor.open(APP, "/echo").await?.status, 200);
    let page = visitor.open(APP, "/oauth2/sign_out").await?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("csrf", &form_token(&page.body)?)
        .finish();
    let head = format!(
        "POST /oauth2/sign_out HTTP/1.1\r\nOrigin: https://{APP}\r\nContent-Type: application/x-www-form-urlencoded"
    );
    assert_eq!(visitor.send(APP, &head, &form).await?.status, 303);
    for host in [APP, CONSOLE] {
        assert_eq!(visitor.cookies(host), "", "{host}: the cookie is removed");
        assert_eq!(visitor.open(host, "/echo").await?.status, 302, "{host}");
        // A copy of the cookie opens nothing either.
        let mut copy = Visitor::new(&stage);
        let (name, value) = kept.split_once('=').context("no cookie")?;
        copy.jar.insert((name.to_owned(), host.to_owned()), value.to_owned());
        assert_eq!(copy.open(host, "/echo").await?.status, 302, "{host}");
    }
    stage.finish(&[&kept])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cookie_of_a_sibling_host_signs_no_user_in() -> Result<()> {
    let stage = stage("cookie-domain-tossed").await?;
    let (mut alice, mut mallory) = (Visitor::new(&stage), Visitor::new(&stage));
    alice.sign_in(APP).await?;
    mallory.sign_in(CONSOLE).await?;
    let planted = mallory.cookies(CONSOLE);
    let (name, value) = planted.split_once('=').context("no cookie")?;
    // Set by a server of the domain, for this host alone.
    alice.jar.insert((name.to_owned(), APP.to_owned()), value.to_owned());
    assert_eq!(alice.open(APP, "/echo").await?.status, 302, "two sessions are none");
    // A prefix that the gateway does not use is not read.
    let mut host_only = Visitor::new(&stage);
    host_only.jar.insert((name.replace("__Secure-", "__Host-"), APP.to_owned()), value.to_owned());
    assert_eq!(host_only.open(APP, "/echo").await?.status, 302);
    stage.finish(&[&planted])
}
