//! `doorward healthcheck`: requests a health URL once.

use std::time::Duration;

use anyhow::{Context, bail};
use http::Request;
use oidc_core::http::Http;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use url::Url;

use cli_auth::shown;

use super::Outcome;

/// Time limit of a health check.
const LIMIT: Duration = Duration::from_secs(5);

/// Succeeds if the URL answers with 2xx.
///
/// # Errors
///
/// The answer was another one, or there was none.
pub async fn healthcheck(url: &Url) -> anyhow::Result<Outcome> {
    let http = ReqwestHttp::new(HttpOptions::default().with_timeout(LIMIT))?;
    let request = Request::get(url.as_str()).body(bytes::Bytes::new())?;
    let response = http.send(request).await.with_context(|| format!("{url} does not answer"))?;
    if !response.status().is_success() {
        let body = String::from_utf8_lossy(response.body());
        let body: Vec<String> = body.trim().lines().map(shown).collect();
        bail!("{url} answered {}: {}", response.status(), body.join("\n"));
    }
    Ok(Outcome::Fine)
}
