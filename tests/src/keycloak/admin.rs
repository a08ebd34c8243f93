//! Changes and counts in a realm through the admin API.

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Realm;

const SIGNING_KEYS: &str = "org.keycloak.keys.KeyProvider";

impl Realm {
    /// Sets the lifetime of new access tokens.
    pub async fn access_tokens_live(&self, seconds: u32) -> Result<()> {
        self.configure(&json!({ "accessTokenLifespan": seconds })).await
    }

    /// Changes settings of the realm; the rest stays.
    pub async fn configure(&self, settings: &Value) -> Result<()> {
        self.admin(Method::PUT, "", Some(settings)).await.map(drop)
    }

    /// The sessions a person has at Keycloak.
    pub async fn sessions(&self, user: &str) -> Result<Vec<Value>> {
        let id = self.user_id(user).await?;
        list(self.admin(Method::GET, &format!("/users/{id}/sessions"), None).await?)
    }

    /// Ends every session of a person, as an administrator does.
    pub async fn log_out(&self, user: &str) -> Result<()> {
        let id = self.user_id(user).await?;
        self.admin(Method::POST, &format!("/users/{id}/logout"), None).await.map(drop)
    }

    /// Recorded events of one kind, such as `REFRESH_TOKEN` or `REFRESH_TOKEN_ERROR`; newest first.
    pub async fn events(&self, kind: &str) -> Result<Vec<Value>> {
        list(self.admin(Method::GET, &format!("/events?type={kind}&max=1000"), None).await?)
    }

    /// Gives or takes a realm role.
    pub async fn set_role(&self, user: &str, role: &str, given: bool) -> Result<()> {
        let id = self.user_id(user).await?;
        let role = self.admin(Method::GET, &format!("/roles/{role}"), None).await?;
        let method = if given { Method::POST } else { Method::DELETE };
        let path = format!("/users/{id}/role-mappings/realm");
        self.admin(method, &path, Some(&json!([role]))).await.map(drop)
    }

    /// Replaces attributes of a client, such as `backchannel.logout.url`.
    pub async fn set_client_attributes(&self, client: &str, attributes: &Value) -> Result<()> {
        self.change_client(client, |client| {
            for (name, value) in attributes.as_object().into_iter().flatten() {
                client["attributes"][name] = value.clone();
            }
        })
        .await
    }

    /// Gives a client another secret; Keycloak rejects the former one.
    pub async fn set_secret(&self, client: &str, secret: &str) -> Result<()> {
        self.change_client(client, |client| client["secret"] = json!(secret)).await
    }

    /// Has a client authenticate by assertions of another issuer, with these attributes.
    pub async fn authenticate_by_assertion(&self, client: &str, attributes: &Value) -> Result<()> {
        self.change_client(client, |client| {
            client["clientAuthenticatorType"] = json!("federated-jwt");
        })
        .await?;
        self.set_client_attributes(client, attributes).await
    }

    /// Changes members of a client's representation.
    pub async fn change_client(&self, client: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let path = format!("/clients?clientId={client}");
        let found = list(self.admin(Method::GET, &path, None).await?)?;
        let mut client = found.into_iter().next().context("no such client")?;
        change(&mut client);
        let id = client["id"].as_str().context("the client has no id")?.to_owned();
        self.admin(Method::PUT, &format!("/clients/{id}"), Some(&client)).await.map(drop)
    }

    /// Adds another issuer that this realm trusts: for client assertions, or for the JWT bearer grant.
    pub async fn add_identity_provider(&self, provider: &Value) -> Result<()> {
        self.admin(Method::POST, "/identity-provider/instances", Some(provider)).await.map(drop)
    }

    /// Links a user to a subject of another issuer.
    pub async fn link_identity(&self, user: &str, provider: &str, subject: &str) -> Result<()> {
        let id = self.user_id(user).await?;
        let link = json!({ "identityProvider": provider, "userId": subject, "userName": user });
        let path = format!("/users/{id}/federated-identity/{provider}");
        self.admin(Method::POST, &path, Some(&link)).await.map(drop)
    }

    /// Adds the public client `agent` of an agent that comes back to this address. Its scope `tools` brings the audience of a protected
    /// resource into tokens; `export` is one that it has to ask for.
    pub async fn add_agent(&self, resource: &str, redirect_uri: &str) -> Result<()> {
        let audience = json!({
            "name": "audience of the resource",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {
                "included.custom.audience": resource,
                "access.token.claim": "true",
                "introspection.token.claim": "true",
            },
        });
        for (name, mappers) in [("tools", json!([audience])), ("export", json!([]))] {
            let scope = json!({
                "name": name,
                "protocol": "openid-connect",
                "attributes": { "include.in.token.scope": "true" },
                "protocolMappers": mappers,
            });
            self.admin(Method::POST, "/client-scopes", Some(&scope)).await?;
        }
        let client = json!({
            "clientId": "agent",
            "publicClient": true,
            "standardFlowEnabled": true,
            "directAccessGrantsEnabled": false,
            "redirectUris": [redirect_uri],
            "attributes": { "pkce.code.challenge.method": "S256" },
            "defaultClientScopes": ["basic", "roles", "profile"],
            "optionalClientScopes": ["tools", "export", "offline_access"],
        });
        self.admin(Method::POST, "/clients", Some(&client)).await.map(drop)
    }

    /// Makes a new RSA key that signs from now on; the former ones still verify.
    pub async fn rotate_signing_key(&self) -> Result<()> {
        let realm = self.admin(Method::GET, "", None).await?;
        let priority = self.signing_keys().await?.len() * 100 + 200;
        let key = json!({
            "name": format!("rsa-{priority}"),
            "providerId": "rsa-generated",
            "providerType": SIGNING_KEYS,
            "parentId": realm["id"],
            "config": { "priority": [priority.to_string()], "algorithm": ["RS256"] },
        });
        self.admin(Method::POST, "/components", Some(&key)).await.map(drop)
    }

    /// Removes the RSA keys that signed before the present one, as after a theft.
    pub async fn remove_former_signing_keys(&self) -> Result<()> {
        let mut keys = self.signing_keys().await?;
        keys.sort_by_key(|key| {
            key["config"]["priority"][0].as_str().map(str::parse::<u32>).and_then(Result::ok)
        });
        keys.pop();
        for key in keys {
            let id = key["id"].as_str().context("the component has no id")?;
            self.admin(Method::DELETE, &format!("/components/{id}"), None).await?;
        }
        Ok(())
    }

    async fn signing_keys(&self) -> Result<Vec<Value>> {
        let path = format!("/components?type={SIGNING_KEYS}");
        let mut keys = list(self.admin(Method::GET, &path, None).await?)?;
        keys.retain(|key| key["providerId"] == "rsa-generated");
        Ok(keys)
    }

    async fn user_id(&self, user: &str) -> Result<String> {
        let found =
            self.admin(Method::GET, &format!("/users?exact=true&username={user}"), None).await?;
        Ok(found[0]["id"].as_str().with_context(|| format!("no user {user}"))?.to_owned())
    }

    pub(super) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        self.send(method, &format!("/admin/realms/{}{path}", self.name), body).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let token = self.keycloak.admin_token(&self.client).await?;
        let url = format!("{}{path}", self.keycloak.base);
        let mut request = self.client.request(method.clone(), &url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{method} {url} answers {status}: {text}");
        }
        match status {
            StatusCode::NO_CONTENT | StatusCode::CREATED => Ok(Value::Null),
            _ if text.is_empty() => Ok(Value::Null),
            _ => Ok(serde_json::from_str(&text)?),
        }
    }
}

pub(super) fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        other => bail!("expected a list, Keycloak answers {other}"),
    }
}
