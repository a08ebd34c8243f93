//! `token` for jobs with a credential of their own.

use dev_issuer::{DevClient, DevIssuer, Endpoint, Grant, Mint};

use crate::desk::{Desk, Ran, browser, claims, files_in, mode};

async fn as_job(desk: &Desk, more: &[&str]) -> Ran {
    desk.run(&arguments(desk, more)).await
}

fn arguments<'a>(desk: &'a Desk, more: &[&'a str]) -> Vec<&'a str> {
    let credential = ["--client-secret-file", "job-secret", "--scope", "score"];
    [&desk.as_client("token", "job")[..], &credential, more].concat()
}

#[tokio::test]
async fn many_short_jobs_make_one_request() {
    let desk = Desk::new().await;
    let ran = desk.run_at_once(20, &arguments(&desk, &[])).await;
    let tokens: Vec<String> = ran.into_iter().map(|ran| ran.ended(0).text().to_owned()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(desk.requests(Grant::ClientCredentials), 1);
    let token_claims = claims(&tokens[0]);
    assert_eq!(token_claims["azp"], "job");
    assert!(token_claims["scope"].as_str().unwrap().contains("score"));
    for file in files_in(&desk.path("run/doorward")) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn another_scope_or_no_cache_is_another_token() {
    let desk = Desk::new().await;
    let first = as_job(&desk, &[]).await.ended(0);
    let credential = ["--client-secret-file", "job-secret"];
    let bare = [&desk.as_client("token", "job")[..], &credential].concat();
    assert_ne!(desk.run(&bare).await.ended(0).text(), first.text());
    assert_eq!(desk.requests(Grant::ClientCredentials), 2);
    assert_ne!(as_job(&desk, &["--no-cache"]).await.ended(0).text(), first.text());
    assert_eq!(desk.requests(Grant::ClientCredentials), 3);
    assert_eq!(as_job(&desk, &[]).await.ended(0).text(), first.text());
}

#[tokio::test]
async fn without_a_runtime_folder_shared_tokens_are_sealed() {
    let desk = Desk::new().await;
    let run = async || {
        let mut command = desk.command(&arguments(&desk, &[]));
        Ran::from(command.env_remove("XDG_RUNTIME_DIR").output().await.unwrap()).ended(0)
    };
    let first = run().await;
    assert_eq!(run().await.text(), first.text());
    assert_eq!(desk.requests(Grant::ClientCredentials), 1);
    let mut sealed = 0;
    for file in files_in(&desk.path("home/.cache/doorward/tokens")) {
        assert_eq!(mode(&file), 0o600);
        let content = std::fs::read(&file).unwrap();
        let shown = String::from_utf8_lossy(&content).into_owned();
        assert!(!shown.contains(first.text()) && !shown.contains("\"job\""), "{}", file.display());
        sealed += usize::from(!content.is_empty());
    }
    assert_eq!(sealed, 1);
}

#[tokio::test]
async fn a_refused_credential_is_not_printed() {
    let desk = Desk::new().await;
    desk.write("job-secret", "a-wrong-guess");
    let ran = as_job(&desk, &[]).await.ended(1);
    assert!(ran.err.contains("does not accept this client's credentials"), "{}", ran.err);
    assert!(!ran.err.contains("a-wrong-guess") && ran.out.is_empty());
    std::fs::remove_file(desk.path("job-secret")).unwrap();
    let ran = as_job(&desk, &["--no-cache"]).await.ended(1);
    assert!(ran.err.contains("job-secret") && ran.err.contains("cannot be read"), "{}", ran.err);
}

#[tokio::test]
async fn a_private_key_authenticates_the_client() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let public = key.public_key_pem();
    let desk =
        Desk::with(|provider| provider.client(DevClient::private_key_jwt("batch", public))).await;
    desk.write("batch.pem", &key.serialize_pem());
    let arguments =
        [desk.as_client("token", "batch"), vec!["--private-key-file", "batch.pem"]].concat();
    let ran = desk.run(&arguments).await.ended(0);
    assert_eq!(claims(ran.text())["azp"], "batch");
}

#[tokio::test]
async fn a_platform_assertion_authenticates_the_client() {
    let cluster = DevIssuer::builder().client(DevClient::confidential("sa", "unused"));
    let cluster = cluster.start("127.0.0.1:0").await.unwrap();
    let keys = format!("{}/protocol/openid-connect/certs", cluster.url());
    let keys = browser().get(keys).send().await.unwrap().text().await.unwrap();
    let desk = Desk::with(|provider| provider.trust(cluster.url(), keys)).await;
    let assertion = cluster.mint(Mint::service("sa").audience([desk.issuer.url()])).unwrap();
    let subject = claims(&assertion)["sub"].as_str().unwrap().to_owned();
    desk.issuer.set_client(DevClient::federated("workload", cluster.url(), subject));
    desk.write("assertion", &assertion);
    let arguments =
        [desk.as_client("token", "workload"), vec!["--client-assertion-file", "assertion"]];
    let ran = desk.run(&arguments.concat()).await.ended(0);
    assert_eq!(claims(ran.text())["azp"], "workload");
}

#[tokio::test]
async fn a_certificate_needs_its_key() {
    let desk = Desk::new().await;
    let half = [desk.as_client("token", "job"), vec!["--client-certificate", "crt.pem"]].concat();
    desk.run(&half).await.ended(2);
    let absent = [half, vec!["--client-key", "key.pem"]].concat();
    let ran = desk.run(&absent).await.ended(1);
    assert!(ran.err.contains(".pem"), "the file is named: {}", ran.err);
}

#[tokio::test]
async fn settings_may_come_from_the_environment() {
    let desk = Desk::new().await;
    let mut command = desk.command(&["token", "--json"]);
    command
        .env("DOORWARD_ISSUER", desk.issuer.url())
        .env("DOORWARD_CLIENT_ID", "job")
        .env("DOORWARD_CLIENT_SECRET_FILE", desk.path("job-secret"))
        .env("DOORWARD_SCOPE", "score");
    Ran::from(command.output().await.unwrap()).ended(0);
    let ran = desk.run(&["token", "--client-secret-file", "job-secret"]).await.ended(2);
    assert!(ran.err.contains("--issuer URL --client-id ID"), "{}", ran.err);
    let both = ["--client-secret-file", "a", "--private-key-file", "b"];
    desk.run(&[&desk.as_client("token", "job")[..], &both].concat()).await.ended(2);
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_named() {
    let desk = Desk::new().await;
    desk.issuer.stop().await;
    let ran = as_job(&desk, &[]).await.ended(1);
    assert!(ran.err.contains(desk.issuer.url()), "{}", ran.err);
    assert_eq!(ran.err.matches("refused").count(), 1, "it is printed once: {}", ran.err);
    assert_eq!(desk.issuer.requests(Endpoint::Token), 0);
}
