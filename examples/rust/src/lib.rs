//! A provider for trying the examples without another one: `cargo run --bin provider`, and
//! the test that keeps the examples running.
//!
//! The examples are in `src/bin/`, one file each, and use nothing of this.

use std::time::Duration;

use anyhow::Context as _;
use dev_issuer::{DevClient, DevIssuer, Mint, User};

/// Subject of the example's Kubernetes service account.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:scoring:nightly";

/// A realm with the examples' clients, and a cluster that it trusts. Both end when this is dropped.
#[derive(Debug)]
pub struct Lab {
    issuer: DevIssuer,
    cluster: DevIssuer,
}

impl Lab {
    /// Serves the realm at this address on loopback; port 0 chooses one.
    ///
    /// # Errors
    /// If the address is taken, or not on loopback.
    pub async fn start(address: &str) -> anyhow::Result<Self> {
        oidc_core::http::reqwest::install_crypto_provider();
        let cluster = DevIssuer::builder()
            .realm("cluster")
            .client(DevClient::public("kubelet"))
            .start("127.0.0.1:0")
            .await?;
        let keys = format!("{}/protocol/openid-connect/certs", cluster.url());
        let keys = reqwest::get(keys).await?.error_for_status()?.text().await?;

        let hour = Duration::from_secs(3600);
        let issuer = DevIssuer::builder()
            .realm("lab")
            .trust(cluster.url(), keys)
            .user(User::new("alice", "alice").name("Alice Example").roles(["data-scientist"]))
            .client(DevClient::public("portal-web").audience("portal").access_token_lifetime(hour))
            .client(
                DevClient::confidential("portal", "portal-secret")
                    .audience("portal")
                    .scope("score"),
            )
            .client(DevClient::confidential("churn", "churn-secret"))
            .client(
                DevClient::confidential("airflow-run", "airflow-secret")
                    .audience("churn")
                    .scopes(["score", "models:read"]),
            )
            .client(
                DevClient::federated("nightly", cluster.url(), SERVICE_ACCOUNT)
                    .audience("churn")
                    .scope("score"),
            )
            .start(address)
            .await
            .context("the provider cannot be started there")?;
        Ok(Self { issuer, cluster })
    }

    /// The issuer.
    pub fn url(&self) -> &str {
        self.issuer.url()
    }

    /// The provider itself, to count its requests.
    pub fn issuer(&self) -> &DevIssuer {
        &self.issuer
    }

    /// A token of Alice for the portal, as a browser application would have it. It lasts an hour.
    ///
    /// # Errors
    /// None, as long as Alice is known.
    pub fn alices_token(&self) -> anyhow::Result<String> {
        Ok(self.issuer.log_in("alice", "portal-web", "openid profile")?.access_token)
    }

    /// A service account token for the issuer, as the cluster would write it into the pod.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn service_account_token(&self) -> anyhow::Result<String> {
        let pod = Mint::service("kubelet")
            .claim("sub", SERVICE_ACCOUNT)
            .audience([self.issuer.url()])
            .expires_in(Duration::from_secs(3600));
        Ok(self.cluster.mint(pod)?)
    }
}

/// The lines of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust.md")]
struct Guide;
