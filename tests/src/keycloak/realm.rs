//! One realm: its names, and the tokens it gives.

use anyhow::{Context as _, Result};
use reqwest::Client;
use serde_json::Value;

use super::Keycloak;
use crate::{authority::Authority, relay::Relay, visitor};

/// One realm and its administration.
#[derive(Debug)]
pub struct Realm {
    pub(super) keycloak: &'static Keycloak,
    pub(super) name: String,
    pub(super) client: Client,
}

impl Realm {
    pub(super) fn new(keycloak: &'static Keycloak, name: &str) -> Result<Self> {
        Ok(Self { keycloak, name: name.to_owned(), client: visitor::plain_client()? })
    }

    /// The same realm for another scenario: connections end with the runtime that opened them.
    pub fn again(&self) -> Result<Self> {
        Self::new(self.keycloak, &self.name)
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.keycloak.base, self.name)
    }

    /// The issuer identifier for requests through `relay`: Keycloak names itself as it is addressed.
    pub fn issuer_through(&self, relay: &Relay) -> String {
        format!("http://{}/realms/{}", relay.address(), self.name)
    }

    /// The same realm over TLS, where client certificates are asked for.
    pub fn tls_issuer(&self) -> String {
        format!("{}/realms/{}", self.keycloak.tls_base, self.name)
    }

    /// The same realm as it is called at another address of this Keycloak.
    pub fn issuer_at(&self, base: &str) -> String {
        format!("{base}/realms/{}", self.name)
    }

    /// A path that requires a token with the role `view-users` of `realm-management`, at another address of this Keycloak.
    pub fn users_at(&self, base: &str) -> String {
        format!("{base}/admin/realms/{}/users", self.name)
    }

    /// Keycloak's address over plain HTTP: host and port.
    pub fn address(&self) -> &str {
        self.keycloak.base.trim_start_matches("http://")
    }

    /// The authority of Keycloak's TLS certificate and of client certificates.
    pub fn authority(&self) -> &Authority {
        self.keycloak.authority()
    }

    /// A wire to this Keycloak that a scenario can cut.
    pub async fn relay(&self) -> Result<Relay> {
        Relay::to(self.address()).await
    }

    /// Another realm of the same server: an issuer that the gateway does not know.
    pub async fn elsewhere(&self, public_url: &str) -> Result<Self> {
        self.keycloak.realm(&format!("{}-elsewhere", self.name), public_url).await
    }

    /// The secret of a confidential client of the fixture.
    pub fn secret(client: &str) -> String {
        format!("{client}-secret-for-tests")
    }

    /// An access token by client credentials.
    pub async fn client_credentials(&self, client: &str, scope: Option<&str>) -> Result<String> {
        self.client_credentials_at(&self.issuer(), client, scope).await
    }

    /// The same from the realm under another of its names.
    pub async fn client_credentials_at(
        &self,
        issuer: &str,
        client: &str,
        scope: Option<&str>,
    ) -> Result<String> {
        let secret = Self::secret(client);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret.as_str()),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        token(&self.client, issuer, &form).await
    }
}

pub(super) async fn token(client: &Client, issuer: &str, form: &[(&str, &str)]) -> Result<String> {
    let url = format!("{issuer}/protocol/openid-connect/token");
    let answer: Value = client.post(url).form(form).send().await?.json().await?;
    let token = answer["access_token"].as_str();
    Ok(token.with_context(|| format!("no access token: {answer}"))?.to_owned())
}
