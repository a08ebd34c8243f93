//! The protected resource that a route is, and the document about it (RFC 9728 §2).
//!
//! The document is at the path of the resource after the well-known path (§3.1). Clients that know only the host find it at the
//! well-known path itself, where the host has exactly one resource.

use http::{HeaderValue, Method, Response, StatusCode, header};
use http_canonical::{CanonicalHost, CanonicalMethod, CanonicalPath};
use serde_json::json;
use url::Url;

use crate::listen::Body;

/// The well-known path of documents about resources.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A route as a protected resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier, which is the audience of its tokens.
    pub identifier: String,
    /// URL of the document about it.
    pub metadata: String,
    /// Scopes that every token for it needs, in the order of the configuration.
    pub scopes: Vec<String>,
    /// Host of the identifier, with its port unless that is the scheme's own.
    host: String,
    /// Path of the identifier.
    path: String,
    /// The document.
    document: String,
}

impl Resource {
    /// The resource with this identifier and this name for people, whose tokens these issuers issue.
    pub fn new(identifier: &Url, title: &str, issuers: &[String], scopes: &[String]) -> Self {
        let path = identifier.path().trim_end_matches('/').to_owned();
        let origin = identifier.origin().ascii_serialization();
        let mut document = json!({
            "resource": identifier.as_str(),
            "resource_name": title,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        if let (false, Some(members)) = (scopes.is_empty(), document.as_object_mut()) {
            members.insert("scopes_supported".to_owned(), scopes.into());
        }
        Self {
            identifier: identifier.as_str().to_owned(),
            metadata: format!("{origin}{WELL_KNOWN}{path}"),
            scopes: scopes.to_vec(),
            host: identifier.host_str().unwrap_or_default().to_owned(),
            path,
            document: document.to_string(),
        }
    }

    /// Scopes of a challenge: those that every token needs, and these.
    pub fn scopes_with(&self, more: &[String]) -> Vec<String> {
        let more = more.iter().filter(|scope| !self.scopes.contains(scope));
        self.scopes.iter().chain(more).cloned().collect()
    }
}

/// The documents about all resources.
#[derive(Debug, Default)]
pub struct Resources {
    all: Vec<Resource>,
}

impl Resources {
    /// The documents about these.
    pub fn new<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> Self {
        Self { all: resources.into_iter().cloned().collect() }
    }

    /// The answer to a request for a document; `None` for another request.
    pub fn answer(
        &self,
        method: &CanonicalMethod,
        host: &CanonicalHost,
        path: &CanonicalPath,
    ) -> Option<Response<Body>> {
        let rest = path.as_str().strip_prefix(WELL_KNOWN)?;
        let rest = rest.trim_end_matches('/');
        let mut here = self.all.iter().filter(|resource| resource.host == host.name());
        let own = here.clone().find(|resource| resource.path == rest);
        let only = || here.next().filter(|_| rest.is_empty() && here.next().is_none());
        own.or_else(only).map(|resource| answer(method, resource))
    }
}

/// Pages of any origin may read the document: it is public, and an answer about no caller.
fn answer(method: &CanonicalMethod, resource: &Resource) -> Response<Body> {
    let get = matches!(method.as_str(), "GET" | "HEAD");
    let preflight = method.as_str() == Method::OPTIONS.as_str();
    let mut response = match get {
        true => Response::new(Body::from(resource.document.clone())),
        false => Response::new(Body::empty()),
    };
    *response.status_mut() = match (get, preflight) {
        (true, _) => StatusCode::OK,
        (false, true) => StatusCode::NO_CONTENT,
        (false, false) => StatusCode::METHOD_NOT_ALLOWED,
    };
    let headers = response.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value("*"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value("GET"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value("mcp-protocol-version"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, value("600"));
    }
    if get {
        headers.insert(header::CONTENT_TYPE, value("application/json"));
        headers.insert(header::CACHE_CONTROL, value("public, max-age=300"));
    } else if !preflight {
        headers.insert(header::ALLOW, value("GET, HEAD, OPTIONS"));
    }
    response
}
