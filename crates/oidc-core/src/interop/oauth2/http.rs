//! The port [`Http`] as the HTTP client of `oauth2` and `openidconnect`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};

use crate::http::{Http, HttpError};

/// Sends the requests of `oauth2` and `openidconnect` through an adapter of the port [`Http`].
///
/// The adapter's promises hold for those requests too: no redirect is followed, which `oauth2` asks of
/// its HTTP clients, and time and size of the answer are bounded.
#[derive(Clone, Debug)]
pub struct HttpClient {
    http: Arc<dyn Http>,
}

impl HttpClient {
    /// Sends through `http`.
    pub fn new(http: Arc<dyn Http>) -> Self {
        Self { http }
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Answer<'c, HttpError>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { Ok(self.http.send(request.map(Bytes::from)).await?.map(Vec::from)) })
    }
}

/// An answer to wait for.
pub(super) type Answer<'c, E> = Pin<Box<dyn Future<Output = Result<HttpResponse, E>> + Send + 'c>>;
