//! Programs without a secret: Keycloak trusts another issuer's tokens about them (its federated client authentication).
//!
//! The other issuers are dev-issuer, which Keycloak asks for its keys as it would ask a cluster or a SPIFFE server.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use dev_issuer::{DevClient, DevIssuer, Mint};
use oidc_core::client::{ClientAuth, Grant, TokenEndpointError};
use serde_json::{Value, json};

use crate::lab::{Lab, client_credentials, secret};

const ACCOUNT: &str = "system:serviceaccount:lab:job";
const SPIFFE_ID: &str = "spiffe://lab.example/job";

#[tokio::test(flavor = "multi_thread")]
async fn a_kubernetes_service_account_token_is_enough() -> Result<()> {
    let lab = Lab::common().await?;
    let cluster = another_issuer().await?;
    trust(&lab, "kubernetes", json!({ "issuer": cluster.url() }), ACCOUNT).await?;
    let minted = |subject: &str, audience: &str| {
        let life = Duration::from_secs(600);
        cluster.mint(
            Mint::service("workload").claim("sub", subject).audience([audience]).expires_in(life),
        )
    };

    let issuer = lab.issuer();
    let file = write(&lab, &minted(ACCOUNT, issuer.as_str())?)?;
    let endpoint = lab.endpoint("job-kubernetes", ClientAuth::AssertionFile(file.clone()))?;
    endpoint.request(client_credentials(None)).await?;
    // The kubelet writes a new token only when the former is about to end: one serves many requests.
    endpoint.request(client_credentials(None)).await?;

    let elsewhere = minted(ACCOUNT, "https://elsewhere.example")?;
    let other = minted("system:serviceaccount:lab:other", issuer.as_str())?;
    for wrong in [elsewhere, other] {
        std::fs::write(&file, wrong)?;
        let refusal = endpoint.request(client_credentials(None)).await.unwrap_err();
        assert!(matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");
    }
    std::fs::write(&file, minted(ACCOUNT, issuer.as_str())?)?;
    endpoint.request(client_credentials(None)).await.context("the file is read at each request")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_svid_is_enough() -> Result<()> {
    let lab = Lab::common().await?;
    let server = another_issuer().await?;
    let bundle = json!({
        "trustDomain": "spiffe://lab.example",
        "bundleEndpoint": jwks_uri(&server).await?,
    });
    trust(&lab, "spiffe", bundle, SPIFFE_ID).await?;
    let svid = |id: &str| {
        let order = Mint::service("workload").claim("sub", id).audience([lab.issuer().as_str()]);
        server.mint(order.expires_in(Duration::from_secs(200)).without("iss"))
    };

    let file = write(&lab, &svid(SPIFFE_ID)?)?;
    let endpoint = lab.endpoint("job-spiffe", ClientAuth::JwtSvidFile(file.clone()))?;
    endpoint.request(client_credentials(None)).await?;
    let as_jwt_bearer = lab.endpoint("job-spiffe", ClientAuth::AssertionFile(file.clone()))?;
    let refusal = as_jwt_bearer.request(client_credentials(None)).await.unwrap_err();
    assert_eq!(refusal.code(), "invalid_client", "Keycloak distinguishes the two kinds");
    std::fs::write(&file, svid("spiffe://lab.example/other")?)?;
    let refusal = endpoint.request(client_credentials(None)).await.unwrap_err();
    assert_eq!(refusal.code(), "invalid_client", "{refusal:?}");
    Ok(())
}

/// RFC 7523 §2.1: the assertion names the user on whose behalf the client acts, not the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_partners_assertion_about_a_user_works_once() -> Result<()> {
    let lab = Lab::common().await?;
    let partner = another_issuer().await?;
    let provider = json!({
        "alias": "partner",
        "providerId": "jwt-authorization-grant",
        "enabled": true,
        "config": {
            "issuer": partner.url(),
            "useJwksUrl": "true",
            "jwksUrl": jwks_uri(&partner).await?,
            "jwtAuthorizationGrantEnabled": "true",
        },
    });
    lab.realm.add_identity_provider(&provider).await?;
    lab.realm.link_identity("alice", "partner", "alice-at-the-partner").await?;
    let attributes = json!({ "oauth2.jwt.authorization.grant.idp": "partner" });
    lab.realm.set_client_attributes("granted", &attributes).await?;

    let asserted = |subject: &str| -> Result<Grant> {
        let order = Mint::service("workload").claim("sub", subject);
        let order = order.audience([lab.issuer().as_str()]).expires_in(Duration::from_secs(200));
        Ok(Grant::JwtBearer { assertion: partner.mint(order)?.into(), scope: None })
    };
    let endpoint = lab.endpoint("granted", secret("granted"))?;
    let once = asserted("alice-at-the-partner")?;
    let tokens = endpoint.request(once.clone()).await?;
    let verifier = lab.verifier("churn")?;
    let token = verifier.access_token(tokens.access_token.expose()).await?;
    assert_eq!(token.preferred_username(), Some("alice"));
    assert_eq!(token.client(), Some("granted"));
    for refused in [once, asserted("unknown")?] {
        let refusal = endpoint.request(refused).await.unwrap_err();
        assert!(matches!(refusal, TokenEndpointError::InvalidGrant { .. }), "{refusal:?}");
    }
    Ok(())
}

pub(crate) async fn another_issuer() -> Result<DevIssuer> {
    let workload = DevClient::confidential("workload", "never used here");
    Ok(DevIssuer::builder().client(workload).start("127.0.0.1:0").await?)
}

/// Makes the realm trust an issuer of this kind for the client `job-KIND`, which the issuer names `subject`.
pub(crate) async fn trust(lab: &Lab, kind: &str, config: Value, subject: &str) -> Result<()> {
    let provider = json!({ "alias": kind, "providerId": kind, "enabled": true, "config": config });
    lab.realm.add_identity_provider(&provider).await?;
    let attributes = json!({ "jwt.credential.issuer": kind, "jwt.credential.sub": subject });
    lab.realm.set_client_attributes(&format!("job-{kind}"), &attributes).await
}

fn write(lab: &Lab, token: &str) -> Result<PathBuf> {
    let file = lab.folder()?.join("token");
    std::fs::write(&file, token)?;
    Ok(file)
}

async fn jwks_uri(issuer: &DevIssuer) -> Result<String> {
    let client = e2e::visitor::plain_client()?;
    let metadata: Value = client.get(issuer.discovery_url()).send().await?.json().await?;
    Ok(metadata["jwks_uri"].as_str().context("no jwks_uri")?.to_owned())
}
