//! The example of a platform: twelve services in at most sixty lines, and its decisions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

struct Platform(tempfile::TempDir);

impl Platform {
    /// The example, with secrets that exist.
    fn new() -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/platform");
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().display().to_string();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        for name in ["doorward.yaml", "conf.d/models.yaml"] {
            let text = fs::read_to_string(example.join(name)).unwrap();
            let text =
                text.replace("/run/secrets", &secrets).replace("/var/lib/doorward", &secrets);
            fs::write(folder.path().join(name), text).unwrap();
        }
        for name in ["gateway", "session-key"] {
            fs::write(folder.path().join(name), "0123456789abcdef0123456789abcdef").unwrap();
        }
        let own = rcgen::generate_simple_self_signed(["platform.example".to_owned()]).unwrap();
        fs::write(folder.path().join("tls.crt"), own.cert.pem()).unwrap();
        fs::write(folder.path().join("tls.key"), own.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn doorward(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(arguments)
            .arg("--config")
            .arg(self.path("doorward.yaml"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn decision(&self, method: &str, url: &str, claims: &Value) -> Value {
        let mut whole = json!({
            "iss": "https://keycloak.example/realms/platform", "sub": "s1", "exp": 4_000_000_000_u64,
        });
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        fs::write(self.path("claims.json"), whole.to_string()).unwrap();
        let claims = self.path("claims.json").display().to_string();
        let (_, said) = self.doorward(&[
            "explain", "--json", "--method", method, "--url", url, "--claims", &claims,
        ]);
        serde_json::from_str(&said).unwrap()
    }
}

fn roles(role: &str) -> Value {
    json!({ "preferred_username": "alice", "realm_access": { "roles": [role] } })
}

#[test]
fn twelve_services_fit_in_sixty_lines() {
    let platform = Platform::new();
    let lines = ["doorward.yaml", "conf.d/models.yaml"]
        .map(|name| fs::read_to_string(platform.path(name)).unwrap().lines().count());
    assert!(lines.iter().sum::<usize>() <= 60, "{lines:?}");
    let (code, said) = platform.doorward(&["check"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("12 routes, 1 issuer") && !said.contains("warning"), "{said}");
}

#[test]
fn shared_rules_decide_as_if_they_were_written_in_each_route() {
    let platform = Platform::new();
    let job = json!({ "azp": "airflow-run", "scope": "score" });
    let finance = json!({ "groups": ["/finance"], "acr": "2", "auth_time": 4_000_000_000_u64 });
    let auditor = json!({ "preferred_username": "auditor" });
    for (method, url, claims, decision) in [
        ("GET", "https://platform.example/jupyter/lab", roles("data-scientist"), "allow"),
        ("GET", "https://platform.example/jupyter/lab", roles("guest"), "deny"),
        ("GET", "https://platform.example/jupyter/hub/health", roles("guest"), "allow"),
        ("GET", "https://platform.example/airflow", roles("data-scientist"), "deny"),
        ("GET", "https://platform.example/airflow", roles("engineer"), "allow"),
        ("GET", "https://platform.example/mlflow", roles("data-scientist"), "allow"),
        ("POST", "https://platform.example/mlflow", roles("data-scientist"), "deny"),
        ("POST", "https://platform.example/mlflow", job.clone(), "allow"),
        ("GET", "https://platform.example/docs", roles("guest"), "allow"),
        ("GET", "https://platform.example/reports", roles("engineer"), "deny"),
        ("GET", "https://platform.example/superset", finance.clone(), "allow"),
        ("GET", "https://console.platform.example/", auditor, "allow"),
        ("GET", "https://console.platform.example/", roles("data-scientist"), "deny"),
        ("GET", "https://packages.platform.example/simple", job.clone(), "allow"),
        ("PUT", "https://packages.platform.example/simple", job.clone(), "deny"),
        ("POST", "https://platform.example/models/churn/score", job, "allow"),
        ("GET", "https://platform.example/models/churn/docs/a", roles("engineer"), "allow"),
        ("POST", "https://platform.example/models/fraud/score", roles("engineer"), "deny"),
        ("POST", "https://platform.example/models/fraud/score", roles("ml-admin"), "allow"),
        ("POST", "https://platform.example/models/prices/score", finance, "allow"),
    ] {
        let said = platform.decision(method, url, &claims);
        assert_eq!(said["decision"], decision, "{method} {url} {claims}: {said}");
    }
}

#[test]
fn explain_names_the_file_of_the_route_and_of_the_rule() {
    let platform = Platform::new();
    let said =
        platform.decision("GET", "https://platform.example/models/fraud/x", &roles("ml-admin"));
    let place =
        |value: &Value| value.as_str().unwrap().rsplit_once("/conf.d/").unwrap().1.to_owned();
    assert_eq!(place(&said["place"]), "models.yaml:6:3");
    assert_eq!(place(&said["rules"][0]["place"]), "models.yaml:6:103");
}
