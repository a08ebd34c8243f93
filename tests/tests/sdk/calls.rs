//! Middleware that adds a token to calls of Keycloak's admin API.

use std::sync::Arc;

use anyhow::Result;
use m2m::{
    CachedTokens, ClientCredentials, IssuerTokens, TokenSource as _, middleware::BearerMiddleware,
};
use oidc_core::client::TokenHint;
use oidc_core::dpop::DpopKey;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

use crate::lab::{Lab, secret};

const TOKEN: &str = "/protocol/openid-connect/token";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_revoked_token_succeeds_with_a_new_one() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let job = lab.job()?;
    let tokens = CachedTokens::new(IssuerTokens::new(job.clone(), ClientCredentials::new()));
    let bearer = BearerMiddleware::new(tokens.clone(), wire.url().parse()?);
    let (client, users) = (client(bearer)?, lab.realm.users_at(&wire.url()));
    assert!(client.get(&users).send().await?.status().is_success());
    assert!(client.get(&users).send().await?.status().is_success());
    assert_eq!((wire.count(TOKEN), wire.count("/users")), (1, 2));

    job.revoke(tokens.token().await?.secret(), TokenHint::AccessToken).await?;
    assert!(client.get(&users).send().await?.status().is_success());
    assert_eq!((wire.count(TOKEN), wire.count("/users")), (2, 4), "401, a new token, and again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_sent_with_proofs_that_keycloak_accepts() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let key = Arc::new(DpopKey::generate()?);
    let endpoint = lab.endpoint("job-dpop", secret("job-dpop"))?.with_dpop(Arc::clone(&key));
    let tokens = CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()));
    let users = lab.realm.users_at(&wire.url());
    let proving = BearerMiddleware::new(tokens.clone(), wire.url().parse()?).with_dpop(key);
    let proving = client(proving)?;
    for _ in 0..2 {
        let answer = proving.get(&users).send().await?;
        assert!(answer.status().is_success(), "{}", answer.status());
    }
    assert_eq!(wire.count(TOKEN), 1);

    let stolen = tokens.token().await?.secret().expose().to_owned();
    let thief = e2e::visitor::plain_client()?;
    let answer = thief.get(&users).bearer_auth(&stolen).send().await?;
    assert_eq!(answer.status(), 401);
    Ok(())
}

fn client(bearer: BearerMiddleware) -> Result<ClientWithMiddleware> {
    Ok(ClientBuilder::new(e2e::visitor::plain_client()?).with(bearer).build())
}
