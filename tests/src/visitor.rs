//! A browser without a screen: keeps cookies, follows redirects one at a time, fills in Keycloak's login form.
//!
//! Scenarios that are about the gateway and not about a page use it instead of Chromium, because it is fast and shows
//! every answer on the way.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use reqwest::{
    Client, Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use url::Url;

/// A client that follows nothing, remembers nothing and goes through no proxy.
pub fn plain_client() -> Result<Client> {
    client_from(None)
}

/// The same, whose connections come from this address.
fn client_from(address: Option<IpAddr>) -> Result<Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    Ok(Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .local_address(address)
        .build()?)
}

/// Kind of the program that sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A person opens a page.
    Navigation,
    /// A script of a page fetches.
    Fetch,
    /// A program: no `Sec-Fetch-*`, no `Accept` of pages.
    Program,
}

/// One answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The method and URL of the request.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// A header field as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("{} {}: not JSON: {}", self.url, self.status, self.body))
    }

    /// `detail` of the problem document (RFC 9457 §3.1.4); an error when it is none.
    pub fn problem_detail(&self) -> Result<String> {
        let content_type = self.header("content-type");
        anyhow::ensure!(
            content_type.starts_with("application/problem+json"),
            "{} {}: no problem document but {content_type}: {}",
            self.url,
            self.status,
            self.body
        );
        Ok(self.json()?["detail"].as_str().context("no detail")?.to_owned())
    }

    /// The target of the redirect.
    pub fn location(&self) -> Result<Url> {
        let location = self.headers.get("location").with_context(|| {
            format!("{} answers {} without Location: {}", self.url, self.status, self.body)
        })?;
        Ok(self.url.join(location.to_str()?)?)
    }
}

/// A person's browser: one cookie jar.
#[derive(Debug)]
pub struct Visitor {
    client: Client,
    jar: Mutex<BTreeMap<CookieKey, String>>,
}

/// Host, path and name identify a cookie. (A browser ignores the port; so does this jar.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CookieKey {
    host: String,
    path: String,
    name: String,
}

impl Visitor {
    /// An empty jar.
    pub fn new() -> Result<Self> {
        Ok(Self { client: plain_client()?, jar: Mutex::default() })
    }

    /// An empty jar in a browser at another address of loopback: the gateway limits sign-ins by address.
    pub fn at(address: Ipv4Addr) -> Result<Self> {
        Ok(Self { client: client_from(Some(address.into()))?, jar: Mutex::default() })
    }

    /// Opens `url` as a person does, without following.
    pub async fn open(&self, url: &str) -> Result<Answer> {
        self.send(Method::GET, url, Manner::Navigation, &[], None).await
    }

    /// Fetches `url` as a script does.
    pub async fn fetch(&self, url: &str) -> Result<Answer> {
        self.send(Method::GET, url, Manner::Fetch, &[], None).await
    }

    /// Sends one request with the cookies that belong to it; keeps the cookies that come back.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        manner: Manner,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer> {
        let url: Url = url.parse().with_context(|| format!("not a URL: {url}"))?;
        let mut request = self.client.request(method, url.clone()).headers(manner.headers());
        for (name, value) in headers {
            request = request.header(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
        }
        let cookies = self.cookie_header(&url);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await?;
        self.keep(&url, answer.headers());
        Ok(Answer {
            url,
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.text().await?,
        })
    }

    /// Opens `url` and follows redirects to the first answer that is none.
    pub async fn arrive(&self, url: &str) -> Result<Answer> {
        let answer = self.open(url).await?;
        self.follow(answer).await
    }

    /// Follows redirects to the first answer that is none.
    pub async fn follow(&self, mut answer: Answer) -> Result<Answer> {
        for _ in 0..15 {
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            answer = self.open(answer.location()?.as_str()).await?;
        }
        bail!("redirect loop; it last asked {}", answer.url)
    }

    /// Opens `url`, signs in at Keycloak's form, and returns where that ends.
    pub async fn log_in(&self, url: &str, user: &str) -> Result<Answer> {
        let form = self.arrive(url).await?;
        let answer = self.submit_login(&form, user).await?;
        self.follow(answer).await
    }

    /// Submits Keycloak's login form for a user of the fixture (the password is the name); does not follow.
    pub async fn submit_login(&self, form: &Answer, user: &str) -> Result<Answer> {
        let action =
            attribute(&form.body, "id=\"kc-form-login\"", "action").with_context(|| {
                format!("{} {} is not Keycloak's login form: {}", form.url, form.status, form.body)
            })?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("username", user)
            .append_pair("password", user)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, &action, Manner::Navigation, &headers, Some(body)).await
    }

    /// The `Cookie` header this visitor sends to `url`.
    pub fn cookies(&self, url: &str) -> Result<String> {
        Ok(self.cookie_header(&url.parse()?))
    }

    /// Forgets every cookie of `host`.
    pub fn forget(&self, host: &str) {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| key.host != host);
    }

    /// Every cookie value in the jar, none of which may be in a log.
    pub fn cookie_values(&self) -> Vec<String> {
        let jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        jar.values().filter(|value| value.len() > 15).cloned().collect()
    }

    fn cookie_header(&self, url: &Url) -> String {
        let jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        let host = url.host_str().unwrap_or_default();
        jar.iter()
            .filter(|(key, _)| key.host == host && path_matches(url.path(), &key.path))
            .map(|(key, value)| format!("{}={value}", key.name))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn keep(&self, url: &Url, headers: &HeaderMap) {
        let mut jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        for line in headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let mut key = CookieKey {
                host: url.host_str().unwrap_or_default().to_owned(),
                path: "/".to_owned(),
                name: name.to_owned(),
            };
            let mut expired = false;
            for (attribute, value) in parts.filter_map(|part| part.split_once('=')) {
                match attribute.to_ascii_lowercase().as_str() {
                    "path" => value.clone_into(&mut key.path),
                    "max-age" => expired |= value.parse::<i64>().is_ok_and(|age| age <= 0),
                    "expires" => expired |= value.contains("1970"),
                    _ => {}
                }
            }
            if expired || value.is_empty() {
                jar.remove(&key);
            } else {
                jar.insert(key, value.trim_matches('"').to_owned());
            }
        }
    }
}

impl Manner {
    fn headers(self) -> HeaderMap {
        let fields: &[(&'static str, &'static str)] = match self {
            Self::Navigation => &[
                ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("sec-fetch-site", "none"),
                ("upgrade-insecure-requests", "1"),
            ],
            Self::Fetch => &[
                ("accept", "*/*"),
                ("sec-fetch-mode", "cors"),
                ("sec-fetch-dest", "empty"),
                ("sec-fetch-site", "same-origin"),
            ],
            Self::Program => &[("accept", "*/*")],
        };
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }
}

fn path_matches(path: &str, scope: &str) -> bool {
    path == scope
        || (path.starts_with(scope)
            && (scope.ends_with('/') || path.as_bytes().get(scope.len()) == Some(&b'/')))
}

/// The value of `name` in the tag that holds `anchor`, its `&amp;` decoded.
pub fn attribute(html: &str, anchor: &str, name: &str) -> Option<String> {
    let at = html.find(anchor)?;
    let start = html.get(..at)?.rfind('<')?;
    let tag = html.get(start..)?;
    let tag = tag.get(..tag.find('>')?)?;
    let value = tag.split(&format!("{name}=\"")).nth(1)?;
    Some(value.get(..value.find('"')?)?.replace("&amp;", "&"))
}

/// The token of the form on a page of the gateway.
pub fn form_token(page: &str) -> Result<String> {
    attribute(page, "name=\"csrf\"", "value").context("the page has no form with a token")
}
