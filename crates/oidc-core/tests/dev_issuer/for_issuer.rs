//! A verifier from an issuer and an audience as text.

use dev_issuer::{DevClient, DevIssuer, Endpoint, Mint};
use oidc_core::{InvalidIssuer, Verifier, VerifierSetupError};

#[tokio::test]
async fn the_first_token_fetches_the_keys() {
    let builder = DevIssuer::demo_builder().client(DevClient::confidential("lab", "s3cret"));
    let issuer = builder.start("127.0.0.1:0").await.unwrap();
    let mint = |audience| Mint::access("alice").client("lab").audience([audience]);
    let verifier = Verifier::for_issuer(issuer.url(), "hub").unwrap();
    assert_eq!(issuer.requests(Endpoint::Discovery), 0);

    let token = issuer.mint(mint("hub")).unwrap();
    let verified = verifier.access_token(&token).await.unwrap();
    assert_eq!(verified.preferred_username(), Some("alice"));
    verifier.access_token(&token).await.unwrap();
    assert_eq!((issuer.requests(Endpoint::Discovery), issuer.requests(Endpoint::Jwks)), (1, 1));

    let elsewhere = issuer.mint(mint("elsewhere")).unwrap();
    assert_eq!(verifier.access_token(&elsewhere).await.unwrap_err().code(), "wrong_audience");
}

#[tokio::test]
async fn what_is_no_issuer_is_refused_before_anything_is_fetched() {
    for (text, expected) in [
        ("id.example/realms/lab", "is not a URL"),
        ("http://id.example/realms/lab", "must use https"),
        ("https://id.example/realms/lab?x=1", "neither query nor fragment"),
    ] {
        let error = Verifier::for_issuer(text, "hub").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let VerifierSetupError::Issuer(_) = error else { unreachable!("{error}") };
    }
    let error: VerifierSetupError = "".parse::<oidc_core::Issuer>().unwrap_err().into();
    assert!(matches!(error, VerifierSetupError::Issuer(InvalidIssuer::NotAUrl { .. })));
}
