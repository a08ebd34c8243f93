//! The examples run, as processes, against a provider and each other.

#![expect(clippy::unwrap_used, reason = "in tests a failed unwrap is a failed test")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use dev_issuer::Grant;
use doorward_examples::Lab;
use serde_json::{Value, json};

const CHURN_API: &str = env!("CARGO_BIN_EXE_churn_api");
const BATCH_JOB: &str = env!("CARGO_BIN_EXE_batch_job");
const WORKLOAD_IDENTITY: &str = env!("CARGO_BIN_EXE_workload_identity");
const ON_BEHALF_OF: &str = env!("CARGO_BIN_EXE_on_behalf_of");
const PROVIDER: &str = env!("CARGO_BIN_EXE_provider");

/// A service that ends with the test.
struct Service {
    process: Child,
    /// Its first line of output.
    greeting: String,
}

impl Service {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        let mut process = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut greeting = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        Self { process, greeting }
    }

    fn url(&self) -> &str {
        self.greeting.trim().strip_prefix("listening on ").unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a job to its end.
async fn run(program: &'static str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The output of a job, line by line.
fn printed(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

struct World {
    lab: Lab,
    folder: tempfile::TempDir,
    api: Service,
}

impl World {
    async fn new() -> Self {
        let lab = Lab::start("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("airflow-run.secret", "airflow-secret".to_owned()),
            ("portal.secret", "portal-secret\n".to_owned()),
            ("service-account.token", lab.service_account_token().unwrap()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let api = Service::start(CHURN_API, &["--issuer", lab.url(), "--listen", "127.0.0.1:0"]);
        Self { lab, folder, api }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_scores_and_its_next_run_needs_no_token_request() {
    let world = World::new().await;
    let customers = here("customers.json");
    let (secret, tokens) = (world.file("airflow-run.secret"), world.file("tokens"));
    let arguments = [
        "--issuer",
        world.lab.url(),
        "--client-secret-file",
        &secret,
        "--token-folder",
        &tokens,
        "--api",
        world.api.url(),
        customers.to_str().unwrap(),
    ];
    for _ in 0..2 {
        let scores = printed(&run(BATCH_JOB, &arguments).await);
        assert_eq!(scores.len(), 2);
        assert_eq!(scores[0]["customer"], "c-17");
        assert_eq!(scores[0]["client"], "airflow-run");
        assert!(scores[0]["churn"].as_f64() < scores[1]["churn"].as_f64(), "{scores:?}");
    }
    assert_eq!(world.lab.issuer().token_requests_by_grant(Grant::ClientCredentials), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_proves_possession_of_its_tokens_key() {
    let world = World::new().await;
    // Another address of loopback, as the API must know its public address before it listens.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let (listen, public) =
        (format!("127.77.{high}.{low}:8091"), format!("http://127.77.{high}.{low}:8091"));
    let issuer = world.lab.url();
    let api = Service::start(
        CHURN_API,
        &["--issuer", issuer, "--listen", &listen, "--public-url", &public],
    );
    assert_eq!(api.url(), public);
    let (secret, customers) = (world.file("airflow-run.secret"), here("customers.json"));
    let customers = customers.to_str().unwrap();
    let arguments = |api| {
        ["--issuer", issuer, "--client-secret-file", &secret, "--api", api, "--dpop", customers]
    };
    let scores = printed(&run(BATCH_JOB, &arguments(&public)).await);
    assert_eq!(scores.len(), 2);

    // An API that takes no proofs refuses such a token.
    let output = run(BATCH_JOB, &arguments(world.api.url())).await;
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_secret_sends_its_platforms_token() {
    let world = World::new().await;
    let token = world.file("service-account.token");
    let arguments = |file| {
        ["--issuer", world.lab.url(), "--token-file", file, "--api", world.api.url(), "c-19"]
    };
    let scores = printed(&run(WORKLOAD_IDENTITY, &arguments(&token)).await);
    assert_eq!((&scores[0]["client"], &scores[0]["customer"]), (&json!("nightly"), &json!("c-19")));

    // Another account's token, and none.
    let stranger = world.file("stranger.token");
    std::fs::write(&stranger, world.lab.alices_token().unwrap()).unwrap();
    for file in [&stranger, &world.file("none")] {
        let output = run(WORKLOAD_IDENTITY, &arguments(file)).await;
        assert!(!output.status.success() && output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_calls_another_on_behalf_of_its_caller() {
    let world = World::new().await;
    let secret = world.file("portal.secret");
    let arguments = [
        "--issuer",
        world.lab.url(),
        "--client-secret-file",
        &secret,
        "--api",
        world.api.url(),
        "--name-actor",
        "--listen",
        "127.0.0.1:0",
    ];
    let portal = Service::start(ON_BEHALF_OF, &arguments);
    let alice = world.lab.alices_token().unwrap();
    let client = reqwest::Client::new();
    let ask = |url: String| {
        let customer = json!({"id": "c-17", "months": 40, "complaints": 0});
        client.post(url).bearer_auth(&alice).json(&customer).send()
    };

    for _ in 0..2 {
        let answer = ask(format!("{}/customers/score", portal.url())).await.unwrap();
        assert_eq!(answer.status(), 200);
        let score: Value = answer.json().await.unwrap();
        assert_eq!((&score["client"], &score["actor"]), (&json!("portal"), &json!("portal")));
        let subject = score["for"].as_str().unwrap();
        assert!(!subject.is_empty() && subject != "portal");
    }
    assert_eq!(world.lab.issuer().token_requests_by_grant(Grant::TokenExchange), 1);

    // Alice's own token is for the portal only.
    let answer = ask(format!("{}/models/churn/score", world.api.url())).await.unwrap();
    assert_eq!(answer.status(), 401);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "wrong_audience");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_of_the_api_requires_its_own_right() {
    let world = World::new().await;
    let issuer = world.lab.issuer();
    let token = |scope: &str| {
        let order = dev_issuer::Mint::service("airflow-run").audience(["churn"]).scope(scope);
        issuer.mint(order).unwrap()
    };
    let client = reqwest::Client::new();
    let customer = json!({"id": "c-17", "months": 40, "complaints": 0});
    for (scope, model, score) in
        [("profile", 403, 403), ("models:read", 200, 403), ("score", 403, 200)]
    {
        let url = |path| format!("{}{path}", world.api.url());
        let get = client.get(url("/models/churn")).bearer_auth(token(scope)).send();
        assert_eq!(get.await.unwrap().status(), model, "{scope}");
        let post = client.post(url("/models/churn/score")).bearer_auth(token(scope));
        let answer = post.json(&customer).send().await.unwrap();
        assert_eq!(answer.status(), score, "{scope}");
        if score == 403 {
            assert_eq!(
                answer.headers()["www-authenticate"],
                r#"Bearer realm="churn", error="insufficient_scope", error_description="the token lacks the scope score", scope="score""#
            );
        }
        let who = client.get(url("/whoami")).bearer_auth(token(scope)).send().await.unwrap();
        assert_eq!(who.json::<Value>().await.unwrap()["client"], "airflow-run");
    }
    let anonymous = client.get(format!("{}/whoami", world.api.url())).send().await.unwrap();
    assert_eq!(anonymous.headers()["www-authenticate"], r#"Bearer realm="churn""#);
    let ready = client.get(format!("{}/readyz", world.api.url())).send().await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[test]
fn the_provider_writes_what_the_examples_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab");
    let arguments = ["--port", "0", "--folder", path.to_str().unwrap()];
    let provider = Service::start(PROVIDER, &arguments);
    assert!(provider.greeting.starts_with("issuer http://127.0.0.1:"), "{}", provider.greeting);
    for name in ["airflow-run.secret", "portal.secret", "service-account.token", "alice.token"] {
        assert!(path.join(name).is_file(), "{name}");
    }
}

#[test]
fn manifest_and_readme_name_options_that_exist() {
    let help = |program: &str| {
        let output = Command::new(program).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let words = |text: &str| -> Vec<String> {
        let separators = |c: char| c.is_whitespace() || "=\"'`,".contains(c);
        let options = text.split(separators).filter(|word| {
            word.strip_prefix("--")
                .is_some_and(|name| name.starts_with(|c: char| c.is_alphabetic()))
        });
        options.map(str::to_owned).collect()
    };
    let manifest = std::fs::read_to_string(here("kubernetes/job.yaml")).unwrap();
    let known = help(WORKLOAD_IDENTITY);
    let named = words(&manifest);
    assert!(named.contains(&"--issuer".to_owned()));
    for option in named {
        assert!(known.contains(&option), "{option}");
    }
    // The file that the program reads by itself is the one that the manifest mounts.
    assert!(manifest.contains("mountPath: /var/run/secrets/issuer"), "{manifest}");
    assert!(manifest.contains("path: token"), "{manifest}");

    let readme = std::fs::read_to_string(here("README.md")).unwrap();
    for (name, program) in [
        ("churn_api", CHURN_API),
        ("batch_job", BATCH_JOB),
        ("on_behalf_of", ON_BEHALF_OF),
        ("workload_identity", WORKLOAD_IDENTITY),
        ("provider", PROVIDER),
    ] {
        let known = help(program);
        let line = format!("--bin {name}");
        assert!(readme.contains(&line), "{line}");
        for command in readme.split("cargo run").filter(|command| command.contains(&line)) {
            let command = command.split("\n\n").next().unwrap_or_default();
            let command = command.split("```").next().unwrap_or_default();
            let Some((_, arguments)) = command.split_once(" -- ") else { continue };
            for option in words(arguments) {
                assert!(known.contains(&option), "{name} {option}");
            }
        }
    }
}
