//! Scopes, roles and mappers of clients in a realm, through the admin API.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Realm, admin::list};

impl Realm {
    /// Takes a client scope from a client, whether it is among its default or its optional ones.
    pub async fn take_client_scope(&self, client: &str, scope: &str) -> Result<()> {
        let (client, scope) = (self.client_path(client).await?, self.scope_id(scope).await?);
        for kind in ["default", "optional"] {
            let path = format!("{client}/{kind}-client-scopes/{scope}");
            self.admin(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// Gives a client a client scope: `default`, or else optional.
    pub async fn give_client_scope(&self, client: &str, scope: &str, default: bool) -> Result<()> {
        let (client, scope) = (self.client_path(client).await?, self.scope_id(scope).await?);
        let kind = if default { "default" } else { "optional" };
        let path = format!("{client}/{kind}-client-scopes/{scope}");
        self.admin(Method::PUT, &path, None).await.map(drop)
    }

    /// Lets tokens of a client hold a realm role.
    pub async fn put_role_in_scope(&self, client: &str, role: &str) -> Result<()> {
        self.role_in_scope(Method::POST, client, role).await
    }

    /// Lets tokens of a client hold a realm role no more.
    pub async fn take_role_from_scope(&self, client: &str, role: &str) -> Result<()> {
        self.role_in_scope(Method::DELETE, client, role).await
    }

    async fn role_in_scope(&self, method: Method, client: &str, role: &str) -> Result<()> {
        let role = self.admin(Method::GET, &format!("/roles/{role}"), None).await?;
        let path = format!("{}/scope-mappings/realm", self.client_path(client).await?);
        self.admin(method, &path, Some(&json!([role]))).await.map(drop)
    }

    /// Removes a mapper of a client, and returns it for [`Realm::add_mapper`].
    pub async fn take_mapper(&self, client: &str, name: &str) -> Result<Value> {
        let path = format!("{}/protocol-mappers/models", self.client_path(client).await?);
        let mut mappers = list(self.admin(Method::GET, &path, None).await?)?.into_iter();
        let mut mapper = mappers.find(|mapper| mapper["name"] == name).context("no such mapper")?;
        let id = mapper["id"].as_str().context("the mapper has no id")?;
        self.admin(Method::DELETE, &format!("{path}/{id}"), None).await?;
        mapper.as_object_mut().context("the mapper is no object")?.remove("id");
        Ok(mapper)
    }

    /// Adds a mapper to a client.
    pub async fn add_mapper(&self, client: &str, mapper: &Value) -> Result<()> {
        let path = format!("{}/protocol-mappers/models", self.client_path(client).await?);
        self.admin(Method::POST, &path, Some(mapper)).await.map(drop)
    }

    async fn client_path(&self, client: &str) -> Result<String> {
        let found = self.admin(Method::GET, &format!("/clients?clientId={client}"), None).await?;
        let id = found[0]["id"].as_str().with_context(|| format!("no client {client}"))?;
        Ok(format!("/clients/{id}"))
    }

    async fn scope_id(&self, name: &str) -> Result<String> {
        let scopes = list(self.admin(Method::GET, "/client-scopes", None).await?)?;
        let scope = scopes.iter().find(|scope| scope["name"] == name);
        let id = scope.and_then(|scope| scope["id"].as_str());
        Ok(id.with_context(|| format!("no client scope {name}"))?.to_owned())
    }
}
