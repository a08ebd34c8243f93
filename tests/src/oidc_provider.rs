//! A real provider that is not Keycloak: the npm package `oidc-provider`, a certified OpenID Provider, with its own forms.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    keycloak::GATEWAY_CLIENT,
    program::Program,
    tools,
    visitor::{Answer, Manner, Visitor, attribute},
    wait,
    world::free_port,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The API that its JWT access tokens are for; their audience is `models`.
pub const API: &str = "https://models.platform.example";

/// A running provider, with the users `alice` (role `data-scientist`, group `lab`) and `bob`.
#[derive(Debug)]
pub struct OidcProvider {
    port: u16,
    _program: Program,
}

impl OidcProvider {
    /// A provider that knows the gateway of this origin. Access tokens live for `lifetime`.
    pub(crate) async fn start(folder: &Path, origin: &str, lifetime: Duration) -> Result<Self> {
        let port = free_port()?;
        let client = json!({
            "client_id": GATEWAY_CLIENT,
            "client_secret": Self::secret(),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": [format!("{origin}/oauth2/callback")],
            "post_logout_redirect_uris": [format!("{origin}/oauth2/signed_out")],
            "backchannel_logout_uri": format!("{origin}/oauth2/backchannel_logout"),
            "backchannel_logout_session_required": true,
        });
        let job = json!({
            "client_id": "job",
            "client_secret": Self::secret(),
            "grant_types": ["client_credentials"],
            "response_types": [],
            "redirect_uris": [],
        });
        let options =
            json!({ "port": port, "clients": [client, job], "lifetime": lifetime.as_secs() });
        let program = Program::start(
            "oidc-provider",
            folder,
            Command::new("node")
                .arg(tools::fixture("oidc_provider.mjs"))
                .arg(tools::installed("node/node_modules/oidc-provider")?)
                .arg(options.to_string())
                .current_dir(folder),
        )?;
        let provider = Self { port, _program: program };
        let discovery = format!("{}/.well-known/openid-configuration", provider.issuer());
        wait::until_ready("oidc-provider", &discovery, PATIENCE).await?;
        Ok(provider)
    }

    /// Secret of each client.
    pub fn secret() -> &'static str {
        "a secret of the clients of oidc-provider"
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The token response of the client `job` for itself, for [`API`].
    pub async fn job_token(&self) -> Result<String> {
        let form = [("grant_type", "client_credentials"), ("resource", API), ("scope", "score")];
        let request = crate::visitor::plain_client()?.post(format!("{}/token", self.issuer()));
        let secret = Self::secret().replace(' ', "%20");
        let answer: Value =
            request.basic_auth("job", Some(secret)).form(&form).send().await?.json().await?;
        Ok(answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
    }

    /// Opens a page of the gateway, signs in at the provider's forms, consents, and returns where that ends.
    pub async fn log_in(visitor: &Visitor, url: &str, user: &str) -> Result<Answer> {
        let form = visitor.arrive(url).await?;
        let login = [("prompt", "login"), ("login", user), ("password", user)];
        let consent = Self::submit(visitor, &form, &login).await?;
        Self::submit(visitor, &consent, &[("prompt", "consent")]).await
    }

    /// Confirms the sign-out on the provider's page.
    pub async fn confirm_logout(visitor: &Visitor, page: &Answer) -> Result<Answer> {
        let xsrf = attribute(&page.body, "name=\"xsrf\"", "value");
        let xsrf = xsrf.with_context(|| format!("{} has no form: {}", page.url, page.body))?;
        Self::submit(visitor, page, &[("xsrf", &xsrf), ("logout", "yes")]).await
    }

    async fn submit(visitor: &Visitor, page: &Answer, fields: &[(&str, &str)]) -> Result<Answer> {
        let action = attribute(&page.body, "method=\"post\"", "action");
        let action = action.with_context(|| format!("{} has no form: {}", page.url, page.body))?;
        let action = page.url.join(&action)?;
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = visitor
            .send(Method::POST, action.as_str(), Manner::Navigation, &headers, Some(body))
            .await?;
        visitor.follow(answer).await
    }
}
