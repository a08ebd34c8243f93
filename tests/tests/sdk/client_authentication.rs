//! Every client authentication gives a token, and a wrong credential is refused with its code.

use anyhow::Result;
use e2e::keycloak::Realm;
use oidc_core::client::{AutoAuth, ClientAuth, ClientSecret, PrivateKeyJwt, TokenEndpointError};
use oidc_core::token::Algorithm;

use crate::{
    lab::{Lab, client_credentials, secret},
    signing_key::{KID, TestKey},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_header_or_in_the_body() -> Result<()> {
    let lab = Lab::common().await?;
    for auth in [secret("job"), ClientAuth::SecretPost("job-secret-for-tests".into())] {
        lab.endpoint("job", auth)?.request(client_credentials(None)).await?;
    }
    for auth in [ClientAuth::SecretBasic("wrong".into()), ClientAuth::SecretPost("wrong".into())] {
        let refusal =
            lab.endpoint("job", auth)?.request(client_credentials(None)).await.unwrap_err();
        assert!(matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");
        assert!(!refusal.is_temporary());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_needs_no_restart() -> Result<()> {
    const CLIENT: &str = "job-with-a-changing-secret";
    let lab = Lab::common().await?;
    let file = lab.folder()?.join("secret");
    std::fs::write(&file, format!("{}\n", Realm::secret(CLIENT)))?;
    let endpoint = lab.endpoint(CLIENT, ClientAuth::SecretBasic(ClientSecret::file(&file)))?;
    endpoint.request(client_credentials(None)).await?;

    lab.realm.set_secret(CLIENT, "a-new-secret-for-tests").await?;
    let refusal = endpoint.request(client_credentials(None)).await.unwrap_err();
    assert!(matches!(refusal, TokenEndpointError::InvalidClient { .. }), "{refusal:?}");
    std::fs::write(&file, "a-new-secret-for-tests\n")?;
    endpoint.request(client_credentials(None)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_signs_and_is_not_sent() -> Result<()> {
    let lab = Lab::common().await?;
    let as_client = |secret: String| {
        lab.endpoint("job-with-hmac-key", ClientAuth::SecretJwt(secret.as_str().into()))
    };
    let secret = Realm::secret("job-with-hmac-key");
    as_client(secret.clone())?.request(client_credentials(None)).await?;
    let wrong = secret.to_uppercase();
    let refusal = as_client(wrong)?.request(client_credentials(None)).await.unwrap_err();
    // Keycloak answers 400 with its own code; elsewhere the status identifies a wrong secret.
    assert_eq!(refusal.code(), "unauthorized_client", "{refusal:?}");
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
        endpoint(&key)?.request(client_credentials(None)).await?;
        let refusal = endpoint(&other)?.request(client_credentials(None)).await.unwrap_err();
        assert!(
            matches!(refusal, TokenEndpointError::InvalidClient { .. }),
            "{algorithm}: {refusal:?}"
        );
    }
    Ok(())
}

/// Keycloak announces every method, whatever it accepts of this client, so `auto` has to try.
#[tokio::test(flavor = "multi_thread")]
async fn auto_finds_this_clients_method_and_keeps_it() -> Result<()> {
    for (client, tries) in [("job-with-hmac-key", 1), ("job-with-a-longer-name", 2)] {
        let (lab, wire) = Lab::common().await?.counted().await?;
        let missing = lab.folder()?.join("no-such-assertion");
        let auto = AutoAuth::new()
            .with_assertion_file(missing)
            .with_secret(Realm::secret(client).as_str());
        let endpoint = lab.endpoint(client, ClientAuth::Auto(auto))?;
        endpoint.request(client_credentials(None)).await?;
        assert_eq!(wire.count("/token"), tries, "{client}");
        endpoint.request(client_credentials(None)).await?;
        assert_eq!(wire.count("/token"), tries + 1, "{client}");
    }
    Ok(())
}
