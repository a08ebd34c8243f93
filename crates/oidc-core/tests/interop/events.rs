//! Token requests of the crate `oauth2` as events for an observer.

use std::sync::{Arc, Mutex};

use dev_issuer::{Endpoint, Fault};
use oauth2::basic::BasicClient;
use oauth2::{ClientId, IntrospectionUrl, TokenUrl};
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::interop::oauth2::AuthenticatedHttpClient;
use oidc_core::observer::Event;

use crate::{issuer, provider};

#[tokio::test]
async fn requests_of_oauth2_are_observed() {
    let issuer = issuer().await;
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&notes);
    let provider = provider(&issuer).with_observer(Arc::new(move |event| {
        if let Event::TokensRequested { issuer, grant_type, outcome, .. } = event {
            noted.lock().unwrap().push(format!("{issuer} {grant_type} {outcome:?}"));
        }
    }));
    let take = || std::mem::take(&mut *notes.lock().unwrap());
    let http = |secret: &str| {
        let auth = ClientAuth::SecretBasic(secret.into());
        AuthenticatedHttpClient::new(TokenEndpoint::new(provider.clone(), "hub", auth))
    };
    let at = |path: &str| format!("{}/protocol/openid-connect/{path}", issuer.url());
    let client = BasicClient::new(ClientId::new("hub".to_owned()))
        .set_token_uri(TokenUrl::new(at("token")).unwrap())
        .set_introspection_url(IntrospectionUrl::new(at("token/introspect")).unwrap());

    let own = || client.exchange_client_credentials();
    let answer = own().request_async(&http("s3cret")).await.unwrap();
    assert_eq!(take(), [format!("{} client_credentials Ok(())", issuer.url())]);

    own().request_async(&http("wrong")).await.unwrap_err();
    assert_eq!(take(), [format!("{} client_credentials Err(\"invalid_client\")", issuer.url())]);

    issuer.faults().set(Fault::Garbage, Endpoint::Token);
    own().request_async(&http("s3cret")).await.unwrap_err();
    assert_eq!(take(), [format!("{} client_credentials Err(\"invalid_response\")", issuer.url())]);
    issuer.faults().clear();

    // A name that this library does not use is not passed on: observers count by it.
    let (user, password) = (
        oauth2::ResourceOwnerUsername::new("alice".to_owned()),
        oauth2::ResourceOwnerPassword::new("alice".to_owned()),
    );
    let _ = client.exchange_password(&user, &password).request_async(&http("s3cret")).await;
    assert!(take().concat().starts_with(&format!("{} other Err", issuer.url())));

    let token = oauth2::TokenResponse::access_token(&answer);
    client.introspect(token).request_async(&http("s3cret")).await.unwrap();
    assert_eq!(take(), [""; 0], "no tokens are asked for");
}
