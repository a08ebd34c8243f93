//! The application in use, which a reload replaces.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};

use super::{App, Then};

/// The application of the present configuration, as a service for every connection.
#[derive(Debug, Clone)]
pub struct Serving {
    app: Arc<ArcSwap<App>>,
}

impl Serving {
    /// Serves this application until it is replaced.
    pub fn new(app: App) -> Self {
        Self { app: Arc::new(ArcSwap::from_pointee(app)) }
    }

    /// Replaces the application. Requests under way end with the one they began with.
    pub fn replace(&self, app: App) {
        self.app.store(Arc::new(app));
    }

    /// The current application.
    pub fn app(&self) -> Arc<App> {
        self.app.load_full()
    }
}

// === impl Service ===

impl tower::Service<Request<Body>> for Serving {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let app = self.app.load_full();
        match app.telemetry.clone() {
            Some(telemetry) => {
                Box::pin(async move { Ok(app.traced(&telemetry, request, Then::Forward).await) })
            }
            None => Box::pin(async move { Ok(app.serve(request, Then::Forward, None).await) }),
        }
    }
}
