//! `check --online` of `outbound`: the services of the targets, and tokens for them.

use std::fs;

use dev_issuer::{Endpoint, Fault, Grant};
use doorward::commands::Outcome;
use tokio::net::TcpListener;

use super::online::{Bench, CALLBACK, OK, upstream};

impl Bench {
    /// Checks these targets, one a line, before a good upstream of the route.
    async fn targets(&self, targets: &str) -> (Outcome, String) {
        let (good, _requests) = upstream(OK).await;
        let targets: String = targets.lines().map(|line| format!("    {line}\n")).collect();
        let outbound = format!("outbound:\n  listen: 127.0.0.1:0\n  targets:\n{targets}routes:");
        self.check(&good, "routes:", &outbound).await
    }
}

#[tokio::test]
async fn a_target_that_answers_and_has_a_token_is_fine() {
    let bench = Bench::new(CALLBACK).await;
    let (service, mut requests) = upstream(OK).await;
    let target = format!("churn: {{ url: '{service}/base', issuer: main, audience: churn }}");
    let (outcome, out) = bench.targets(&target).await;
    assert_eq!(outcome, Outcome::Fine, "{out}");
    let answers = format!("outbound.targets.churn.url: {service}: answers 204 No Content\n");
    assert!(out.contains(&answers), "{out}");
    let given = "outbound.targets.churn: issuers.main gives a token, valid for ";
    assert!(out.contains(given), "{out}");
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("HEAD /base/ HTTP/1.1\r\n"), "{request}");
    let host = service.strip_prefix("http://").unwrap();
    assert!(request.contains(&format!("host: {host}\r\n")), "{request}");
    // The token is not sent: a check has no effect at the service.
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
    assert_eq!(bench.issuer.token_requests_by_grant(Grant::ClientCredentials), 1);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_named_with_its_key() {
    let bench = Bench::new(CALLBACK).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (down, _requests) = upstream("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    let targets = format!(
        "gone: {{ url: 'http://{free}', issuer: main }}\n\
         tls: {{ url: 'https://{free}', issuer: main }}\n\
         down: {{ url: '{down}', issuer: main }}"
    );
    let (outcome, out) = bench.targets(&targets).await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    let line = |name: &str| {
        let begins = format!("outbound.targets.{name}.url: ");
        out.lines().find(|line| line.starts_with(&begins)).unwrap_or_default()
    };
    assert!(line("gone").contains("cannot be reached: "), "{out}");
    assert!(line("gone").ends_with("start the service, or correct this URL"), "{out}");
    assert!(line("tls").ends_with("or correct this URL or `tls`"), "{out}");
    assert!(line("down").contains("answers 503 Service Unavailable: "), "{out}");
    assert!(out.contains("3 problems online"), "tokens are given for all: {out}");
}

#[tokio::test]
async fn a_token_that_the_issuer_does_not_give_is_a_problem() {
    let bench = Bench::new(CALLBACK).await;
    let (service, _requests) = upstream(OK).await;
    let secret = bench.folder.path().join("batch");
    fs::write(&secret, "not its secret").unwrap();
    let targets = format!(
        "scope: {{ url: '{service}', issuer: main, scopes: [unknown] }}\n\
         batch: {{ url: '{service}', issuer: main, client: {{ id: batch, auth: {{ secret: {{ file: {} }} }} }} }}",
        secret.display()
    );
    let (outcome, out) = bench.targets(&targets).await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    let problem = |name: &str, reason: &str, remedy: &str| {
        let begins = format!("outbound.targets.{name}: no token: ");
        let line = out.lines().find(|line| line.starts_with(&begins)).unwrap_or_default();
        assert!(line.contains(reason) && line.contains(remedy), "{name}: {out}");
    };
    problem("scope", "invalid_scope", "permit the grant, `audience` and `scopes`");
    problem(
        "batch",
        "does not accept this client",
        "correct `outbound.targets.batch.client` (`batch`)",
    );
    assert!(!out.contains("not its secret"), "{out}");
    assert!(out.contains("2 problems online"), "{out}");

    let target = format!("churn: {{ url: '{service}', issuer: main }}");
    bench.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let (outcome, out) = bench.targets(&target).await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    assert!(out.contains("outbound.targets.churn: no token: "), "{out}");
    assert!(out.contains("correct `issuers.main.url`"), "{out}");
    bench.issuer.faults().set(Fault::Html, Endpoint::Token);
    let (_, out) = bench.targets(&target).await;
    assert!(out.contains("correct its token endpoint"), "{out}");
}

#[tokio::test]
async fn no_assertion_is_used_up_and_no_user_is_needed() {
    let bench = Bench::new(CALLBACK).await;
    let (service, _requests) = upstream(OK).await;
    let assertion = bench.folder.path().join("assertion");
    fs::write(&assertion, "the assertion that the gateway needs").unwrap();
    let targets = format!(
        "asserted: {{ url: '{service}', issuer: main, grant: {{ jwt_bearer: {} }} }}\n\
         reports: {{ url: '{service}', issuer: main, audience: churn, grant: exchange }}",
        assertion.display()
    );
    let (outcome, out) = bench.targets(&targets).await;
    assert_eq!(outcome, Outcome::Fine, "{out}");
    for (name, needs) in [("asserted", "an assertion"), ("reports", "a user's token")] {
        let expected = format!(
            "outbound.targets.{name}: issuers.main accepts the client; a token needs {needs}, "
        );
        assert!(out.contains(&expected), "{out}");
    }
    // The same with a client that the issuer does not accept.
    fs::write(bench.folder.path().join("secret"), "wrong").unwrap();
    let (outcome, out) = bench.targets(&targets).await;
    assert_eq!(outcome, Outcome::Failure, "{out}");
    for name in ["asserted", "reports"] {
        assert!(out.contains(&format!("outbound.targets.{name}: no token: ")), "{out}");
    }
    assert!(out.contains("correct `issuers.main.client_id` (`gateway`)"), "{out}");
}
