//! Logins whose request (RFC 9101) or answer (JARM) is signed, so that the browser cannot change it.

use anyhow::{Context as _, Result};
use e2e::visitor::Visitor;
use oidc_core::client::{ClientAuth, PrivateKeyJwt};
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::token::Algorithm;

use url::Url;

use crate::{
    lab::{Lab, finish, secret, sign_in},
    signing_key::{KID, TestKey},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_signed_and_no_other_is_accepted() -> Result<()> {
    let lab = Lab::common().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let request = lab.login_request()?.with_response_mode_jwt();
    let login = lab.log_in(&client, request, "alice").await?;
    assert_eq!(login.id_token.preferred_username(), Some("alice"));

    // The request was changed on the way to one for a plain answer.
    let request = lab.login_request()?.with_response_mode_jwt().without_pushed_request();
    let (url, pending) = client.begin_login(request.clone()).await?;
    let mut stripped = url.clone();
    let kept = url.query_pairs().filter(|(name, _)| name != "response_mode");
    stripped.query_pairs_mut().clear().extend_pairs(kept);
    let plain = query(&sign_in(&stripped, "alice").await?)?;
    let refusal = client.parse_callback(&plain, &pending).await.unwrap_err();
    assert!(matches!(refusal, CallbackRefusal::NotSigned), "{refusal:?}");

    let (url, another) = client.begin_login(request).await?;
    let signed = query(&sign_in(&url, "alice").await?)?;
    let refusal = client.parse_callback(&signed, &pending).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_state", "signed by Keycloak, but for another login");
    let other = lab.client("pushed", secret("pushed"))?;
    let refusal = other.parse_callback(&signed, &another).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_audience", "signed by Keycloak, but for another client");
    let (claims, signature) = signed.rsplit_once('.').context("no signature")?;
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{claims}.{first}{}", signature.get(1..).context("no signature")?);
    let refusal = client.parse_callback(&changed, &another).await.unwrap_err();
    assert_eq!(refusal.code(), "bad_signature", "{refusal}");
    client.parse_callback(&signed, &another).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_signed_where_required_pushed_or_not() -> Result<()> {
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

/// The query of an answer.
fn query(back: &Url) -> Result<String> {
    Ok(back.query().context("nothing came back")?.to_owned())
}
