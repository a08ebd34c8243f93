//! Facts about an issuer, as the checks read them. Nothing here opens a connection, and no secret is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// Scope that makes a login last beyond Keycloak's session.
pub(super) const OFFLINE: &str = "offline_access";

/// Facts that one issuer answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Reason the issuer gives no usable metadata; then there are no other facts.
    pub(super) unreachable: Option<String>,
    /// Whether the metadata are those of Keycloak.
    pub(super) keycloak: bool,
    /// Announced algorithms of ID tokens.
    pub(super) algorithms: Vec<String>,
    /// Seconds by which its clock is ahead of the gateway's; below zero, behind.
    pub(super) clock_ahead: Option<i64>,
    /// Reason it refuses the gateway as its client.
    pub(super) client_refused: Option<String>,
    /// Whether pushed logins showed which redirect URIs are registered.
    pub(super) logins_pushed: bool,
    /// Redirect URIs that it refused in a pushed login.
    pub(super) redirect_uris_refused: BTreeSet<Url>,
    /// Clients that may not use client credentials.
    pub(super) without_service_account: BTreeSet<String>,
    /// An access token of the gateway's client for itself.
    pub(super) own_token: Option<OwnToken>,
    /// The settings that an administrator sees.
    pub(super) administration: Option<Administration>,
    /// Whether the administrator's password is a known default.
    pub(super) default_password: bool,
}

/// The contents of a token, without the token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OwnToken {
    /// `alg` of the header.
    pub(super) algorithm: String,
    /// `typ` of the header.
    pub(super) kind: Option<String>,
    /// Seconds from `iat` to `exp`.
    pub(super) lifetime: Option<u64>,
    /// `aud`.
    pub(super) audience: Vec<String>,
}

/// Settings of a realm, its clients and its client scopes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Administration {
    /// The realm.
    pub(super) realm: Realm,
    /// Its clients.
    pub(super) clients: Vec<Client>,
    /// Its client scopes.
    pub(super) scopes: Vec<ClientScope>,
    /// Realm and client roles (`client:role`) that tokens of the gateway's client may hold.
    pub(super) granted_roles: BTreeSet<String>,
}

/// A realm (`RealmRepresentation`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Realm {
    pub(super) ssl_required: Option<String>,
    pub(super) access_token_lifespan: Option<u64>,
    pub(super) sso_session_idle_timeout: Option<u64>,
    pub(super) sso_session_max_lifespan: Option<u64>,
    pub(super) revoke_refresh_token: bool,
    pub(super) refresh_token_max_reuse: u64,
    pub(super) brute_force_protected: bool,
    pub(super) password_policy: Option<String>,
    pub(super) default_signature_algorithm: Option<String>,
}

/// A client (`ClientRepresentation`). Its secret is not read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) client_id: String,
    pub(super) root_url: Option<String>,
    pub(super) public_client: bool,
    pub(super) direct_access_grants_enabled: bool,
    pub(super) implicit_flow_enabled: bool,
    pub(super) service_accounts_enabled: bool,
    pub(super) full_scope_allowed: bool,
    pub(super) redirect_uris: Vec<String>,
    pub(super) web_origins: Vec<String>,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) default_client_scopes: Vec<String>,
    pub(super) optional_client_scopes: Vec<String>,
    pub(super) protocol_mappers: Vec<Mapper>,
}

/// A client scope (`ClientScopeRepresentation`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientScope {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) protocol_mappers: Vec<Mapper>,
}

/// A protocol mapper (`ProtocolMapperRepresentation`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mapper {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) protocol_mapper: String,
    pub(super) config: BTreeMap<String, Value>,
}

/// A mapper with the place that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// The client scope that holds it; `None`: the client's own.
    pub(super) scope: Option<&'a ClientScope>,
    /// The mapper.
    pub(super) mapper: &'a Mapper,
}

impl Client {
    /// The text of an attribute that is not empty.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The seconds of an attribute; Keycloak takes 0 for "as the realm has it".
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        self.attribute(name)?.parse().ok().filter(|seconds| *seconds > 0)
    }

    /// The registered post-logout redirect URIs; `+` stands for the redirect URIs.
    pub(super) fn post_logout_uris(&self) -> Vec<String> {
        let written = self.attribute("post.logout.redirect.uris").unwrap_or_default();
        let parts = written.split("##").filter(|uri| !uri.is_empty() && *uri != "-");
        parts
            .flat_map(|uri| match uri {
                "+" => self.redirect_uris.clone(),
                uri => vec![uri.to_owned()],
            })
            .collect()
    }

    /// Whether one of these registered URIs covers a URI, as Keycloak compares them.
    pub(super) fn covers(&self, registered: &[String], uri: &Url) -> bool {
        registered.iter().any(|pattern| {
            let absolute = match (pattern.starts_with('/'), &self.root_url) {
                (true, Some(root)) => format!("{}{pattern}", root.trim_end_matches('/')),
                _ => pattern.clone(),
            };
            match absolute.strip_suffix('*') {
                Some(start) => uri.as_str().starts_with(start),
                None => absolute == uri.as_str(),
            }
        })
    }
}

impl Mapper {
    /// The text of a setting.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.config.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether a setting is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.setting(name) == Some("true")
    }

    /// Whether it writes this claim into access tokens or ID tokens.
    pub(super) fn writes(&self, claim: &str) -> bool {
        // Keycloak escapes a dot that is no step as `\.`.
        let written = self.setting("claim.name").map(|name| name.replace("\\.", "."));
        written.as_deref() == Some(claim)
            && (self.is_on("access.token.claim") || self.is_on("id.token.claim"))
    }

    /// Whether it brings this audience into access tokens.
    pub(super) fn brings(&self, audience: &str) -> bool {
        self.protocol_mapper == "oidc-audience-mapper"
            && self.is_on("access.token.claim")
            && ["included.client.audience", "included.custom.audience"]
                .into_iter()
                .any(|name| self.setting(name) == Some(audience))
    }
}

impl Administration {
    /// The client of this name.
    pub(super) fn client(&self, name: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.client_id == name)
    }

    /// The mappers that act on a login of a client with these scopes.
    pub(super) fn mappers<'a>(
        &'a self,
        client: &'a Client,
        requested: &'a [String],
    ) -> impl Iterator<Item = Placed<'a>> {
        let acts = |scope: &&ClientScope| {
            client.default_client_scopes.contains(&scope.name)
                || (client.optional_client_scopes.contains(&scope.name)
                    && requested.contains(&scope.name))
        };
        let own = client.protocol_mappers.iter().map(|mapper| Placed { scope: None, mapper });
        own.chain(self.scopes.iter().filter(acts).flat_map(|scope| {
            scope.protocol_mappers.iter().map(|mapper| Placed { scope: Some(scope), mapper })
        }))
    }

    /// Whether a token of some client can carry an audience.
    pub(super) fn can_carry(&self, audience: &str) -> bool {
        self.clients.iter().any(|client| {
            self.mappers(client, &client.optional_client_scopes)
                .any(|placed| placed.mapper.brings(audience))
        })
    }
}
