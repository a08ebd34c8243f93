//! The credential helpers and the lines of their guide, run as git, Docker, pip, kubectl and users run them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::desk::{Desk, Ran, claims, fed};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn from_guide(begins: &str) -> String {
    from("credential-helpers.md", begins)
}

/// The line of a guide that begins so; it must be there once.
fn from(guide: &str, begins: &str) -> String {
    let guide = std::fs::read_to_string(root().join("docs/guides").join(guide)).unwrap();
    let lines: Vec<&str> = guide.lines().filter(|line| line.starts_with(begins)).collect();
    assert_eq!(lines.len(), 1, "{begins:?} in the guide");
    lines[0].to_owned()
}

/// A program on this machine, with the scripts and `doorward` on the `PATH`.
fn program(desk: &Desk, name: &str) -> Command {
    let mut command = Command::new(name);
    let scripts = root().join("examples/credential-helpers");
    let path =
        format!("{}:{}:/usr/local/bin:/usr/bin:/bin", scripts.display(), desk.programs().display());
    desk.on_this_machine(&mut command).env("PATH", path);
    command
}

async fn shell(desk: &Desk, line: &str) -> Ran {
    let mut bash = program(desk, "bash");
    bash.args(["-euo", "pipefail", "-c", line]).output().await.unwrap().into()
}

async fn signed_in() -> Desk {
    let desk = Desk::new().await;
    std::fs::create_dir(desk.path("home")).unwrap();
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk
}

/// A value of git's protocol.
fn value<'r>(ran: &'r Ran, name: &str) -> Option<&'r str> {
    ran.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn git_gets_a_token_for_its_configured_host() {
    let desk = signed_in().await;
    shell(&desk, &from_guide("git config --global credential.")).await.ended(0);
    let fill = async |input: &str| {
        let mut git = program(&desk, "git");
        fed(git.args(["credential", "fill"]).env("GIT_TERMINAL_PROMPT", "0"), input).await
    };
    let asked = "protocol=https\nhost=git.example\npath=lab/models.git\n\n";
    let ran = fill(asked).await.ended(0);
    let (name, token) = (value(&ran, "username").unwrap(), value(&ran, "password").unwrap());
    assert_eq!(name, "oauth2");
    assert_eq!(claims(token)["preferred_username"], "alice");
    let elsewhere = fill("protocol=https\nhost=elsewhere.example\n\n").await;
    assert!(elsewhere.code != Some(0) && !elsewhere.out.contains("password"), "{elsewhere:?}");
    for operation in ["approve", "reject"] {
        let mut git = program(&desk, "git");
        let kept =
            format!("protocol=https\nhost=git.example\nusername=oauth2\npassword={token}\n\n");
        fed(git.args(["credential", operation]), &kept).await.ended(0);
    }
}

#[tokio::test]
async fn the_git_script_uses_bearer_and_never_plain_http() {
    let desk = signed_in().await;
    let get =
        async |input: &str| fed(program(&desk, "git-credential-doorward").arg("get"), input).await;
    let ran = get("capability[]=authtype\nprotocol=https\nhost=git.example\n\n").await.ended(0);
    assert_eq!(value(&ran, "authtype"), Some("Bearer"));
    assert_eq!(claims(value(&ran, "credential").unwrap())["azp"], "cli");
    assert!(value(&ran, "password").is_none());
    let ran = get("protocol=http\nhost=git.example\n\n").await.ended(1);
    assert!(ran.out.is_empty() && ran.err.contains("use https"), "{ran:?}");
    get("protocol=http\nhost=127.0.0.1:3000\n\n").await.ended(0);
    let mut with = program(&desk, "git-credential-doorward");
    let ran =
        fed(with.args(["--scope", "openid", "get"]), "protocol=https\nhost=git.example\n\n").await;
    assert_ne!(
        ran.code,
        Some(0),
        "arguments reach `doorward token`: a public client exchanges none"
    );
    desk.run(&["logout"]).await.ended(0);
    let ran = get("protocol=https\nhost=git.example\n\n").await.ended(4);
    assert!(ran.err.contains("doorward login"), "{ran:?}");
}

#[tokio::test]
async fn docker_gets_a_token_by_its_own_protocol() {
    let desk = signed_in().await;
    let helper = from_guide("{ \"credHelpers\"");
    let config: Value = serde_json::from_str(&helper).unwrap();
    let script = format!(
        "docker-credential-{}",
        config["credHelpers"]["registry.example"].as_str().unwrap()
    );
    let ask = async |operation: &str, input: &str| {
        fed(program(&desk, &script).arg(operation), input).await
    };
    let ran = ask("get", "registry.example\n").await.ended(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&answer["ServerURL"], &answer["Username"]),
        (&json!("registry.example"), &json!("oauth2"))
    );
    assert_eq!(claims(answer["Secret"].as_str().unwrap())["preferred_username"], "alice");
    let ran = ask("get", "registry.example\\\"x").await.ended(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["ServerURL"], "registry.example\\\"x");
    assert_eq!(ask("list", "").await.ended(0).text(), "{}");
    ask("store", "{\"ServerURL\":\"registry.example\",\"Username\":\"u\",\"Secret\":\"s\"}")
        .await
        .ended(0);
    ask("erase", "registry.example").await.ended(0);
    let ran = ask("get", "http://registry.example").await.ended(1);
    assert_eq!(ran.text(), "credentials not found in native keychain");
    desk.run(&["logout"]).await.ended(0);
    let ran = ask("get", "registry.example").await.ended(1);
    assert!(ran.err.contains("doorward login"), "{ran:?}");
}

#[tokio::test]
async fn pip_gets_a_token_for_the_hosts_that_are_named() {
    let desk = signed_in().await;
    let hosts = from_guide("export DOORWARD_KEYRING_HOSTS=");
    let hosts = hosts.split_once('=').unwrap().1;
    let index = from_guide("pip config set global.index-url");
    assert!(index.contains(&format!("https://oauth2@{hosts}/")), "the guide names one host");
    // As pip's KeyRingCliProvider runs it.
    let get = async |service: &str| -> Ran {
        let mut keyring = program(&desk, "keyring");
        keyring.args(["get", service, "oauth2"]).env("DOORWARD_KEYRING_HOSTS", hosts);
        keyring.env("PYTHONIOENCODING", "utf-8").stdin(Stdio::null());
        keyring.output().await.unwrap().into()
    };
    let ran = get("https://packages.example/simple").await.ended(0);
    assert_eq!(claims(ran.text())["preferred_username"], "alice");
    // As newer versions of pip, and uv without a user name, run it.
    let with = async |arguments: &[&str]| -> Ran {
        let mut keyring = program(&desk, "keyring");
        keyring.args(arguments).env("DOORWARD_KEYRING_HOSTS", hosts).stdin(Stdio::null());
        keyring.output().await.unwrap().into()
    };
    const INDEX: &str = "https://packages.example/simple";
    let ran = with(&["--mode=creds", "--output=json", "get", INDEX, "me"]).await.ended(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["username"], "oauth2");
    assert_eq!(claims(answer["password"].as_str().unwrap())["preferred_username"], "alice");
    let ran = with(&["get", INDEX, "--mode", "creds"]).await.ended(0);
    let (name, token) = ran.out.trim_end().split_once('\n').unwrap();
    assert_eq!((name, &claims(token)["preferred_username"]), ("oauth2", &json!("alice")));
    with(&["--mode=creds", "--output=json", "get", "https://evil.example/"]).await.ended(1);
    for wrong in [
        &["--mode=creds", "--output=xml", "get", INDEX][..],
        &["get", INDEX, "a", "b"],
        &["--frob"],
    ] {
        assert!(with(wrong).await.ended(2).out.is_empty(), "{wrong:?}");
    }
    for stranger in [
        "https://evil.example/simple",
        "https://packages.example.evil.test/simple",
        "https://packages.example@evil.test/simple",
        "https://evil.test/packages.example",
        "https://evil.test?packages.example",
        "http://packages.example/simple",
        "packages.example",
    ] {
        let ran = get(stranger).await.ended(1);
        assert!(ran.out.is_empty(), "{stranger}: {ran:?}");
    }
}

#[tokio::test]
async fn kubectl_gets_an_exec_credential() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "notebook", &["--client-secret-file", "notebook-secret"]).await.ended(0);
    let line = from_guide("        args: [").replace("kubernetes]", "churn]");
    let whole = std::fs::read_to_string(root().join("examples/credential-helpers/kubeconfig.yaml"))
        .unwrap();
    assert!(whole.contains(&from_guide("        args: [")), "the guide shows a part of the file");
    let arguments: Vec<&str> =
        line.trim().trim_start_matches("args: [").trim_end_matches(']').split(", ").collect();
    let mut asked = desk.command(&arguments);
    asked.env("KUBERNETES_EXEC_INFO", r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{"interactive":false}}"#);
    let ran = Ran::from(asked.output().await.unwrap()).ended(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        answer["apiVersion"], "client.authentication.k8s.io/v1beta1",
        "the version it speaks"
    );
    assert_eq!(answer["kind"], "ExecCredential");
    assert_eq!(claims(answer["status"]["token"].as_str().unwrap())["aud"], "churn");
    assert!(answer["status"]["expirationTimestamp"].as_str().unwrap().ends_with('Z'));
    let ran = desk.run(&arguments).await.ended(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["apiVersion"], "client.authentication.k8s.io/v1");
}

#[tokio::test]
async fn the_token_reaches_curl_and_httpie_through_a_pipe() {
    let desk = signed_in().await;
    let service = format!("{}/protocol/openid-connect/userinfo", desk.issuer.url());
    let answer = |ran: Ran| serde_json::from_str::<Value>(&ran.ended(0).out).unwrap();
    let here = |line: String| line.replace("https://churn.example/score", &service);
    let curl = here(from_guide("doorward token --header | curl"));
    assert_eq!(answer(shell(&desk, &curl).await)["preferred_username"], "alice");
    // HTTPie takes the value of the header from what `@` names.
    let httpie = from_guide("https churn.example/score Authorization:@");
    let value = httpie.split_once("@<(").unwrap().1.trim_end_matches(')');
    let ran = shell(&desk, value).await.ended(0);
    assert_eq!(claims(ran.text().strip_prefix("Bearer ").unwrap())["preferred_username"], "alice");
}

#[tokio::test]
async fn the_commands_of_the_terminal_guide_work() {
    let desk = signed_in().await;
    let line = |begins: &str| {
        let line = from("terminal.md", begins);
        line.replace("https://keycloak.example/realms/platform", desk.issuer.url())
    };
    let ran = shell(&desk, &line("doorward token | doorward verify")).await.ended(0);
    assert!(ran.out.starts_with("valid for churn"), "{}", ran.out);
    desk.issuer.set_client(
        dev_issuer::DevClient::confidential("airflow-run", "job-secret").scope("score"),
    );
    let job = line("doorward token --issuer").replace('\\', "") + &line("  --client-secret-file");
    let job = job.replace("/run/secrets/airflow", desk.path("job-secret").to_str().unwrap());
    let ran = shell(&desk, &job).await.ended(0);
    assert_eq!(claims(ran.text())["azp"], "airflow-run");
    let login = line("doorward login --issuer") + " --no-browser --wait 50ms";
    let ran = shell(&desk, &login).await.ended(1);
    assert!(ran.err.contains("no sign-in within"), "{}", ran.err);
    shell(&desk, &line("doorward logout")).await.ended(0);
}
