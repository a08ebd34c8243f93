//! A registered client (relying party or machine) and its permissions.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::public_keys::PublicKeys;
use crate::redirect_uri::RedirectUri;
use crate::scope::Scope;
use crate::user::User;

/// Scopes that every client may ask for, as in a fresh Keycloak realm.
const STANDARD_SCOPES: [&str; 10] = [
    "openid",
    "profile",
    "email",
    "offline_access",
    "roles",
    "groups",
    "basic",
    "acr",
    "web-origins",
    "microprofile-jwt",
];

/// A registered client.
///
/// ```
/// let gateway = dev_issuer::DevClient::confidential("gateway", "secret")
///     .redirect_uri("http://127.0.0.1:*/oauth2/callback")
///     .audience("gateway");
/// ```
#[derive(Clone)]
pub struct DevClient {
    pub(crate) id: String,
    pub(crate) credential: Credential,
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) post_logout_redirect_uris: Vec<RedirectUri>,
    pub(crate) audience: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) service_account_roles: Vec<String>,
    pub(crate) service_account_client_roles: BTreeMap<String, Vec<String>>,
    pub(crate) backchannel_logout_uri: Option<String>,
    pub(crate) access_token_lifetime: Option<Duration>,
    pub(crate) require_par: bool,
    pub(crate) opaque_access_tokens: bool,
    pub(crate) require_dpop: bool,
    pub(crate) request_object_key: Option<PublicKeys>,
    pub(crate) require_signed_request: bool,
}

/// Client authentication at the token endpoint.
#[derive(Clone)]
pub(crate) enum Credential {
    Public,
    Secret(String),
    SecretJwt(String),
    PublicKeys(PublicKeys),
    Federated { issuer: String, subject: String },
}

impl DevClient {
    /// A client with a secret (`client_secret_basic` or `client_secret_post`).
    pub fn confidential(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::new(id.into(), Credential::Secret(secret.into()))
    }

    /// A client without a secret.
    pub fn public(id: impl Into<String>) -> Self {
        Self::new(id.into(), Credential::Public)
    }

    /// A client that signs its requests (`private_key_jwt`) with the private half of this key: a
    /// public key in PEM (`BEGIN PUBLIC KEY`), or a JWKS; RSA, P-256, P-384 or Ed25519.
    pub fn private_key_jwt(id: impl Into<String>, public_key: impl Into<String>) -> Self {
        Self::new(id.into(), Credential::PublicKeys(PublicKeys::new(public_key)))
    }

    /// A client that authenticates with an HMAC made with its secret (`client_secret_jwt`). A secret
    /// shorter than the hash is refused ([RFC 7518 §3.2]).
    ///
    /// [RFC 7518 §3.2]: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
    pub fn client_secret_jwt(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::new(id.into(), Credential::SecretJwt(secret.into()))
    }

    /// A client that authenticates with a token of a trusted issuer ([`DevIssuerBuilder::trust`]) about
    /// `subject`: a Kubernetes service account token, or, if `subject` begins with `spiffe://`, a
    /// JWT-SVID. Such a token may be used repeatedly until it expires.
    ///
    /// [`DevIssuerBuilder::trust`]: crate::DevIssuerBuilder::trust
    pub fn federated(
        id: impl Into<String>,
        issuer: impl Into<String>,
        subject: impl Into<String>,
    ) -> Self {
        let (issuer, subject) = (issuer.into(), subject.into());
        Self::new(id.into(), Credential::Federated { issuer, subject })
    }

    fn new(id: String, credential: Credential) -> Self {
        Self {
            id,
            credential,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            audience: Vec::new(),
            scopes: Vec::new(),
            service_account_roles: Vec::new(),
            service_account_client_roles: BTreeMap::new(),
            backchannel_logout_uri: None,
            access_token_lifetime: None,
            require_par: false,
            opaque_access_tokens: false,
            require_dpop: false,
            request_object_key: None,
            require_signed_request: false,
        }
    }

    /// Adds a redirect URI. It must match exactly; a `*` matches one port or one whole host label.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(RedirectUri::new(uri));
        self
    }

    /// Adds a URI that a logout may redirect to. Compared as [`DevClient::redirect_uri`].
    #[must_use]
    pub fn post_logout_redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.post_logout_redirect_uris.push(RedirectUri::new(uri));
        self
    }

    /// Adds an audience to the access tokens of this client, as Keycloak's audience mapper does.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// A scope this client may ask for, besides the standard ones.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Scopes this client may ask for, besides the standard ones.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Realm roles in this client's own tokens (client credentials).
    #[must_use]
    pub fn service_account_roles(
        mut self,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.service_account_roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Roles on one client in this client's own tokens (client credentials).
    #[must_use]
    pub fn service_account_client_roles(
        mut self,
        client: impl Into<String>,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let own = self.service_account_client_roles.entry(client.into()).or_default();
        own.extend(roles.into_iter().map(Into::into));
        self
    }

    /// URI that logout tokens for this client are sent to: an `http` URL on loopback.
    #[must_use]
    pub fn backchannel_logout_uri(mut self, uri: impl Into<String>) -> Self {
        self.backchannel_logout_uri = Some(uri.into());
        self
    }

    /// Lifetime of this client's access tokens, instead of the provider's.
    #[must_use]
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = Some(lifetime);
        self
    }

    /// Refuses authorization requests that were not pushed first
    /// ([RFC 9126](https://www.rfc-editor.org/rfc/rfc9126)).
    #[must_use]
    pub fn require_par(mut self) -> Self {
        self.require_par = true;
        self
    }

    /// Refuses token requests without a proof of possession
    /// ([RFC 9449 §5.2](https://www.rfc-editor.org/rfc/rfc9449#section-5.2)).
    #[must_use]
    pub fn require_dpop(mut self) -> Self {
        self.require_dpop = true;
        self
    }

    /// Accepts authorization requests that are signed with the private half of this key
    /// ([RFC 9101](https://www.rfc-editor.org/rfc/rfc9101)): a public key in PEM, or a JWKS.
    #[must_use]
    pub fn request_object_key(mut self, public_key: impl Into<String>) -> Self {
        self.request_object_key = Some(PublicKeys::new(public_key));
        self
    }

    /// Refuses authorization requests that are not signed.
    #[must_use]
    pub fn require_signed_request(mut self) -> Self {
        self.require_signed_request = true;
        self
    }

    /// Gives this client opaque access tokens, which resource servers introspect
    /// ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    #[must_use]
    pub fn opaque_access_tokens(mut self) -> Self {
        self.opaque_access_tokens = true;
        self
    }

    pub(crate) fn is_public(&self) -> bool {
        matches!(self.credential, Credential::Public)
    }

    pub(crate) fn has_redirect_uri(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| registered.matches(uri))
    }

    pub(crate) fn has_post_logout_redirect_uri(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris.iter().any(|registered| registered.matches(uri))
    }

    /// The origins of its redirect URIs, as registered.
    pub(crate) fn origins(&self) -> Vec<&str> {
        let mut origins: Vec<&str> =
            self.redirect_uris.iter().filter_map(RedirectUri::origin).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// Grants the requested scope, and `profile email` as in Keycloak. Fails with the first word that
    /// this client may not ask for.
    pub(crate) fn grant_scope(&self, requested: &str) -> Result<Scope, String> {
        let requested = Scope::parse(requested);
        let allowed = |word: &str| {
            STANDARD_SCOPES.contains(&word) || self.scopes.iter().any(|own| own == word)
        };
        if let Some(word) = requested.words().find(|word| !allowed(word)) {
            return Err(word.to_owned());
        }
        let mut granted = requested;
        granted.add("profile");
        granted.add("email");
        Ok(granted)
    }

    /// The service account that this client acts as for itself.
    pub(crate) fn service_account(&self) -> User {
        let mut account = User::without_password(format!("service-account-{}", self.id))
            .roles(self.service_account_roles.iter());
        account.client_roles = self.service_account_client_roles.clone();
        account
    }
}

impl fmt::Debug for DevClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevClient").field("id", &self.id).finish_non_exhaustive()
    }
}
