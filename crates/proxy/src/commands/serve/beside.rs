//! The listeners beside the public one: the redirect to https, and Envoy's questions.
//!
//! They have the same framing, deadlines, workers and drain, and places of their own: a crowd at one of them takes no place from
//! the clients of the public listener.

use std::{convert::Infallible, fmt, io, os::fd::OwnedFd, sync::Arc};

use anyhow::Context as _;
use http::Request;
use http_canonical::Trust;

use crate::{
    config::Config,
    ext_authz::Authorization,
    gateway::Serving,
    listen::{Answers, Body, Certificates, Drain, Inherited, Limits, Listener},
    workers::Workers,
};

/// Most connections to the redirect, of which each takes one request, and of those most from one address.
const TO_REDIRECT: (usize, usize) = (256, 32);
/// Most connections of Envoy, which has one or a few for each of its threads.
const OF_ENVOY: usize = 64;

/// The listeners that are configured.
#[derive(Debug)]
pub(super) struct Beside {
    redirect: Option<Listener>,
    ext_authz: Option<Listener>,
}

impl Beside {
    /// Binds their addresses.
    pub(super) async fn bind(config: &Config, inherited: &mut Inherited) -> anyhow::Result<Self> {
        let redirect = match config.redirect.as_slice() {
            [] => None,
            addresses => {
                let bound = Listener::bind_or_take(addresses, None, inherited).await;
                let bound = bound.context("redirect")?;
                Some(bound.with_proxy_protocol(config.proxy_protocol))
            }
        };
        let ext_authz = match &config.ext_authz {
            None => None,
            Some(own) => {
                let certificates = own
                    .tls
                    .as_ref()
                    .map(|tls| Certificates::load(&[tls.listener()]))
                    .transpose()
                    .context("ext_authz.tls")?;
                let address = std::slice::from_ref(&own.listen);
                let bound = Listener::bind_or_take(address, certificates, inherited).await;
                Some(bound.context("ext_authz")?)
            }
        };
        Ok(Self { redirect, ext_authz })
    }

    /// Most connections to them.
    pub(super) fn connections(&self) -> usize {
        let redirect = self.redirect.as_ref().map_or(0, |_| TO_REDIRECT.0);
        redirect + self.ext_authz.as_ref().map_or(0, |_| OF_ENVOY)
    }

    /// Other descriptors of their sockets.
    pub(super) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let listeners = self.redirect.iter().chain(&self.ext_authz);
        let descriptors: Vec<_> = listeners.map(Listener::descriptors).collect::<Result<_, _>>()?;
        Ok(descriptors.into_iter().flatten().collect())
    }

    /// With what the public listener has, but for its places.
    pub(super) fn with(
        self,
        limits: &Limits,
        trust: &Trust,
        answers: &Arc<dyn Answers>,
        workers: &Workers,
    ) -> Self {
        let with = |listener: Listener, connections, per_address| {
            listener
                .with_limits(Limits { connections, per_address, ..*limits })
                .with_trust(trust.clone())
                .with_answers(Arc::clone(answers))
                .with_workers(workers.clone())
        };
        let (redirects, of_one) = TO_REDIRECT;
        Self {
            redirect: self.redirect.map(|listener| with(listener, redirects, of_one)),
            ext_authz: self.ext_authz.map(|listener| with(listener, OF_ENVOY, OF_ENVOY)),
        }
    }

    /// Serves until the drain is over.
    pub(super) async fn serve(self, serving: Serving, drain: Drain) {
        let redirect = async {
            let Some(listener) = self.redirect else { return };
            let current = serving.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let answer = current.app().to_https(request);
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            listener.serve(service, drain.clone()).await;
        };
        let ext_authz = async {
            let Some(listener) = self.ext_authz else { return };
            let Some(local) = listener.local_addrs().into_iter().next() else { return };
            let authorization = Authorization::new(serving.clone(), local, drain.clone());
            let service = tower::service_fn(move |request: Request<Body>| {
                let authorization = authorization.clone();
                async move { Ok::<_, Infallible>(authorization.answer(request).await) }
            });
            listener.serve(service, drain.clone()).await;
        };
        tokio::join!(redirect, ext_authz);
    }
}

// === impl Beside ===

impl fmt::Display for Beside {
    /// The addresses, each with its key in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = [("redirect", &self.redirect), ("ext_authz", &self.ext_authz)];
        let mut separator = "";
        for (key, listener) in listeners {
            for address in listener.iter().flat_map(|listener| listener.local_addrs()) {
                write!(f, "{separator}{key} {address}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}
