//! Tokens that platforms give their jobs.

use dev_issuer::{DevIssuer, Job, Mint};
use serde_json::json;

use crate::party::{claims, header};

async fn platform() -> DevIssuer {
    DevIssuer::builder().start("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn a_job_of_each_platform_has_its_shape() {
    let issuer = platform().await;
    let mint = |job| issuer.mint(Mint::job(job).audience(["doorward"])).unwrap();

    let token = mint(Job::gitlab("data/churn", "main").protected());
    let gitlab = claims(&token);
    assert_eq!(header(&token)["typ"], "JWT");
    assert_eq!(gitlab["sub"], "project_path:data/churn:ref_type:branch:ref:main");
    assert_eq!(gitlab["iss"], issuer.url());
    assert_eq!((&gitlab["aud"], &gitlab["ref_protected"]), (&json!("doorward"), &json!("true")));
    assert_eq!(gitlab["namespace_path"], "data");

    let github = claims(&mint(Job::github("corp/churn", "feature/x")));
    assert_eq!(github["sub"], "repo:corp/churn:ref:refs/heads/feature/x");
    assert_eq!(
        (&github["repository_owner"], &github["ref_protected"]),
        (&json!("corp"), &json!("false"))
    );
    let chosen =
        Job::github("corp/churn", "main").with_subject("repo:corp@1/churn@2:environment:run");
    assert_eq!(claims(&mint(chosen))["sub"], "repo:corp@1/churn@2:environment:run");

    let token = mint(Job::service_account("run", "trainer"));
    assert!(header(&token)["typ"].is_null());
    let pod = claims(&token);
    assert_eq!(pod["sub"], "system:serviceaccount:run:trainer");
    assert_eq!(pod["aud"], json!(["doorward"]));
    assert_eq!(pod["kubernetes.io"]["namespace"], "run");

    let svid = claims(&mint(Job::svid("spiffe://acme.example/run/trainer")));
    assert_eq!(svid["sub"], "spiffe://acme.example/run/trainer");
    assert!(svid["iss"].is_null() && svid["azp"].is_null() && svid["preferred_username"].is_null());
}

#[tokio::test]
async fn a_jobs_token_can_be_wrong_in_one_way() {
    let issuer = platform().await;
    let job = || Mint::job(Job::gitlab("data/churn", "main")).audience(["doorward"]);
    let expired = claims(&issuer.mint(job().expired()).unwrap());
    let fresh = claims(&issuer.mint(job()).unwrap());
    assert!(expired["exp"].as_u64() < fresh["iat"].as_u64());
    let foreign = claims(&issuer.mint(job().issuer("https://evil.test").without("aud")).unwrap());
    assert_eq!(foreign["iss"], "https://evil.test");
    assert!(foreign["aud"].is_null());
}
