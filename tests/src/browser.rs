//! Chromium, driven by `fixtures/driver.mjs` over lines of JSON.
//!
//! A [`Browser`] is one Chromium; a [`Person`] is one cookie jar in it; a [`Page`] is one tab.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    sync::Mutex,
    time::timeout,
};

use crate::{program, tools};

/// Longer than the driver's own limits, whose errors say more.
const LIMIT: Duration = Duration::from_secs(130);

/// For a page that a provider's redirects lead to.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Chromium; gone when the last page and person of it are.
#[derive(Debug, Clone)]
pub struct Browser(Arc<Driver>);

#[derive(Debug)]
struct Driver {
    wire: Mutex<Wire>,
    next: AtomicU64,
    /// Ends when the driver's standard input closes, which happens when this is dropped.
    _child: Child,
}

#[derive(Debug)]
struct Wire {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Starts Chromium with a fresh profile; screenshots and the driver's log go to `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        let log = std::fs::File::create(folder.join("browser.log"))?;
        let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .context("no Chromium; run `bash tests/install.sh`")?;
        let mut command = Command::new("node");
        program::prepare(&mut command)?
            .arg(tools::fixture("driver.mjs"))
            .arg(tools::installed("node/node_modules/playwright-core")?)
            .arg(chromium)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = tokio::process::Command::from(command).spawn()?;
        let commands = child.stdin.take().context("no standard input")?;
        let answers = child.stdout.take().context("no standard output")?;
        let mut wire = Wire { commands, answers: BufReader::new(answers).lines() };
        wire.answer(0).await.context("Chromium did not start; see browser.log")?;
        Ok(Self(Arc::new(Driver {
            wire: Mutex::new(wire),
            next: AtomicU64::new(1),
            _child: child,
        })))
    }

    /// A person with an empty cookie jar.
    pub async fn person(&self) -> Result<Person> {
        self.person_with(json!({})).await
    }

    /// A person whose browser has options of Playwright's `newContext`, such as `colorScheme` or `viewport`.
    pub async fn person_with(&self, options: Value) -> Result<Person> {
        let name = format!("person-{}", self.0.number());
        self.0.run(json!({ "do": "new_context", "context": name, "options": options })).await?;
        Ok(Person { driver: Arc::clone(&self.0), name })
    }
}

impl Driver {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn run(&self, mut command: Value) -> Result<Value> {
        let id = self.number();
        command["id"] = json!(id);
        let mut wire = self.wire.lock().await;
        wire.commands.write_all(format!("{command}\n").as_bytes()).await?;
        timeout(LIMIT, wire.answer(id)).await.with_context(|| format!("no answer to {command}"))?
    }
}

impl Wire {
    async fn answer(&mut self, id: u64) -> Result<Value> {
        loop {
            let line = self.answers.next_line().await?.context("the driver ended")?;
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer["id"] != json!(id) {
                // The late answer to a command that was given up.
                continue;
            }
            if let Some(error) = answer["error"].as_str() {
                bail!("{error}");
            }
            return Ok(answer["ok"].take());
        }
    }
}

/// One cookie jar.
#[derive(Debug, Clone)]
pub struct Person {
    driver: Arc<Driver>,
    name: String,
}

impl Person {
    /// A new tab.
    pub async fn tab(&self) -> Result<Page> {
        let id = format!("page-{}", self.driver.number());
        let command = json!({ "do": "new_page", "context": self.name, "page": id });
        self.driver.run(command).await?;
        Ok(Page { driver: Arc::clone(&self.driver), id })
    }

    /// A new tab at `url`, after signing in at Keycloak's form as `user`.
    pub async fn sign_in(&self, url: &str, user: &str) -> Result<Page> {
        let page = self.tab().await?;
        page.goto(url).await?;
        page.log_in(user).await?;
        page.wait_for_url(url, PATIENCE).await?;
        Ok(page)
    }

    /// Every cookie, as Playwright describes it: name, value, domain, path, expires, httpOnly, secure, sameSite.
    pub async fn cookies(&self) -> Result<Vec<Value>> {
        let cookies = self.driver.run(json!({ "do": "cookies", "context": self.name })).await?;
        Ok(cookies.as_array().cloned().unwrap_or_default())
    }

    /// A `Cookie` header with what this person holds for `host`.
    pub async fn cookie_header(&self, host: &str) -> Result<String> {
        let cookies = self.cookies().await?;
        let pairs = cookies.iter().filter(|cookie| cookie["domain"] == host).filter_map(|cookie| {
            Some(format!("{}={}", cookie["name"].as_str()?, cookie["value"].as_str()?))
        });
        Ok(pairs.collect::<Vec<_>>().join("; "))
    }

    /// Forgets every cookie.
    pub async fn clear_cookies(&self) -> Result<()> {
        self.driver.run(json!({ "do": "clear_cookies", "context": self.name })).await.map(drop)
    }
}

/// One tab.
#[derive(Debug, Clone)]
pub struct Page {
    driver: Arc<Driver>,
    id: String,
}

impl Page {
    /// Opens a URL and returns the final answer's status.
    pub async fn goto(&self, url: &str) -> Result<u16> {
        let status = self.run("goto", json!({ "url": url })).await?;
        let status = status.as_u64().context("no answer")?;
        Ok(u16::try_from(status)?)
    }

    /// The URL of the tab.
    pub async fn url(&self) -> Result<String> {
        self.string("url", json!({})).await
    }

    /// The visible text of the first element that matches.
    pub async fn text(&self, selector: &str) -> Result<String> {
        self.string("text", json!({ "selector": selector })).await
    }

    /// The document as it is now.
    pub async fn html(&self) -> Result<String> {
        self.string("html", json!({})).await
    }

    /// Fills in a field.
    pub async fn fill(&self, selector: &str, value: &str) -> Result<()> {
        self.run("fill", json!({ "selector": selector, "value": value })).await.map(drop)
    }

    /// Clicks the first element that matches.
    pub async fn click(&self, selector: &str) -> Result<()> {
        self.run("click", json!({ "selector": selector })).await.map(drop)
    }

    /// Presses a key, such as `Shift+Enter`.
    pub async fn press(&self, key: &str) -> Result<()> {
        self.run("press", json!({ "key": key })).await.map(drop)
    }

    /// Types text where the focus is.
    pub async fn type_text(&self, value: &str) -> Result<()> {
        self.run("type", json!({ "value": value })).await.map(drop)
    }

    /// Waits until an element is there and visible.
    pub async fn wait_for(&self, selector: &str, limit: Duration) -> Result<()> {
        let ms = limit.as_millis();
        self.run("wait_for", json!({ "selector": selector, "ms": ms })).await.map(drop)
    }

    /// Waits until an element that matches holds a text.
    pub async fn wait_for_text(&self, selector: &str, value: &str, limit: Duration) -> Result<()> {
        let ms = limit.as_millis();
        let arguments = json!({ "selector": selector, "value": value, "ms": ms });
        self.run("wait_for_text", arguments).await.map(drop)
    }

    /// Waits until the tab is at a URL that begins with `prefix`, and returns the URL.
    pub async fn wait_for_url(&self, prefix: &str, limit: Duration) -> Result<String> {
        let ms = limit.as_millis();
        self.string("wait_for_url", json!({ "prefix": prefix, "ms": ms })).await
    }

    /// The number of elements that match.
    pub async fn count(&self, selector: &str) -> Result<u64> {
        let count = self.run("count", json!({ "selector": selector })).await?;
        count.as_u64().context("not a number")
    }

    /// Runs a script in the page; a promise is awaited.
    pub async fn eval(&self, script: &str) -> Result<Value> {
        self.run("eval", json!({ "script": script })).await
    }

    /// Lines that the page wrote to its console, script errors and refused content included.
    pub async fn console(&self) -> Result<Vec<String>> {
        self.strings("console").await
    }

    /// Every answer so far: status, method, URL.
    pub async fn answers(&self) -> Result<Vec<String>> {
        self.strings("answers").await
    }

    /// The window's size.
    pub async fn viewport(&self, width: u32, height: u32) -> Result<()> {
        self.run("viewport", json!({ "width": width, "height": height })).await.map(drop)
    }

    /// `light` or `dark`.
    pub async fn colour_scheme(&self, scheme: &str) -> Result<()> {
        self.run("colour_scheme", json!({ "scheme": scheme })).await.map(drop)
    }

    /// Saves a picture of the page and returns its path.
    pub async fn screenshot(&self, name: &str) -> Result<String> {
        self.string("screenshot", json!({ "name": name })).await
    }

    /// Closes the tab.
    pub async fn close(&self) -> Result<()> {
        self.run("close", json!({})).await.map(drop)
    }

    /// Signs in at Keycloak's form with a user of the fixture, whose password is the name.
    pub async fn log_in(&self, user: &str) -> Result<()> {
        self.wait_for("#kc-form-login", Duration::from_secs(30)).await?;
        self.fill("#username", user).await?;
        self.fill("#password", user).await?;
        self.click("#kc-login").await
    }

    async fn run(&self, verb: &str, mut arguments: Value) -> Result<Value> {
        arguments["do"] = json!(verb);
        arguments["page"] = json!(self.id);
        self.driver.run(arguments).await
    }

    async fn string(&self, verb: &str, arguments: Value) -> Result<String> {
        let value = self.run(verb, arguments).await?;
        Ok(value.as_str().with_context(|| format!("{verb} answers {value}"))?.to_owned())
    }

    async fn strings(&self, verb: &str) -> Result<Vec<String>> {
        let value = self.run(verb, json!({})).await?;
        let lines = value.as_array().with_context(|| format!("{verb} answers {value}"))?;
        Ok(lines.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect())
    }
}
