//! One Keycloak for the test process, a realm of its own for each scenario.
//!
//! Realms are made from `fixtures/realm.json` through the admin API, so scenarios that shorten token lives, end
//! sessions or count refreshes do not meet each other.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    program::Program,
    relay::Relay,
    tools, visitor, wait,
    world::{free_port, run_folder},
};

const ADMIN: &str = "admin";

/// The client of the gateway in every realm.
pub const GATEWAY_CLIENT: &str = "gateway";

/// A running Keycloak.
#[derive(Debug)]
pub struct Keycloak {
    base: String,
    _program: Program,
}

impl Keycloak {
    /// The Keycloak of this test process, started by whoever asks first.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Keycloak> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    async fn start() -> Result<Self> {
        let (port, management) = (free_port()?, free_port()?);
        let mut program = Program::start(
            "keycloak",
            &run_folder()?,
            Command::new(tools::installed("keycloak/bin/kc.sh")?)
                .args(["start", "--optimized", "--http-enabled=true", "--hostname-strict=false"])
                .arg("--http-host=127.0.0.1")
                .arg(format!("--http-port={port}"))
                .arg(format!("--http-management-port={management}"))
                .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
                .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN)
                .env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx768m")
                // Half the start-up time: the fast compiler only.
                .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1"),
        )?;
        let health = format!("http://127.0.0.1:{management}/health/ready");
        let client = visitor::plain_client()?;
        wait::until("Keycloak", Duration::from_secs(120), async || {
            program.check_running()?;
            let answer = client.get(&health).timeout(Duration::from_secs(5)).send().await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await?;
        Ok(Self { base: format!("http://127.0.0.1:{port}"), _program: program })
    }

    /// A realm from the fixture, whose gateway client may come back to `public_url`.
    pub async fn realm(&'static self, name: &str, public_url: &str) -> Result<Realm> {
        let fixture = std::fs::read_to_string(tools::fixture("realm.json"))?;
        let mut body: Value = serde_json::from_str(&fixture)?;
        body["realm"] = json!(name);
        let gateway = body["clients"]
            .as_array_mut()
            .and_then(|clients| clients.iter_mut().find(|c| c["clientId"] == GATEWAY_CLIENT))
            .context("the fixture has no gateway client")?;
        gateway["redirectUris"] = json!([format!("{public_url}/oauth2/callback")]);
        gateway["attributes"]["post.logout.redirect.uris"] = json!(format!("{public_url}/*"));
        let realm =
            Realm { keycloak: self, name: name.to_owned(), client: visitor::plain_client()? };
        realm.send(Method::POST, "/admin/realms", Some(&body)).await?;
        Ok(realm)
    }

    async fn admin_token(&self, client: &Client) -> Result<String> {
        let form = [
            ("client_id", "admin-cli"),
            ("grant_type", "password"),
            ("username", ADMIN),
            ("password", ADMIN),
        ];
        token(client, &format!("{}/realms/master", self.base), &form).await
    }
}

/// One realm and its administration.
#[derive(Debug)]
pub struct Realm {
    keycloak: &'static Keycloak,
    name: String,
    client: Client,
}

impl Realm {
    /// The issuer identifier.
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.keycloak.base, self.name)
    }

    /// The same realm as it presents itself to whoever comes through `relay`: Keycloak names itself as it is addressed.
    pub fn issuer_through(&self, relay: &Relay) -> String {
        format!("http://{}/realms/{}", relay.address(), self.name)
    }

    /// A wire to this Keycloak that a scenario can cut.
    pub async fn relay(&self) -> Result<Relay> {
        Relay::to(self.keycloak.base.trim_start_matches("http://")).await
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

    /// How long access tokens live from now on.
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
        let found =
            list(self.admin(Method::GET, &format!("/clients?clientId={client}"), None).await?)?;
        let mut client = found.into_iter().next().context("no such client")?;
        for (name, value) in attributes.as_object().into_iter().flatten() {
            client["attributes"][name] = value.clone();
        }
        let id = client["id"].as_str().context("the client has no id")?.to_owned();
        self.admin(Method::PUT, &format!("/clients/{id}"), Some(&client)).await.map(drop)
    }

    async fn user_id(&self, user: &str) -> Result<String> {
        let found =
            self.admin(Method::GET, &format!("/users?exact=true&username={user}"), None).await?;
        Ok(found[0]["id"].as_str().with_context(|| format!("no user {user}"))?.to_owned())
    }

    async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        self.send(method, &format!("/admin/realms/{}{path}", self.name), body).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
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

fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        other => bail!("expected a list, Keycloak answers {other}"),
    }
}

async fn token(client: &Client, issuer: &str, form: &[(&str, &str)]) -> Result<String> {
    let url = format!("{issuer}/protocol/openid-connect/token");
    let answer: Value = client.post(url).form(form).send().await?.json().await?;
    let token = answer["access_token"].as_str();
    Ok(token.with_context(|| format!("no access token: {answer}"))?.to_owned())
}
