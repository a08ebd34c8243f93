//! Clients that authenticate by a certificate, and tokens that are bound to it (RFC 8705).

use anyhow::{Context as _, Result};
use e2e::authority::Certified;
use oidc_core::client::{AutoAuth, ClientAuth, TokenEndpoint, TokenEndpointError};
use oidc_core::http::reqwest::HttpOptions;
use oidc_core::keys::RemoteKeys;
use oidc_core::verify::Presented;
use oidc_core::{Validation, Verifier};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;

use crate::lab::{Lab, client_credentials};

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_authenticates_and_its_token_is_bound() -> Result<()> {
    let lab = Lab::common().await?;
    let authority = lab.realm.authority();
    let (mine, other) = (authority.client("certified-job")?, authority.client("another-job")?);
    let subject = json!({ "x509.subjectdn": "CN=certified-job" });
    lab.realm.set_client_attributes("job-certificate", &subject).await?;

    let endpoint = |certified: &Certified, auth: ClientAuth| -> Result<TokenEndpoint> {
        let Certified { certificate, key, .. } = certified.clone();
        let options = HttpOptions::default().with_client_certificate(certificate, key);
        Ok(TokenEndpoint::new(lab.tls_provider(options)?, "job-certificate", auth))
    };
    let tokens = endpoint(&mine, ClientAuth::MutualTls)?.request(client_credentials(None)).await?;
    let auto = ClientAuth::Auto(AutoAuth::new().with_certificate());
    endpoint(&mine, auto)?.request(client_credentials(None)).await?;
    let refusal = endpoint(&other, ClientAuth::MutualTls)?
        .request(client_credentials(None))
        .await
        .unwrap_err();
    assert!(matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");
    let provider = lab.tls_provider(HttpOptions::default())?;
    let without = TokenEndpoint::new(provider.clone(), "job-certificate", ClientAuth::MutualTls);
    let refusal = without.request(client_credentials(None)).await.unwrap_err();
    assert!(matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");

    let validation = Validation::new(provider.issuer().clone(), "churn");
    let verifier = Verifier::new(validation, std::sync::Arc::new(RemoteKeys::new(provider)));
    let token = tokens.access_token.expose();
    let (mine, other) = (der(&mine)?, der(&other)?);
    verifier.presented(&Presented::bearer(token).with_certificate(&mine)).await?;
    let refusal = verifier.access_token(token).await.unwrap_err();
    assert_eq!(refusal.code(), "sender_constrained");
    let refusal = verifier.presented(&Presented::bearer(token)).await.unwrap_err();
    assert_eq!(refusal.code(), "certificate_missing");
    let stolen = Presented::bearer(token).with_certificate(&other);
    assert_eq!(verifier.presented(&stolen).await.unwrap_err().code(), "wrong_certificate");
    Ok(())
}

fn der(certified: &Certified) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(&certified.certificate).context("no certificate")
}
