//! Reads settings by Keycloak's admin REST API, with `GET` only.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use cli_auth::shown;
use http::{Request, StatusCode, header};
use oidc_core::http::Http;
use oidc_core::provider::PlainHttpHosts;
use oidc_core::{Issuer, Secret};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use super::super::facts::{Administration, Client};
use super::super::needs::Needs;
use crate::assemble;
use crate::config::IssuerConfig;

/// Clients in one answer, whose size is bounded.
const PAGE: usize = 20;
/// Pages that are read at most.
const PAGES: usize = 100;

/// Pairs that installations begin with, and few administrators change.
const DEFAULTS: [&str; 8] =
    ["admin", "password", "keycloak", "changeme", "change_me", "secret", "Pa55w0rd", "admin123"];

/// An administrator's credential, as it was given.
#[derive(Debug)]
pub(in super::super) enum Credential {
    /// An access token.
    Token(Secret),
    /// A user with a password.
    User(String, Secret),
    /// The client itself, which has a service account.
    Client(Secret),
}

/// Access to the admin API of the Keycloak that has a realm.
#[derive(Debug)]
pub(in super::super) struct Administrator {
    http: Arc<dyn Http>,
    /// Address of the realm in the admin API.
    realm_url: String,
    realm: String,
    token: Secret,
    /// Whether the password is a known default.
    pub(in super::super) default_password: bool,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
}

/// A role (`RoleRepresentation`).
#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Administrator {
    /// Signs in.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or Keycloak refuses the credential.
    pub(in super::super) async fn new(
        needs: &Needs,
        issuer: &IssuerConfig,
        at: Option<&str>,
        (realm, client): (&str, &str),
        credential: &Credential,
    ) -> anyhow::Result<Self> {
        let (base, own) = needs
            .url
            .rsplit_once("/realms/")
            .context("the issuer's `url` is none of Keycloak's; name another issuer by --issuer")?;
        let base = at.unwrap_or(base).trim_end_matches('/');
        let hosts = PlainHttpHosts::dangerous(&issuer.dangerous_allow_http)?;
        // A credential crosses the network as the client's own does: encrypted, or where the configuration permits it.
        Issuer::dangerous_allow_http(base, &hosts)
            .with_context(|| format!("invalid address of the admin API `{}`", shown(base)))?;
        let http = assemble::http(&needs.name, issuer)?;
        let default_password = matches!(credential, Credential::User(user, password)
            if password.matches(user) || DEFAULTS.iter().any(|known| password.matches(known)));
        let token = match credential {
            Credential::Token(token) => token.clone(),
            Credential::User(user, password) => {
                let mut form = Serializer::new(String::new());
                form.append_pair("grant_type", "password").append_pair("client_id", client);
                form.append_pair("username", user).append_pair("password", password.expose());
                sign_in(&*http, base, realm, form.finish()).await?
            }
            Credential::Client(secret) => {
                let mut form = Serializer::new(String::new());
                form.append_pair("grant_type", "client_credentials")
                    .append_pair("client_id", client);
                form.append_pair("client_secret", secret.expose());
                sign_in(&*http, base, realm, form.finish()).await?
            }
        };
        let realm_url = format!("{base}/admin/realms/{own}");
        Ok(Self { http, realm_url, realm: own.to_owned(), token, default_password })
    }

    /// Reads the settings of the realm.
    ///
    /// # Errors
    ///
    /// Keycloak refuses, or does not answer.
    pub(in super::super) async fn read(&self, needs: &Needs) -> anyhow::Result<Administration> {
        let realm = self.ask("").await?;
        let scopes = self.ask("/client-scopes").await?;
        let mut clients: Vec<Client> = Vec::new();
        for page in 0..PAGES {
            let first = page * PAGE;
            let found: Vec<Client> =
                self.ask(&format!("/clients?first={first}&max={PAGE}")).await?;
            let last = found.len() < PAGE;
            clients.extend(found);
            if last {
                break;
            }
        }
        let mut all = Administration { realm, clients, scopes, ..Administration::default() };
        if let Some(own) = all.client(&needs.client).filter(|own| !own.full_scope_allowed) {
            all.granted_roles = self.granted(needs, own, &all).await?;
        }
        Ok(all)
    }

    /// The roles that tokens of a client may hold.
    async fn granted(
        &self,
        needs: &Needs,
        own: &Client,
        all: &Administration,
    ) -> anyhow::Result<BTreeSet<String>> {
        let scopes = needs.scopes.join(" ");
        let scopes = utf8_percent_encode(&scopes, NON_ALPHANUMERIC);
        let path = |container: &str| {
            let id = &own.id;
            format!(
                "/clients/{id}/evaluate-scopes/scope-mappings/{container}/granted?scope={scopes}"
            )
        };
        let roles: Vec<Role> = self.ask(&path(&self.realm)).await?;
        let mut granted: BTreeSet<String> = roles.into_iter().map(|role| role.name).collect();
        let named: BTreeSet<&str> =
            needs.roles.iter().filter_map(|role| Some(role.split_once(':')?.0)).collect();
        for client in named.into_iter().filter_map(|name| all.client(name)) {
            let roles: Vec<Role> = self.ask(&path(&client.id)).await?;
            let of = |role: Role| format!("{}:{}", client.client_id, role.name);
            granted.extend(roles.into_iter().map(of));
        }
        Ok(granted)
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.realm_url);
        let mut bearer = http::HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .ok()
            .context("the administrator's token holds characters that no token has")?;
        bearer.set_sensitive(true);
        let request = Request::get(&url).header(header::AUTHORIZATION, bearer).body(Bytes::new())?;
        let answer = self.http.send(request).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                bail!("Keycloak does not accept the administrator's token; it may have expired")
            }
            StatusCode::FORBIDDEN => bail!(
                "the administrator may not read {}; give the account the roles `view-realm` and `view-clients`",
                shown(&url)
            ),
            status => bail!("{} answers {status}", shown(&url)),
        }
        serde_json::from_slice(answer.body())
            .with_context(|| format!("{} answers with an unexpected document", shown(&url)))
    }
}

async fn sign_in(http: &dyn Http, base: &str, realm: &str, form: String) -> anyhow::Result<Secret> {
    let realm = utf8_percent_encode(realm, NON_ALPHANUMERIC);
    let url = format!("{base}/realms/{realm}/protocol/openid-connect/token");
    let request = Request::post(&url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))?;
    let answer = http.send(request).await?;
    let status = answer.status();
    ensure!(
        status == StatusCode::OK,
        "Keycloak does not accept the administrator: {} answers {status}; correct user, password or --admin-client",
        shown(&url)
    );
    let answer: Answer = serde_json::from_slice(answer.body())
        .ok()
        .with_context(|| format!("{} answers without an access token", shown(&url)))?;
    Ok(answer.access_token)
}
