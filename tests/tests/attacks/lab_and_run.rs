//! The example of two environments: people in the one, CI and schedulers in the other.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use dev_issuer::{DevClient, DevIssuer, Job, Mint, User};
use e2e::{authority::Authority, gateway, visitor::plain_client};
use serde_json::Value;

use crate::{
    browser::Browser,
    rules::days_to_come,
    stage::{Setup, Stage},
};

const AIRFLOW_SECRET: &str = "the secret of airflow-run in attacks";
/// The hours of the example, and hours that hold and do not hold at any time of the test.
const HOURS: &str = r#"hours: { days: [mon-fri], from: "05:00", to: "19:00", zone: Europe/Paris }"#;
const ALWAYS: &str = r#"hours: { from: "00:00", to: "24:00", zone: Europe/Paris }"#;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/lab-and-run/doorward.yaml")
}

/// The part of the example below a key, one level less deep.
fn below(text: &str, key: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(key)).skip(1);
    let part = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    part.map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

/// The platforms of the example, and the gateway before them.
struct Environments {
    stage: Stage,
    gitlab: DevIssuer,
    cluster: DevIssuer,
}

impl Environments {
    async fn start(name: &str, hours: &str) -> Result<Self> {
        let gitlab = DevIssuer::builder().start("127.0.0.1:0").await?;
        let cluster = DevIssuer::builder().start("127.0.0.1:0").await?;
        let folder = std::env::temp_dir().join(format!("doorward-{name}-{}", std::process::id()));
        let authority = Authority::new(&folder)?;
        let token = folder.join("token");
        std::fs::write(&token, "the token of the gateway's pod")?;
        let text = std::fs::read_to_string(example())?;
        let pod = "/run/secrets/kubernetes.io/serviceaccount";
        let issuers = text
            .replace("https://keycloak.example/realms/platform", "ISSUER")
            .replace("/run/secrets/gateway", "SECRET")
            .replace("https://gitlab.example", gitlab.url())
            .replace("https://kubernetes.default.svc.cluster.local", cluster.url())
            .replace(&format!("{pod}/ca.crt"), &authority.certificate().display().to_string())
            .replace(&format!("{pod}/token"), &token.display().to_string());
        let issuers: String =
            below(&issuers, "issuers:").lines().map(|line| format!("  {line}\n")).collect();
        let issuers = format!("issuers:\n{issuers}");
        assert!(text.contains(HOURS), "the hours of the example");
        let routes = below(&text, "routes:")
            .replace(HOURS, hours)
            .replace("http://lab:8000", "UPSTREAM")
            .replace("http://run:8000", "UPSTREAM");
        let stage = Setup::new(name)
            .with_issuer(|issuer| {
                let airflow =
                    DevClient::confidential("airflow-run", AIRFLOW_SECRET).audience("gateway");
                issuer
                    .client(airflow)
                    .user(User::new("dora", "dora").roles(["data-scientist", "admin"]))
            })
            .with_routes(&routes)
            .with_plan(move |plan| plan.with_issuers(&issuers))
            .start()
            .await?;
        Ok(Self { stage, gitlab, cluster })
    }

    /// The answer to a request with this token.
    async fn ask(&self, method: &str, path: &str, token: &str) -> Result<(u16, Value)> {
        let answer = self.stage.ask(method, path).bearer(token).body("{}").send().await?;
        let body = answer.json().unwrap_or(Value::Null);
        Ok((answer.status, body))
    }

    async fn deploy(&self, job: Job) -> Result<(u16, Value)> {
        let token = self.gitlab.mint(Mint::job(job).audience(["gateway"]))?;
        self.ask("POST", "/run/deployments/churn", &token).await
    }

    /// The token that Airflow requests with its client credentials.
    async fn airflow(&self) -> Result<String> {
        let token = format!("{}/protocol/openid-connect/token", self.stage.issuer.url());
        let form = [("grant_type", "client_credentials"), ("scope", "profile")];
        let request = plain_client()?.post(token).form(&form);
        let secret = AIRFLOW_SECRET.replace(' ', "%20");
        let answer: Value =
            request.basic_auth("airflow-run", Some(secret)).send().await?.json().await?;
        Ok(answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reaches_lab_and_not_run() -> Result<()> {
    let all = Environments::start("lab-and-run-person", ALWAYS).await?;
    let dora = Browser::signed_in(&all.stage, "dora").await?;
    assert_eq!(dora.open("/lab/notebook").await?.status, 200);
    for path in ["/run/deployments/churn", "/run/jobs/nightly", "/run/models/churn", "/run"] {
        assert_eq!(dora.open(path).await?.status, 403, "{path}");
    }
    let token = |client: &str| {
        all.stage.issuer.mint(Mint::access("dora").client(client).audience(["gateway"]))
    };
    // Also a token that a person got by the client of Airflow.
    let (own, by_airflow) = (token("gateway")?, token("airflow-run")?);
    assert_eq!(all.ask("GET", "/lab/notebook", &own).await?.0, 200);
    assert_eq!(all.ask("POST", "/run/jobs/nightly", &by_airflow).await?.0, 403);
    for (method, path) in [
        ("POST", "/run/deployments/churn"),
        ("POST", "/run/jobs/nightly"),
        ("GET", "/run/models/churn"),
    ] {
        let (status, problem) = all.ask(method, path, &own).await?;
        assert_eq!(status, 403, "{path}: {problem}");
    }
    let bob = Browser::signed_in(&all.stage, "bob").await?;
    assert_eq!(bob.open("/lab/notebook").await?.status, 403);
    // Without a credential there is a challenge, and no way to sign in.
    let anonymous = all.stage.get("/run/models/churn").navigating().send().await?;
    assert_eq!(anonymous.status, 401, "{anonymous:?}");
    let reached = all.stage.reached();
    assert!(reached.iter().all(|target| !target.starts_with("/run")), "{reached:?}");
    let cookies = [dora.cookie(), bob.cookie()];
    all.stage.finish(&cookies.each_ref().map(String::as_str))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_branch_deploys_and_a_feature_does_not() -> Result<()> {
    let all = Environments::start("lab-and-run-ci", ALWAYS).await?;
    assert_eq!(all.deploy(Job::gitlab("data/churn", "main").protected()).await?.0, 200);
    let seen = all.stage.upstream.last("/run/deployments/churn")?;
    let main = "project_path:data/churn:ref_type:branch:ref:main";
    assert_eq!(seen.value("x-forwarded-user").as_deref(), Some(main));

    let feature = "project_path:data/churn:ref_type:branch:ref:feature/main";
    let (status, problem) =
        all.deploy(Job::gitlab("data/churn", "feature/main").protected()).await?;
    assert_eq!(status, 403, "{problem}");
    let needs = problem["requirements"][0].as_str().unwrap_or_default();
    assert!(
        needs.contains("the subject project_path:data/*:ref_type:branch:ref:main")
            && needs.contains(&format!("(the caller is {feature})")),
        "{problem}"
    );
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(feature)), "{problem}");

    let (status, problem) = all.deploy(Job::gitlab("data/churn", "main")).await?;
    assert_eq!(status, 403, "the branch is not protected: {problem}");
    assert_eq!(problem["requirements"][0], "needs the claim ref_protected=\"true\"", "{problem}");
    for job in [
        Job::gitlab("other/churn", "main"),
        Job::gitlab("data/team/churn", "main"),
        Job::gitlab("data", "main"),
        Job::gitlab("data/churn", "x:ref:main"),
        Job::gitlab("data/churn", "x:ref_type:branch:ref:main"),
        Job::gitlab("data/churn:ref_type:branch:ref:main/x", "main"),
        Job::gitlab("data/churn", "main\n"),
        Job::gitlab("data/churn", "Main"),
        Job::gitlab("data/", "main"),
        Job::gitlab("data/churn", "main").with_subject(format!("{main}:")),
        Job::gitlab("data/churn", "main")
            .with_subject(format!("project_path:data/{}", "x".repeat(4000))),
        // The same subject from a platform that may not name it.
        Job::service_account("run", "trainer"),
    ] {
        let subject = job.subject();
        assert_eq!(all.deploy(job.protected()).await?.0, 403, "{subject}");
    }
    let stolen = Mint::job(Job::gitlab("data/churn", "main").protected()).audience(["gateway"]);
    let token = all.cluster.mint(stolen)?;
    assert_eq!(all.ask("POST", "/run/deployments/churn", &token).await?.0, 403);
    // A job reaches nothing else: neither the lab, nor as another method.
    let token = all
        .gitlab
        .mint(Mint::job(Job::gitlab("data/churn", "main").protected()).audience(["gateway"]))?;
    for (method, path) in [
        ("GET", "/lab/notebook"),
        ("DELETE", "/run/deployments/churn"),
        ("POST", "/run/jobs/nightly"),
    ] {
        assert_eq!(all.ask(method, path, &token).await?.0, 403, "{method} {path}");
    }
    let metrics = all.stage.gateway.metrics().await?;
    let line = |subject: &str, outcome: &str| {
        format!(
            "doorward_workload_requests_total{{route=\"run\",issuer=\"ci\",subject=\"{subject}\",outcome=\"{outcome}\"}} "
        )
    };
    let pattern = "project_path:data/*:ref_type:branch:ref:main";
    for line in [line(pattern, "allowed"), line(pattern, "refused"), line("-", "refused")] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("churn"), "no subject is a label: {metrics}");
    all.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn airflow_starts_jobs_within_its_hours_only() -> Result<()> {
    let all = Environments::start("lab-and-run-airflow", ALWAYS).await?;
    let token = all.airflow().await?;
    assert_eq!(all.ask("POST", "/run/jobs/nightly", &token).await?.0, 200);
    assert_eq!(all.ask("POST", "/run/deployments/churn", &token).await?.0, 403);
    assert_eq!(all.ask("GET", "/lab/notebook", &token).await?.0, 403);
    all.stage.finish(&[])?;

    // Days that are neither today nor tomorrow.
    let never =
        format!(r#"hours: {{ days: {}, from: "00:00", to: "24:00", zone: UTC }}"#, days_to_come());
    let all = Environments::start("lab-and-run-hours", &never).await?;
    let token = all.airflow().await?;
    let (status, problem) = all.ask("POST", "/run/jobs/nightly", &token).await?;
    assert_eq!(status, 403, "{problem}");
    let needs = problem["requirements"][0].as_str().unwrap_or_default();
    assert!(needs.starts_with("needs the hours "), "{problem}");
    all.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_namespace_reads_models() -> Result<()> {
    let all = Environments::start("lab-and-run-pod", ALWAYS).await?;
    let read = async |namespace: &str, audience: &str| -> Result<u16> {
        let pod = Mint::job(Job::service_account(namespace, "trainer"));
        let token = all.cluster.mint(pod.audience([audience]))?;
        Ok(all.stage.get("/run/models/churn").bearer(&token).send().await?.status)
    };
    assert_eq!(read("run", "gateway").await?, 200);
    let seen = all.stage.upstream.last("/run/models/churn")?;
    assert_eq!(
        seen.value("x-forwarded-user").as_deref(),
        Some("system:serviceaccount:run:trainer")
    );
    assert_eq!(read("lab", "gateway").await?, 403);
    assert_eq!(read("run-2", "gateway").await?, 403);
    assert_eq!(read("run", "https://kubernetes.default.svc").await?, 401);
    all.stage.finish(&[])
}

/// The example in a folder, with the files that it names.
fn placed(folder: &Path) -> Result<PathBuf> {
    let pod = folder.join("kubernetes.io/serviceaccount");
    let authority = Authority::new(&pod)?;
    std::fs::rename(authority.certificate(), pod.join("ca.crt"))?;
    for file in ["kubernetes.io/serviceaccount/token", "gateway", "session-key"] {
        std::fs::write(folder.join(file), "0123456789abcdef0123456789abcdef")?;
    }
    let shown = folder.display().to_string();
    let text = std::fs::read_to_string(example())?;
    let text = text.replace("/run/secrets", &shown).replace("/var/lib/doorward", &shown);
    let config = folder.join("doorward.yaml");
    std::fs::write(&config, text)?;
    Ok(config)
}

#[test]
fn explain_says_why_a_branch_may_not_deploy() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("doorward-explain-jobs-{}", std::process::id()));
    let config = placed(&folder)?;
    let explain =
        |claims: &str, method: &str, path: &str, at: &str| -> Result<(Option<i32>, String)> {
            let file = folder.join("claims.json");
            std::fs::write(&file, claims)?;
            let file = file.display().to_string();
            let url = format!("https://platform.example{path}");
            let issuer = if claims.contains("project_path:") { "ci" } else { "main" };
            let arguments = [
                "explain",
                "--config",
                config.to_str().context("a path")?,
                "--method",
                method,
                "--url",
                &url,
                "--claims",
                &file,
                "--issuer",
                issuer,
                "--at",
                at,
            ];
            let output = gateway::command(&arguments)?;
            Ok((output.status.code(), String::from_utf8(output.stdout)?))
        };
    let job = |branch: &str| {
        format!(
            r#"{{"sub":"project_path:data/churn:ref_type:branch:ref:{branch}","ref_protected":"true"}}"#
        )
    };
    let tuesday = "2026-12-01T10:00:00Z";
    let (code, said) = explain(&job("main"), "POST", "/run/deployments/churn", tuesday)?;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("caller    workload project_path:data/churn:ref_type:branch:ref:main at ci"),
        "{said}"
    );
    let (code, said) = explain(&job("feature"), "POST", "/run/deployments/churn", tuesday)?;
    assert_eq!(code, Some(3), "{said}");
    let reason = "needs the subject project_path:data/*:ref_type:branch:ref:main (the caller is project_path:data/churn:ref_type:branch:ref:feature)";
    assert!(said.contains(reason), "{said}");
    // The hours of the example, on Tuesday and on Sunday.
    let airflow =
        r#"{"sub":"a1","azp":"airflow-run","preferred_username":"service-account-airflow-run"}"#;
    for (at, expected) in [(tuesday, 0), ("2026-12-01T18:30:00Z", 3), ("2026-12-06T10:00:00Z", 3)] {
        let (code, said) = explain(airflow, "POST", "/run/jobs/nightly", at)?;
        assert_eq!(code, Some(expected), "{at}: {said}");
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
