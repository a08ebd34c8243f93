//! A minimal HTTP server for a browser on this machine: one request per connection, `GET` only,
//! bounded in size and time.
//!
//! A browser opens connections that it never uses and asks for icons. Connections are therefore
//! read concurrently, and everything but the redirect URI gets 404, for any host name.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use url::Url;

use super::page::Page;

/// Size limit of a request head, in bytes: a code may be long, and so may other programs' cookies
/// on this host.
const MAX_HEAD: usize = 64 * 1024;

/// Limit on the number of header fields.
const MAX_FIELDS: usize = 100;

/// Time limit to receive a head, and to send an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that are read at the same time; more wait.
const MAX_CONNECTIONS: usize = 32;

/// Pause when accepting a connection fails, until file descriptors are free again.
const PAUSE: Duration = Duration::from_millis(100);

/// Browsers that come back to the redirect URI, one after another. Dropping it stops listening.
pub(super) struct Visitors {
    callbacks: mpsc::Receiver<Callback>,
    _listening: JoinSet<()>,
}

/// A browser that asked for the redirect URI, and waits for its page.
pub(super) struct Callback {
    pub(super) browser: Browser,
    pub(super) query: String,
}

pub(super) struct Browser(TcpStream);

/// The hosts and path of the redirect URI.
struct Place {
    hosts: Vec<String>,
    path: String,
}

impl Visitors {
    pub(super) fn receive(listeners: Vec<TcpListener>, uri: &Url) -> Self {
        let (found, callbacks) = mpsc::channel(1);
        let place = Arc::new(Place::of(uri));
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut listening = JoinSet::new();
        for listener in listeners {
            let connections = Arc::clone(&connections);
            listening.spawn(accept(listener, Arc::clone(&place), connections, found.clone()));
        }
        Self { callbacks, _listening: listening }
    }

    pub(super) async fn next(&mut self) -> Option<Callback> {
        self.callbacks.recv().await
    }
}

async fn accept(
    listener: TcpListener,
    place: Arc<Place>,
    connections: Arc<Semaphore>,
    found: mpsc::Sender<Callback>,
) {
    let mut visits = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "no connection taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        while visits.try_join_next().is_some() {}
        let (place, found) = (Arc::clone(&place), found.clone());
        visits.spawn(async move {
            if let Some(callback) = place.receive(stream).await {
                // An error means that the login has ended meanwhile; then no page is sent.
                let _ = found.send(callback).await;
            }
            drop(permit);
        });
    }
}

impl Place {
    fn of(uri: &Url) -> Self {
        let host = uri.host_str().unwrap_or_default();
        let hosts = match uri.port() {
            Some(port) => vec![format!("{host}:{port}")],
            None => vec![host.to_owned(), format!("{host}:80")],
        };
        Self { hosts, path: uri.path().to_owned() }
    }

    /// Reads one request. Answers it directly unless it is for the redirect URI.
    async fn receive(&self, mut stream: TcpStream) -> Option<Callback> {
        let head = timeout(PATIENCE, read_head(&mut stream)).await.ok()?;
        let asked = match head {
            Some(head) => self.asked(&head),
            None => Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        };
        let browser = Browser(stream);
        match asked {
            Ok(query) => Some(Callback { browser, query }),
            Err(status) => {
                browser.show(&Page::nothing_here(status)).await;
                None
            }
        }
    }

    /// The query of a request for the redirect URI, or the error status to answer.
    fn asked(&self, head: &[u8]) -> Result<String, StatusCode> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(StatusCode::BAD_REQUEST),
        }
        let field = |name: &'static str| {
            request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
        };
        let mut hosts = field("host");
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(StatusCode::BAD_REQUEST);
        };
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // Another host name for this address is a DNS rebinding attempt.
        let ours = self.hosts.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(host.value));
        if !ours || path != self.path {
            return Err(StatusCode::NOT_FOUND);
        }
        if request.method != Some("GET") {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        Ok(query.to_owned())
    }
}

/// A request head with the empty line at its end; `None` when it is too large. An incomplete head
/// is returned too; its reader refuses it.
async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(2048);
    loop {
        let searched = head.len().saturating_sub(3);
        let read = stream.read_buf(&mut head).await.unwrap_or(0);
        let new = head.get(searched..).unwrap_or_default();
        if read == 0 || new.windows(4).any(|window| window == b"\r\n\r\n") {
            return Some(head);
        }
        if head.len() >= MAX_HEAD {
            return None;
        }
    }
}

impl Browser {
    /// Sends the page and closes the connection. Errors are ignored, because the browser may be
    /// gone.
    pub(super) async fn show(mut self, page: &Page) {
        let answer = page.to_response();
        let sent = timeout(PATIENCE, async {
            self.0.write_all(answer.as_bytes()).await?;
            self.0.shutdown().await
        });
        if let Ok(Err(error)) = sent.await {
            tracing::debug!(%error, "the browser did not take its page");
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use url::Url;

    use super::Place;

    fn asked(head: &str) -> Result<String, StatusCode> {
        let uri = Url::parse("http://127.0.0.1:8765/callback").unwrap();
        Place::of(&uri).asked(head.as_bytes())
    }

    #[test]
    fn the_redirect_uri_is_recognised_and_nothing_else() {
        let good = "GET /callback?code=a&state=b HTTP/1.1\r\nHost: 127.0.0.1:8765\r\n\r\n";
        assert_eq!(asked(good).as_deref(), Ok("code=a&state=b"));
        for (line, host, status) in [
            ("GET /favicon.ico HTTP/1.1", "127.0.0.1:8765", 404),
            ("GET /callback/?code=a HTTP/1.1", "127.0.0.1:8765", 404),
            ("GET //callback?code=a HTTP/1.1", "127.0.0.1:8765", 404),
            ("GET http://127.0.0.1:8765/callback HTTP/1.1", "127.0.0.1:8765", 404),
            ("GET /callback?code=a HTTP/1.1", "evil.test", 404),
            ("GET /callback?code=a HTTP/1.1", "evil.test:8765", 404),
            ("GET /callback?code=a HTTP/1.1", "127.0.0.1", 404),
            ("GET /callback?code=a HTTP/1.1", "localhost:8765", 404),
            ("POST /callback?code=a HTTP/1.1", "127.0.0.1:8765", 405),
            ("HEAD /callback?code=a HTTP/1.1", "127.0.0.1:8765", 405),
            ("GET /callback?code=a HTTP/1.1", "127.0.0.1:8765\r\nHost: 127.0.0.1:8765", 400),
            ("GET /callback?code=a b HTTP/1.1", "127.0.0.1:8765", 400),
            ("GET /callback", "127.0.0.1:8765", 400),
        ] {
            let head = format!("{line}\r\nHost: {host}\r\n\r\n");
            assert_eq!(asked(&head), Err(StatusCode::from_u16(status).unwrap()), "{head}");
        }
        assert_eq!(asked("GET /callback HTTP/1.1\r\n\r\n"), Err(StatusCode::BAD_REQUEST));
        assert_eq!(asked(""), Err(StatusCode::BAD_REQUEST));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent_is_a_query_for_here_or_a_status(
            line in "(GET|get|POST|[A-Z]{0,4}) ?(/callback|[ /a-z]{0,10})[?]?[=&%a-z\\x00-\\xff]{0,20}( HTTP/1\\.[01])?",
            host in "(127\\.0\\.0\\.1:8765|[a-z0-9.:]{0,20})",
            end in "(\r\n\r\n|\n\n|\r\n|)",
        ) {
            let head = format!("{line}\r\nHost: {host}{end}");
            if asked(&head).is_ok() {
                proptest::prop_assert!(line.starts_with("GET /callback"));
                proptest::prop_assert_eq!(host, "127.0.0.1:8765");
            }
        }
    }
}
