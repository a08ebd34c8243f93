//! Every way for a client to prove itself gives a token, and the wrong proof is refused as what it is.

use anyhow::Result;
use oidc_core::{Algorithm, ClientAuth, Grant, PrivateKeyJwt, TokenEndpointError};

use crate::{
    lab::{Lab, secret},
    signing_key::{KID, TestKey},
};

fn client_credentials() -> Grant {
    Grant::ClientCredentials { scope: None, audience: None, resource: Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_header_or_in_the_body() -> Result<()> {
    let lab = Lab::common().await?;
    for auth in [secret("job"), ClientAuth::SecretPost("job-secret-for-tests".into())] {
        lab.endpoint("job", auth)?.request(client_credentials()).await?;
    }
    for auth in [ClientAuth::SecretBasic("wrong".into()), ClientAuth::SecretPost("wrong".into())] {
        let refusal = lab.endpoint("job", auth)?.request(client_credentials()).await.unwrap_err();
        assert!(matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");
        assert!(!refusal.is_temporary());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_of_each_kind() -> Result<()> {
    let lab = Lab::common().await?;
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (key, other) = (TestKey::generate(algorithm)?, TestKey::generate(algorithm)?);
        lab.realm.set_client_attributes("job-key", &key.client_attributes()).await?;
        let endpoint = |key: &TestKey| {
            let proof = PrivateKeyJwt::from_pem(&key.pem, algorithm, Some(KID.to_owned()))?;
            lab.endpoint("job-key", ClientAuth::PrivateKeyJwt(proof))
        };
        endpoint(&key)?.request(client_credentials()).await?;
        let refusal = endpoint(&other)?.request(client_credentials()).await.unwrap_err();
        assert!(
            matches!(refusal, TokenEndpointError::InvalidClient { .. }),
            "{algorithm}: {refusal:?}"
        );
    }
    Ok(())
}
