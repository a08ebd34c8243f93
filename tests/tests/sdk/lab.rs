//! Start of each scenario: its own realm, and the library set up for it as documented.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, Result};
use e2e::{
    World,
    counter::Counter,
    keycloak::{Keycloak, Realm},
    relay::Relay,
    visitor::{Answer, Visitor},
};
use oidc_core::client::{ClientAuth, Grant, TokenEndpoint};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::login::{Login, LoginRequest, PendingLogin};
use oidc_core::provider::Provider;
use oidc_core::token::Scope;
use oidc_core::{Client, Issuer, Validation, Verifier};
use tokio::sync::OnceCell;
use url::Url;

/// Redirect URI of logins. No server listens there: the visitor stops at the redirect.
pub(crate) const REDIRECT: &str = "http://localhost:8000/callback";

/// A realm and the library before it.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) realm: Arc<Realm>,
    issuer: Issuer,
}

impl Lab {
    /// A new realm, over plain HTTP on loopback.
    pub(crate) async fn new(name: &str) -> Result<Self> {
        let realm = Keycloak::shared().await?.sdk_realm(name).await?;
        let issuer = realm.issuer().parse()?;
        Ok(Self { realm: Arc::new(realm), issuer })
    }

    /// The realm of the scenarios that change nothing in it, and count on the wire if at all.
    pub(crate) async fn common() -> Result<Self> {
        static COMMON: OnceCell<Lab> = OnceCell::const_new();
        COMMON.get_or_try_init(|| Self::new("sdk-common")).await?.again()
    }

    /// The same realm for another scenario.
    pub(crate) fn again(&self) -> Result<Self> {
        Ok(Self { realm: Arc::new(self.realm.again()?), issuer: self.issuer() })
    }

    /// The same realm with all requests of the library counted on the wire.
    pub(crate) async fn counted(&self) -> Result<(Self, Counter)> {
        let counter = Counter::before(self.realm.address()).await?;
        let issuer = self.realm.issuer_at(&counter.url()).parse()?;
        Ok((Self { realm: Arc::clone(&self.realm), issuer }, counter))
    }

    /// A folder for the files of this scenario.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Ok(World::new(&format!("sdk-files-{number}"))?.folder().to_owned())
    }

    /// The same realm over a wire that can be cut.
    pub(crate) async fn relayed(&self) -> Result<(Self, Relay)> {
        let relay = self.realm.relay().await?;
        let issuer = self.realm.issuer_through(&relay).parse()?;
        Ok((Self { realm: Arc::clone(&self.realm), issuer }, relay))
    }

    pub(crate) fn issuer(&self) -> Issuer {
        self.issuer.clone()
    }

    pub(crate) fn provider(&self) -> Result<Provider> {
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
        Ok(Provider::new(self.issuer(), http))
    }

    /// The same realm over TLS, reached with these options; they trust its authority.
    pub(crate) fn tls_provider(&self, options: HttpOptions) -> Result<Provider> {
        let options = options.with_ca_file(self.realm.authority().certificate());
        let http = Arc::new(ReqwestHttp::new(options)?);
        Ok(Provider::new(self.realm.tls_issuer().parse()?, http))
    }

    pub(crate) fn endpoint(&self, client: &str, auth: ClientAuth) -> Result<TokenEndpoint> {
        Ok(TokenEndpoint::new(self.provider()?, client, auth))
    }

    /// The token endpoint as the client `job` with its secret.
    pub(crate) fn job(&self) -> Result<TokenEndpoint> {
        self.endpoint("job", secret("job"))
    }

    /// A resource server called `audience`.
    pub(crate) fn verifier(&self, audience: &str) -> Result<Verifier> {
        let keys = Arc::new(RemoteKeys::new(self.provider()?));
        Ok(Verifier::new(Validation::new(self.issuer(), audience), keys))
    }

    /// A relying party.
    pub(crate) fn client(&self, client: &str, auth: ClientAuth) -> Result<Client> {
        let provider = self.provider()?;
        let keys = Arc::new(RemoteKeys::new(provider.clone()));
        Ok(Client::new(provider, keys, client, auth))
    }

    /// A request for a login that comes back to [`REDIRECT`].
    pub(crate) fn login_request(&self) -> Result<LoginRequest> {
        Ok(LoginRequest::new(REDIRECT.parse()?))
    }

    /// Begins a login, acts as the user's browser, and finishes it.
    pub(crate) async fn log_in(
        &self,
        client: &Client,
        request: LoginRequest,
        user: &str,
    ) -> Result<Login> {
        let (url, pending) = client.begin_login(request).await?;
        let back = sign_in(&url, user).await?;
        finish(client, &back, &pending).await
    }
}

/// The grant of a program on its own behalf.
pub(crate) fn client_credentials(scope: Option<&str>) -> Grant {
    Grant::ClientCredentials { scope: scope.map(Scope::from), audience: None, resource: vec![] }
}

/// The secret that the fixture gives a client, sent in the `Authorization` header.
pub(crate) fn secret(client: &str) -> ClientAuth {
    ClientAuth::SecretBasic(Realm::secret(client).into())
}

/// A person opens `url` and signs in; returns where Keycloak then sends the browser.
pub(crate) async fn sign_in(url: &Url, user: &str) -> Result<Url> {
    answer_to_sign_in(&Visitor::new()?, url, user).await?.location()
}

/// Keycloak's answer to the login form.
pub(crate) async fn answer_to_sign_in(visitor: &Visitor, url: &Url, user: &str) -> Result<Answer> {
    let form = visitor.arrive(url.as_str()).await?;
    visitor.submit_login(&form, user).await
}

/// Finishes the login, as the application does when the browser is back.
pub(crate) async fn finish(client: &Client, back: &Url, pending: &PendingLogin) -> Result<Login> {
    anyhow::ensure!(back.as_str().starts_with(REDIRECT), "the browser is at {back}");
    let query = back.query().context("nothing came back")?;
    let code = client.parse_callback(query, pending).await?;
    Ok(client.finish_login(code, pending).await?)
}
