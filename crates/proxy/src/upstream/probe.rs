//! One request to each target, outside of any exchange: for checks, not for traffic.

use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_canonical::CanonicalPath;
use tokio::time::timeout;

use super::{Target, Upload, Upstream, explain};

impl Upstream {
    /// Asks each target with `HEAD` for a path, as a request for this host would reach it: its name, and the status of its answer
    /// or the reason there is none. Each step may take so long: the connection, TLS included, and then the answer.
    pub async fn probe(
        &self,
        host: &str,
        path: &CanonicalPath,
        within: (Duration, Duration),
    ) -> Vec<(String, Result<StatusCode, String>)> {
        let path = self.rewritten(path).into_owned();
        let mut answers = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            let answer = ask(target, &Method::HEAD, host, &path, within).await;
            answers.push((target.name().to_owned(), answer));
        }
        answers
    }
}

/// One request on a connection of its own: the status of its answer, or the reason there is none.
pub(super) async fn ask(
    target: &Target,
    method: &Method,
    host: &str,
    path: &str,
    (connect, answer): (Duration, Duration),
) -> Result<StatusCode, String> {
    let mut lease = target.lease(connect, true).await.map_err(|error| error.to_string())?;
    let request = request(target, method, host, path).map_err(|error| error.to_string())?;
    match timeout(answer, lease.send(request)).await {
        Ok(Ok(response)) => Ok(response.status()),
        Ok(Err(error)) => Err(explain(error.error())),
        Err(_) => Err(format!("no answer within {}", humantime::format_duration(answer))),
    }
}

fn request(
    target: &Target,
    method: &Method,
    host: &str,
    path: &str,
) -> Result<Request<Upload>, http::Error> {
    let mut request = Request::new(Upload::Empty);
    *request.method_mut() = method.clone();
    if target.is_http2() {
        let scheme = if target.is_tls() { "https" } else { "http" };
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() =
            Uri::builder().scheme(scheme).authority(host).path_and_query(path).build()?;
    } else {
        *request.uri_mut() = Uri::try_from(path)?;
        request.headers_mut().insert(header::HOST, HeaderValue::try_from(host)?);
    }
    Ok(request)
}
