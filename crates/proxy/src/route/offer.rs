//! Schemes that a challenge of a route offers beside plain bearer tokens.

use http::Method;
use http_canonical::{CanonicalHost, CanonicalMethod, CanonicalPath};

use super::Route;
use crate::mcp::Resource;

/// The longest scope of a registry that a challenge repeats.
const SCOPE: usize = 300;

/// Schemes that a challenge offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Offer {
    /// `Bearer`
    #[default]
    Bearer,
    /// `Basic`, then `Bearer`.
    Basic,
    /// `Bearer` with the document about the resource, and the scopes that every token for it needs (RFC 9728 §5.1, RFC 6750 §3).
    Resource(Box<Resource>),
    /// `Bearer` with a token endpoint ([distribution token specification]).
    ///
    /// [distribution token specification]: https://distribution.github.io/distribution/spec/auth/token/
    Registry {
        /// URL of the token endpoint.
        realm: String,
        /// Name of the registry.
        service: String,
        /// Scope that the request needs, if its path names a repository.
        scope: Option<String>,
    },
}

impl Route {
    /// The offer to a request without a valid credential. `browser`: Fetch Metadata shows a browser, which would ask its user for
    /// a password if it were offered Basic.
    pub fn offer(
        &self,
        host: &CanonicalHost,
        method: &CanonicalMethod,
        path: &CanonicalPath,
        browser: bool,
    ) -> Offer {
        match &self.registry {
            Some(endpoint) => Offer::Registry {
                realm: format!("{}{endpoint}", self.origin(host)),
                service: host.to_string(),
                scope: scope(method, path.as_str()),
            },
            None if self.basic && !browser => Offer::Basic,
            None => match &self.mcp {
                Some(resource) => Offer::Resource(Box::new(resource.clone())),
                None => Offer::Bearer,
            },
        }
    }
}

/// `repository:NAME:ACTIONS` for a path `/v2/NAME/manifests/…`, `…/blobs/…`, `…/tags/…` or `…/referrers/…`.
fn scope(method: &CanonicalMethod, path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v2/")?;
    let ends = ["/manifests/", "/blobs/", "/tags/", "/referrers/"];
    let end = ends.into_iter().filter_map(|end| rest.rfind(end)).max()?;
    let name = rest.get(..end)?;
    let plain = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'.' | b'_' | b'-' | b'/')
    };
    if name.is_empty() || name.len() > SCOPE || !name.bytes().all(plain) {
        return None;
    }
    let actions = match method.clone().into_http() {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "pull,push",
    };
    Some(format!("repository:{name}:{actions}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_the_repository_of_the_path() {
        let of = |method: &str, path: &str| scope(&method.parse().unwrap(), path);
        let pull = Some("repository:lab/churn:pull".to_owned());
        assert_eq!(of("GET", "/v2/lab/churn/manifests/latest"), pull);
        assert_eq!(of("HEAD", "/v2/lab/churn/blobs/sha256:00"), pull);
        assert_eq!(of("GET", "/v2/lab/churn/tags/list"), pull);
        let push = Some("repository:lab/churn:pull,push".to_owned());
        assert_eq!(of("POST", "/v2/lab/churn/blobs/uploads/"), push);
        assert_eq!(of("PUT", "/v2/lab/churn/manifests/1"), push);
        let blobs = Some("repository:blobs/manifests/x:pull".to_owned());
        assert_eq!(of("GET", "/v2/blobs/manifests/x/blobs/y"), blobs);
        for path in [
            "/v2/",
            "/v2/_catalog",
            "/v2/manifests/latest",
            "/v2/Lab/manifests/latest",
            "/v2/a%22,b/manifests/latest",
            "/v1/lab/manifests/latest",
        ] {
            assert_eq!(of("GET", path), None, "{path}");
        }
    }
}
