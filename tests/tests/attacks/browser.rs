//! A browser without a screen: keeps the gateway's cookies and follows no redirect by itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use e2e::wire::Answer;
use url::Url;

use crate::stage::{Asking, Stage};

/// One cookie jar at the gateway.
#[derive(Debug)]
pub(crate) struct Browser<'s> {
    stage: &'s Stage,
    jar: Mutex<BTreeMap<String, String>>,
}

impl<'s> Browser<'s> {
    /// An empty jar.
    pub(crate) fn new(stage: &'s Stage) -> Self {
        Self { stage, jar: Mutex::default() }
    }

    /// A browser in which this person is signed in.
    pub(crate) async fn signed_in(stage: &'s Stage, person: &str) -> Result<Self> {
        let browser = Self::new(stage);
        let answer = browser.sign_in(person).await?;
        ensure!(answer.status == 302, "{person} is not signed in: {answer:?}");
        Ok(browser)
    }

    /// Opens a page, as a person does.
    pub(crate) async fn open(&self, target: &str) -> Result<Answer> {
        self.send(self.stage.get(target).navigating()).await
    }

    /// Fetches, as a script of a page does.
    pub(crate) async fn fetch(&self, target: &str) -> Result<Answer> {
        let asking = self.stage.get(target).header("Sec-Fetch-Mode", "cors");
        self.send(asking.header("Sec-Fetch-Site", "same-origin")).await
    }

    /// Posts a form of a page of this origin.
    pub(crate) async fn post(
        &self,
        target: &str,
        origin: &str,
        form: &[(&str, &str)],
    ) -> Result<Answer> {
        self.send(self.stage.post(target).header("Origin", origin).form(form)).await
    }

    /// Sends a request with the cookies of this jar, and keeps those that come back.
    pub(crate) async fn send(&self, asking: Asking<'_>) -> Result<Answer> {
        let cookie = self.cookie();
        let asking = if cookie.is_empty() { asking } else { asking.header("Cookie", cookie) };
        let answer = asking.send().await?;
        let mut jar = self.jar();
        for line in answer.headers("set-cookie") {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').context("a nameless cookie")?;
            if value.is_empty() || line.to_ascii_lowercase().contains("max-age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        drop(jar);
        Ok(answer)
    }

    /// Begins a login; returns the provider's URL that it is redirected to.
    pub(crate) async fn begin(&self, return_to: &str) -> Result<Url> {
        self.begin_at("main", return_to).await
    }

    /// Begins a login at one of several providers.
    pub(crate) async fn begin_at(&self, issuer: &str, return_to: &str) -> Result<Url> {
        let encoded: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
        let answer = self.open(&format!("/oauth2/start?issuer={issuer}&rd={encoded}")).await?;
        ensure!(answer.status == 302, "start answers {answer:?}");
        answer.location()
    }

    /// A login from start to end; the callback's answer.
    pub(crate) async fn sign_in(&self, person: &str) -> Result<Answer> {
        self.sign_in_to(person, "/echo").await
    }

    /// The same, on the way to a page.
    pub(crate) async fn sign_in_to(&self, person: &str, return_to: &str) -> Result<Answer> {
        let at_provider = self.begin(return_to).await?;
        self.open(&callback(self.stage, &at_provider, person)?).await
    }

    /// The user that the gateway sees in this browser; `None` when signed out.
    pub(crate) async fn who(&self) -> Result<Option<String>> {
        who(self.stage, &self.cookie()).await
    }

    /// Its `Cookie` header.
    pub(crate) fn cookie(&self) -> String {
        let jar = self.jar();
        jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Name and value of its session cookie.
    pub(crate) fn session(&self) -> Result<(String, String)> {
        let jar = self.jar();
        let found = jar.iter().find(|(name, _)| name.ends_with("doorward"));
        let (name, value) = found.context("no session cookie in the jar")?;
        Ok((name.clone(), value.clone()))
    }

    /// Puts a cookie into the jar, as an attacker on a sibling host might.
    pub(crate) fn plant(&self, name: &str, value: &str) {
        self.jar().insert(name.to_owned(), value.to_owned());
    }

    fn jar(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The target that this person's browser is sent back to from the provider.
pub(crate) fn callback(stage: &Stage, at_provider: &Url, person: &str) -> Result<String> {
    let callback: Url = stage.issuer.sign_in(at_provider.as_str(), person)?.parse()?;
    Ok(format!("{}?{}", callback.path(), callback.query().unwrap_or_default()))
}

/// The same target with one parameter replaced, or left out.
pub(crate) fn with_parameter(target: &str, name: &str, value: Option<&str>) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != name);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(kept);
    if let Some(value) = value {
        query.append_pair(name, value);
    }
    format!("{path}?{}", query.finish())
}

/// The user that the gateway sees in this `Cookie` header; `None` when signed out.
pub(crate) async fn who(stage: &Stage, cookie: impl AsRef<[u8]>) -> Result<Option<String>> {
    let mut asking = stage.get("/oauth2/userinfo");
    if !cookie.as_ref().is_empty() {
        asking = asking.header("Cookie", cookie);
    }
    let answer = asking.send().await?;
    match answer.status {
        200 => Ok(answer.json()?["preferred_username"].as_str().map(str::to_owned)),
        401 => Ok(None),
        _ => anyhow::bail!("userinfo answers {answer:?}"),
    }
}
