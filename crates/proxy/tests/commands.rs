//! The program as a user runs it: the output and the exit code of each command.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

const CONFIG: &str = "
listen: 127.0.0.1:8080
public_url: http://127.0.0.1:8080
issuers:
  main:
    url: http://127.0.0.1:9/realms/lab
    client_id: gateway
    client_auth: none
    audience: [gateway]
session:
  store: cookie
  key: { file: KEY }
routes:
  churn:
    match: { path: /models/churn }
    upstream: http://127.0.0.1:9
    access:
      - { path: /models/churn/health, allow: anyone }
      - { methods: [POST], allow: { roles: [writer] } }
      - { path: /models/churn/admin/**, allow: { roles: [admin] } }
      - { allow: { roles: [data-scientist] } }
";

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.write("key", "0123456789abcdef0123456789abcdef");
        let key = desk.path("key").display().to_string();
        desk.write("doorward.yaml", &CONFIG.replace("KEY", &key));
        desk.write("alice.json", &alice(&["data-scientist"]).to_string());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn explain(&self, url: &str, more: &[&str]) -> (i32, String) {
        let config = self.path("doorward.yaml");
        let mut arguments = vec!["explain", "--config", text(&config), "--url", url];
        arguments.extend(more);
        let output = doorward(&arguments);
        (output.status.code().unwrap(), said(&output))
    }
}

fn alice(roles: &[&str]) -> Value {
    json!({
        "iss": "http://127.0.0.1:9/realms/lab", "sub": "a1", "aud": "gateway", "exp": 4_000_000_000_u64,
        "preferred_username": "alice", "realm_access": { "roles": roles },
    })
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn doorward(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn explain_names_the_deciding_rule_and_the_reason() {
    let desk = Desk::new();
    let claims = desk.path("alice.json");
    let (code, printed) =
        desk.explain("http://127.0.0.1:8080/models/churn/score", &["--claims", text(&claims)]);
    assert_eq!(code, 0, "{printed}");
    for line in [
        "caller    alice (a1 at main)",
        "route     churn",
        "rule 1    does not match: path /models/churn/score is not /models/churn/health",
        "rule 2    does not match: method GET is not among POST",
        "rule 3    does not match: path /models/churn/score is not /models/churn/admin/**",
        "rule 4    matches, and the caller has the role data-scientist",
        "decision  allowed by rule 4",
        "upstream  GET /models/churn/score at http://127.0.0.1:9",
    ] {
        assert!(printed.contains(line), "{line:?} is missing in\n{printed}");
    }
}

#[test]
fn explain_exits_3_if_refused_and_4_if_sign_in_is_required() {
    let desk = Desk::new();
    let claims = desk.path("alice.json");
    let (code, printed) =
        desk.explain("http://127.0.0.1:8080/models/churn/admin/x", &["--claims", text(&claims)]);
    assert_eq!(code, 3, "{printed}");
    assert!(printed.contains("refused by rule 3: the caller needs the role admin"), "{printed}");
    let (code, printed) =
        desk.explain("http://127.0.0.1:8080/models/churn/score", &["--anonymous"]);
    assert_eq!(code, 4, "{printed}");
    let (code, _) = desk.explain("http://127.0.0.1:8080/models/churn/health", &[]);
    assert_eq!(code, 0);
    let (code, printed) = desk.explain("http://elsewhere.test/models/churn", &[]);
    assert_eq!(code, 3, "{printed}");
    assert!(printed.contains("421"), "{printed}");
}

#[test]
fn foreign_text_cannot_steer_the_terminal() {
    let desk = Desk::new();
    let mut claims = alice(&["data-scientist", "\u{1b}[2J"]);
    claims["name"] = json!("alice\u{202e}\u{1b}]0;x\u{7}");
    desk.write("hostile.json", &claims.to_string());
    let hostile = desk.path("hostile.json");
    let (code, printed) =
        desk.explain("http://127.0.0.1:8080/models/churn/score", &["--claims", text(&hostile)]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("alice\\u{202e}\\u{1b}]0;x\\u{7}"), "{printed}");
    desk.write("hostile.yaml", "endpoints: \"\\e[2Jx\"\n");
    let checked = said(&doorward(&["check", "--config", text(&desk.path("hostile.yaml"))]));
    assert!(checked.contains("invalid path `\\u{1b}[2Jx`"), "{checked}");
    for output in [printed, checked] {
        assert!(!output.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{output:?}");
    }
}

#[test]
fn explain_in_json_is_for_programs() {
    let desk = Desk::new();
    let (code, printed) = desk.explain("http://127.0.0.1:8080/models/churn/score", &["--json"]);
    let answer: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &answer["decision"]), (4, &json!("sign_in")));
    assert_eq!(answer["rules"].as_array().unwrap().len(), 4);
}

#[test]
fn check_names_every_mistake_with_its_line() {
    let desk = Desk::new();
    let broken = CONFIG.replace("upstream:", "upstram:").replace("store: cookie", "store: cokie");
    desk.write("broken.yaml", &broken);
    let file = desk.path("broken.yaml");
    let output = doorward(&["check", "--config", text(&file)]);
    let printed = said(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("did you mean `upstream`"), "{printed}");
    assert!(printed.contains("cokie"), "{printed}");
    assert!(printed.contains(&format!("{}:16:", file.display())), "{printed}");
    let good = desk.path("doorward.yaml");
    let output = doorward(&["check", "--config", text(&good)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn serve_with_a_key_that_cannot_be_read_does_not_start() {
    let desk = Desk::new();
    fs::remove_file(desk.path("key")).unwrap();
    let config = desk.path("doorward.yaml");
    let output = doorward(&["serve", "--config", text(&config)]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("key"), "{}", said(&output));
}

#[test]
fn the_schema_is_json_and_knows_the_routes() {
    let output = doorward(&["schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["routes"].is_object());
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let doorward = env!("CARGO_BIN_EXE_doorward");
    let output = Command::new("sh").args(["-c", "\"$0\" schema | head -c 1", doorward]).output();
    assert_eq!(said(&output.unwrap()), "{");
}

#[test]
fn completions_exist_for_three_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = doorward(&["completions", shell]);
        assert!(output.status.success());
        for command in ["healthcheck", "login", "logout", "token", "verify"] {
            assert!(said(&output).contains(command), "{command} in {shell}");
        }
    }
}

#[test]
fn a_failed_health_check_names_the_url() {
    let output = doorward(&["healthcheck", "--url", "http://127.0.0.1:9/healthz"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("http://127.0.0.1:9/healthz"), "{}", said(&output));
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(doorward(&["explain", "--ulr", "x"]).status.code(), Some(2));
    assert_eq!(doorward(&[]).status.code(), Some(2));
}

#[test]
fn commands_for_terminals_use_its_name_and_exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let mut token = Command::new(env!("CARGO_BIN_EXE_doorward"));
    let output = token.arg("token").env_clear().env("HOME", home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("run `doorward login --issuer"), "{}", said(&output));
    let output = doorward(&["verify", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("Usage: doorward verify"), "{}", said(&output));
}

#[test]
fn explain_says_that_claims_are_a_token() {
    let desk = Desk::new();
    desk.write("token", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln\n");
    let file = desk.path("token");
    let url = "http://127.0.0.1:8080/models/churn/score";
    let (code, printed) = desk.explain(url, &["--claims", text(&file)]);
    assert_eq!(code, 1, "{printed}");
    let advice = format!(
        "it holds a token, not the JSON of its claims; write `--token \"$(cat {})\"`",
        text(&file)
    );
    assert!(printed.contains(&advice), "{printed}");
    assert!(!printed.contains("eyJ"), "{printed}");
}

#[test]
fn explain_names_decisions_as_the_audit_line_does() {
    let desk = Desk::new();
    desk.write("bob.json", &alice(&[]).to_string());
    let bob = desk.path("bob.json");
    for (path, caller, expected) in [
        ("score", vec!["--claims", text(&bob)], "deny"),
        ("score", vec!["--anonymous"], "sign_in"),
        ("health", vec!["--anonymous"], "allow"),
    ] {
        let url = format!("http://127.0.0.1:8080/models/churn/{path}");
        let (_, printed) = desk.explain(&url, &[&caller[..], &["--json"]].concat());
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["decision"], expected, "{path}");
    }
}

#[test]
fn explain_shows_what_an_application_receives() {
    let desk = Desk::new();
    desk.write("password", "hunter2");
    let password = desk.path("password").display().to_string();
    let keys = format!(
        "    audience: [churn]
    cors: {{ origins: 'https://apps.example' }}
    identity:
      set: {{ X-Remote-User: 'u={{user_name}}', X-Team: '{{claims.team}}' }}
      credentials: {{ basic: {{ user: svc, password: {{ file: {password} }} }} }}
    access:
"
    );
    let config = fs::read_to_string(desk.path("doorward.yaml")).unwrap();
    desk.write("doorward.yaml", &config.replacen("    access:\n", &keys, 1));
    let (url, claims) = ("http://127.0.0.1:8080/models/churn/score", desk.path("alice.json"));
    let (code, printed) = desk.explain(url, &["--claims", text(&claims)]);
    assert_eq!(code, 0, "{printed}");
    for line in [
        "header    x-forwarded-preferred-username: alice",
        "header    x-remote-user: u=alice",
        "header    authorization: (the application's credentials, `identity.credentials`)",
        "note      a bearer token needs one of these `aud` here: churn",
        "note      scripts of other pages may read answers: https://apps.example",
    ] {
        assert!(printed.contains(line), "{line:?} is missing in\n{printed}");
    }
    assert!(!printed.contains("x-team") && !printed.contains("hunter2"), "{printed}");
    let (_, printed) = desk.explain(url, &["--claims", text(&claims), "--json"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["headers"]["x-remote-user"], "u=alice");
    // A refused caller's facts are sent nowhere.
    let (code, printed) = desk.explain(url, &[]);
    assert_eq!(code, 4, "{printed}");
    assert!(!printed.contains("x-remote-user"), "{printed}");
}

#[test]
fn explain_judges_a_message_of_an_agent() {
    let desk = Desk::new();
    let routes = "  tools:
    match: { path: /mcp }
    upstream: http://127.0.0.1:9
    mcp: { resource: 'http://127.0.0.1:8080/mcp', scopes: [tools] }
    access:
      - { mcp_methods: [tools/list], allow: signed_in }
      - { tools: [query_*], allow: { roles: [data-scientist] } }
";
    let config = fs::read_to_string(desk.path("doorward.yaml")).unwrap();
    desk.write("doorward.yaml", &(config + routes));
    let mut claims = alice(&["data-scientist"]);
    desk.write("without.json", &claims.to_string());
    claims["scope"] = json!("tools");
    desk.write("with.json", &claims.to_string());
    let explain = |claims: &str, more: &[&str]| {
        let claims = desk.path(claims);
        let mut arguments = vec!["--method", "POST", "--claims", text(&claims)];
        arguments.extend(more);
        desk.explain("http://127.0.0.1:8080/mcp", &arguments)
    };
    let (code, printed) = explain("with.json", &["--tool", "query_sales"]);
    assert_eq!(code, 0, "{printed}");
    for line in [
        "rule 1    does not match: the message tools/call query_sales is not of the methods tools/list",
        "rule 2    matches, and the caller has the role data-scientist",
        "decision  allowed by rule 2",
        "a bearer token needs one of these `aud` here: http://127.0.0.1:8080/mcp",
        "a bearer token needs all of these scopes here: tools",
    ] {
        assert!(printed.contains(line), "{line:?} is missing in\n{printed}");
    }
    let (code, printed) = explain("with.json", &["--tool", "drop"]);
    assert_eq!(code, 3, "{printed}");
    assert!(
        printed.contains("the message tools/call drop is not of the tools query_*"),
        "{printed}"
    );
    let (code, printed) = explain("with.json", &["--mcp-method", "tools/list"]);
    assert_eq!(code, 0, "{printed}");
    let (code, printed) = explain("with.json", &[]);
    assert_eq!(code, 3, "{printed}");
    assert!(printed.contains("write `--tool NAME` or `--mcp-method METHOD`"), "{printed}");
    let (code, printed) = explain("without.json", &["--tool", "query_sales"]);
    assert_eq!(code, 3, "{printed}");
    assert!(printed.contains("refused: the caller needs the scope tools"), "{printed}");
}
