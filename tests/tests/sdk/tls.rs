//! Keycloak over TLS with a private certificate authority.

use std::sync::Arc;

use anyhow::Result;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::provider::Provider;

use crate::lab::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_trusted_only_when_its_file_is_named() -> Result<()> {
    let lab = Lab::common().await?;
    let provider = lab.tls_provider(HttpOptions::default())?;
    let metadata = provider.metadata().await?;
    assert_eq!(metadata.issuer.as_str(), lab.realm.tls_issuer());

    let platform = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
    let provider = Provider::new(lab.realm.tls_issuer().parse()?, platform);
    let refusal = provider.metadata().await.unwrap_err().to_string();
    assert!(refusal.contains("certificate"), "{refusal}");
    Ok(())
}
