//! Logins whose request is signed (RFC 9101), so that nobody on the way can change it.

use anyhow::Result;
use e2e::visitor::Visitor;
use oidc_core::{Algorithm, ClientAuth, PrivateKeyJwt};

use crate::{
    lab::{Lab, finish, sign_in},
    signing_key::{KID, TestKey},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_signed_where_the_client_must_pushed_or_not() -> Result<()> {
    let lab = Lab::common().await?;
    let (key, other) = (TestKey::generate(Algorithm::ES256)?, TestKey::generate(Algorithm::ES256)?);
    let mut attributes = key.client_attributes();
    attributes["request.object.signature.alg"] = Algorithm::ES256.as_str().into();
    lab.realm.set_client_attributes("signed", &attributes).await?;
    let proof =
        |key: &TestKey| PrivateKeyJwt::from_pem(&key.pem, key.algorithm, Some(KID.to_owned()));
    let client = lab.client("signed", ClientAuth::PrivateKeyJwt(proof(&key)?))?;

    let request = lab.login_request()?.with_signed_request(proof(&key)?);
    for request in [request.clone(), request.without_pushed_request()] {
        let (url, pending) = client.begin_login(request).await?;
        let login = finish(&client, &sign_in(&url, "bob").await?, &pending).await?;
        assert_eq!(login.id_token.preferred_username(), Some("bob"));
    }

    let unsigned = lab.login_request()?.without_pushed_request();
    let forged = unsigned.clone().with_signed_request(proof(&other)?);
    for request in [unsigned, forged] {
        let (url, _) = client.begin_login(request).await?;
        let page = Visitor::new()?.open(url.as_str()).await?;
        assert_eq!(page.status, 400, "{}", page.body);
    }
    Ok(())
}
