//! Configuration of a provider before it starts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use url::Url;

use crate::algorithm::Algorithm;
use crate::backchannel::Backchannel;
use crate::client::DevClient;
use crate::clock::Clock;
use crate::codes::Codes;
use crate::cookies::Cookies;
use crate::devices::Devices;
use crate::dialect::Dialect;
use crate::dpop::Proofs;
use crate::faults::Faults;
use crate::forms::Forms;
use crate::grant::GrantCounts;
use crate::issuer::{DevIssuer, StartError};
use crate::keys::Keys;
use crate::listener::{NotBindable, resolve_loopback};
use crate::presented_tokens::PresentedTokens;
use crate::product::Product;
use crate::provider::{Lifetimes, Provider, TokenAlgorithms};
use crate::public_keys::{PublicKeys, TrustedIssuers};
use crate::pushed_requests::PushedRequests;
use crate::registry::Registry;
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::tokens::LOWEST_LEVEL;
use crate::used_identifiers::UsedIdentifiers;
use crate::user::User;

/// A provider that has not started yet. See [`DevIssuer::builder`].
#[must_use = "nothing listens before `start`"]
pub struct DevIssuerBuilder {
    realm: String,
    users: Vec<User>,
    clients: Vec<DevClient>,
    lifetimes: Lifetimes,
    rotate_refresh_tokens: bool,
    sign_in_levels: Vec<String>,
    clock: Clock,
    signing_algorithm: Algorithm,
    more_algorithms: Vec<Algorithm>,
    token_algorithms: TokenAlgorithms,
    announced: Option<Vec<Algorithm>>,
    trusted: TrustedIssuers,
    dpop_nonce_required: bool,
    dialect: Dialect,
    product: Product,
    public_url: Option<String>,
}

impl DevIssuer {
    /// An empty provider, without people and clients.
    pub fn builder() -> DevIssuerBuilder {
        DevIssuerBuilder::new()
    }

    /// A provider with the demo's people: `alice`/`alice`, a data scientist of `/lab`, and `bob`/`bob`
    /// without a role.
    pub fn demo_builder() -> DevIssuerBuilder {
        let alice = User::new("alice", "alice")
            .name("Alice Example")
            .roles(["data-scientist"])
            .groups(["/lab"]);
        DevIssuerBuilder::new().user(alice).user(User::new("bob", "bob").name("Bob Example"))
    }
}

impl DevIssuerBuilder {
    fn new() -> Self {
        Self {
            realm: "dev".to_owned(),
            users: Vec::new(),
            clients: Vec::new(),
            lifetimes: Lifetimes {
                access_token: Duration::from_secs(300),
                refresh_token: Duration::from_secs(1800),
                session: Duration::from_secs(36_000),
            },
            rotate_refresh_tokens: true,
            sign_in_levels: vec![LOWEST_LEVEL.to_owned()],
            clock: Clock::system(),
            signing_algorithm: Algorithm::default(),
            more_algorithms: Vec::new(),
            token_algorithms: TokenAlgorithms::default(),
            announced: None,
            trusted: TrustedIssuers::default(),
            dpop_nonce_required: false,
            dialect: Dialect::default(),
            product: Product::default(),
            public_url: None,
        }
    }

    /// The last part of the issuer identifier, `/realms/<realm>`; `dev` by default. Other products have other paths.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Shapes documents and tokens like another provider's; Keycloak's by default.
    pub fn product(mut self, product: Product) -> Self {
        self.product = product;
        self
    }

    /// Adds a person, or replaces the one of the same name.
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds a client, or replaces the one with the same id.
    pub fn client(mut self, client: DevClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Lifetime of access and ID tokens; 300 s by default.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.access_token = lifetime;
        self
    }

    /// Lifetime of a refresh token; 1800 s by default.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.refresh_token = lifetime;
        self
    }

    /// Lifetime of a single sign-on session; ten hours by default.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.session = lifetime;
        self
    }

    /// Accepts each refresh token once only, and ends the client's part of the session on reuse; true
    /// by default.
    pub fn refresh_token_rotation(mut self, rotate: bool) -> Self {
        self.rotate_refresh_tokens = rotate;
        self
    }

    /// The clock of the provider, for everything but faults.
    pub fn clock(mut self, now: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        self.clock = Clock::new(now);
        self
    }

    /// Signature algorithm of tokens; RS256 by default.
    pub fn signing_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.signing_algorithm = algorithm;
        self
    }

    /// Adds a key for each of these algorithms, published and announced: [`Mint::algorithm`] signs
    /// with it.
    ///
    /// [`Mint::algorithm`]: crate::Mint::algorithm
    pub fn more_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.more_algorithms.extend(algorithms);
        self
    }

    /// Signature algorithm of access tokens; [`DevIssuerBuilder::signing_algorithm`] by default.
    pub fn access_token_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.token_algorithms.access = Some(algorithm);
        self
    }

    /// Signature algorithm of ID tokens; [`DevIssuerBuilder::signing_algorithm`] by default.
    pub fn id_token_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.token_algorithms.id = Some(algorithm);
        self
    }

    /// Signature algorithm of logout tokens; [`DevIssuerBuilder::signing_algorithm`] by default.
    pub fn logout_token_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.token_algorithms.logout = Some(algorithm);
        self
    }

    /// The `id_token_signing_alg_values_supported` of discovery; an empty list if none are given. By
    /// default, all algorithms that there are keys for.
    pub fn announced_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.announced = Some(algorithms.into_iter().collect());
        self
    }

    /// Trusts tokens of another issuer: as authentication of a client ([`DevClient::federated`]), and as
    /// an assertion about the person of the same name here (JWT bearer grant, [RFC 7523 §2.1]). `keys`
    /// are its public keys, as a JWKS or in PEM.
    ///
    /// [RFC 7523 §2.1]: https://www.rfc-editor.org/rfc/rfc7523#section-2.1
    pub fn trust(mut self, issuer: impl Into<String>, keys: impl Into<String>) -> Self {
        self.trusted.0.insert(issuer.into(), PublicKeys::new(keys));
        self
    }

    /// Has these levels of sign-in, the lowest first, and grants the first of `acr_values` that it has after another sign-in
    /// ([OpenID Connect Core 1.0 §3.1.2.1]). Without it, `1` is the only level.
    ///
    /// [OpenID Connect Core 1.0 §3.1.2.1]: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
    pub fn sign_in_levels<S: Into<String>>(mut self, levels: impl IntoIterator<Item = S>) -> Self {
        self.sign_in_levels = levels.into_iter().map(Into::into).collect();
        self
    }

    /// Requires a nonce of this provider in each proof of possession ([RFC 9449 §8]), each usable once.
    ///
    /// [RFC 9449 §8]: https://www.rfc-editor.org/rfc/rfc9449#section-8
    pub fn require_dpop_nonce(mut self) -> Self {
        self.dpop_nonce_required = true;
        self
    }

    /// Answers in this dialect; [`DevIssuer::set_dialect`] changes it later.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Has another name for browsers than for clients, like Keycloak with `hostname` and
    /// `hostname-backchannel-dynamic`: the issuer identifier, and the endpoints that browsers open, begin
    /// with this URL; clients reach the other endpoints at the address that it listens on.
    pub fn public_url(mut self, origin: impl Into<String>) -> Self {
        self.public_url = Some(origin.into());
        self
    }

    /// Binds and serves. The address must be on loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address is not on loopback or is taken, the realm's name does not fit into a URL, a
    /// client's logout URI is not an `http` URL on loopback, or no key can be generated.
    pub async fn start(self, addr: &str) -> Result<DevIssuer, StartError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if self.realm.is_empty() || !self.realm.bytes().all(fits) {
            return Err(StartError::Realm(self.realm));
        }
        self.clients.iter().try_for_each(check_logout_uri)?;
        let addrs = resolve_loopback(addr).await.map_err(|cause| match cause {
            NotBindable::Unresolved(source) => StartError::Bind { addr: addr.to_owned(), source },
            NotBindable::NotLoopback(outside) => StartError::NotLoopback(outside),
        })?;
        let failed = |source| StartError::Bind { addr: addr.to_owned(), source };
        let socket = TcpListener::bind(addrs.as_slice()).await.map_err(failed)?;
        let addr = socket.local_addr().map_err(failed)?;
        let path = self.product.path(&self.realm);
        let base = format!("http://{addr}{path}");
        let others = self.more_algorithms.into_iter().chain(self.token_algorithms.all());
        let keys = Keys::obtain(self.signing_algorithm, others).await;
        let provider = Provider {
            issuer: self.product.issuer(&match self.public_url {
                Some(origin) => format!("{}{path}", origin.trim_end_matches('/')),
                None => base.clone(),
            }),
            base,
            product: self.product,
            dialect: Shared::new(self.dialect),
            cookies: Cookies::new(addr.port(), &path),
            path,
            realm: self.realm,
            clock: self.clock,
            lifetimes: self.lifetimes,
            rotate_refresh_tokens: self.rotate_refresh_tokens,
            sign_in_levels: self.sign_in_levels,
            registry: Registry::new(self.users, self.clients),
            keys: keys.map_err(StartError::Keys)?,
            token_algorithms: self.token_algorithms,
            announced: self.announced,
            sessions: Sessions::default(),
            codes: Codes::default(),
            devices: Devices::default(),
            pushed_requests: PushedRequests::default(),
            forms: Forms::default(),
            faults: Faults::default(),
            grants: GrantCounts::default(),
            used_assertions: UsedIdentifiers::default(),
            proofs: Proofs::new(self.dpop_nonce_required),
            presented: PresentedTokens::default(),
            trusted: self.trusted,
            backchannel: Backchannel::new(),
        };
        Ok(DevIssuer::serving(Arc::new(provider), addr, socket))
    }
}

/// Checks that logout tokens stay on this machine, as they are sent by plain http.
fn check_logout_uri(client: &DevClient) -> Result<(), StartError> {
    let Some(uri) = &client.backchannel_logout_uri else { return Ok(()) };
    let on_loopback = Url::parse(uri).is_ok_and(|url| {
        url.scheme() == "http"
            && match url.host() {
                Some(url::Host::Domain(name)) => {
                    name == "localhost" || name.ends_with(".localhost")
                }
                Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
                Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            }
    });
    match on_loopback {
        true => Ok(()),
        false => {
            Err(StartError::BackchannelLogoutUri { client: client.id.clone(), uri: uri.clone() })
        }
    }
}

impl fmt::Debug for DevIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuerBuilder")
            .field("realm", &self.realm)
            .field("users", &self.users)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
