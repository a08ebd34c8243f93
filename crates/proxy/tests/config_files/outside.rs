//! Files, variables and directories that a configuration names, and the complete examples.

use std::fs;
use std::path::Path;

use doorward::commands::check::check;
use doorward::config::{Config, SecretRef};

use super::{SMALL, findings, small_with};

#[test]
fn named_files_and_variables_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("short"), "too short\n").unwrap();
    fs::write(at("empty"), "\n").unwrap();
    fs::write(at("no.pem"), "nothing").unwrap();
    let text = SMALL
        .replace("{ file: /run/secrets/session-key }", &format!("[{{ file: {} }}, {{ file: {} }}]", at("short"), at("empty")))
        .replace("session:", &format!("session:\n  store: {{ embedded: {{ path: {}/s.redb }} }}", at("none")))
        .replace(
            "    client_id",
            &format!("    ca_file: {}\n    client_auth: {{ secret: {{ env: DOORWARD_TEST_UNSET }} }}\n    client_id", at("no.pem")),
        );
    let text =
        format!("tls: {{ certificate: {}, key: {} }}\n{text}", at("absent.crt"), at("no.pem"));
    fs::write(at("doorward.yaml"), text).unwrap();
    let found = findings(Config::load(Path::new(&at("doorward.yaml"))));
    let root = folder.path().display().to_string();
    let found: Vec<String> = found.iter().map(|line| line.replace(&root, "")).collect();
    let expected = [
        "1:21: tls.certificate: cannot read `/absent.crt`: No such file or directory (os error 2)",
        "1:37: tls.key: invalid private key: `/no.pem` holds none in PEM form",
        "6:14: issuers.main.ca_file: invalid certificate: `/no.pem` holds none in PEM form",
        "7:5: issuers.main.client_auth.secret: missing environment variable `DOORWARD_TEST_UNSET`; set it",
        "11:3: session.store: missing directory `/none` for `/none/s.redb`; create it, or name another path",
        "12:9: session.key#1: invalid session key: `/short` has 9 bytes, fewer than 32; make one with `openssl rand -base64 32`",
        "12:9: session.key#2: invalid secret: `/empty` is empty; store the secret there",
    ];
    let strip = |line: &str| line.split_once(": ").unwrap().1.to_owned();
    assert_eq!(
        found.iter().map(|line| strip(line)).collect::<Vec<_>>(),
        expected.iter().map(|line| strip(line)).collect::<Vec<_>>()
    );
    let lines = |all: &[String]| {
        all.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&found), ["1", "1", "6", "7", "11", "12", "12"]);
    let missing = findings(Config::load(Path::new(&at("nowhere.yaml"))));
    assert!(missing.first().unwrap().contains("cannot be read"), "{missing:?}");
}

#[test]
fn an_admin_token_must_exist_be_long_and_be_sendable() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let found = |token: Option<&str>| {
        fs::remove_file(at("token")).ok();
        token.iter().for_each(|token| fs::write(at("token"), token).unwrap());
        let admin = format!("admin: {{ token: {{ file: {} }} }}\nsession:", at("token"));
        fs::write(at("doorward.yaml"), small_with("session:", &admin)).unwrap();
        let all = findings(Config::load(Path::new(&at("doorward.yaml"))));
        let root = folder.path().display().to_string();
        let here = all.into_iter().find(|line| line.contains("admin.token"));
        here.map(|line| line.replace(&root, "").split_once(": ").unwrap().1.to_owned())
    };
    for (token, expected) in [
        (None, "admin.token: cannot read `/token`: No such file"),
        (Some("\n"), "admin.token: invalid secret: `/token` is empty"),
        (
            Some("fifteen-letters"),
            "admin.token: invalid admin token: `/token` has 15 characters, fewer than 16",
        ),
        (
            Some("sixteen letters and more"),
            "admin.token: invalid admin token: `/token` holds a space",
        ),
        (
            Some("sixteen-lettérs-and-more"),
            "admin.token: invalid admin token: `/token` holds a space",
        ),
    ] {
        let said = found(token).unwrap_or_default();
        assert!(said.starts_with(expected), "{token:?}: {said}");
    }
    assert_eq!(found(Some("sixteen-letters!\n")), None);
}

#[test]
fn client_credentials_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("no.pem"), "nothing").unwrap();
    let told_of = |client_auth: String| {
        let text =
            small_with("    client_id", &format!("    client_auth: {client_auth}\n    client_id"));
        fs::write(at("doorward.yaml"), text).unwrap();
        let found = findings(Config::load(Path::new(&at("doorward.yaml"))));
        let root = folder.path().display().to_string();
        let here = found.iter().filter(|line| line.contains("client_auth"));
        here.map(|line| line.replace(&root, "").split_once(": ").unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    let assertion = format!("{{ assertion_file: {} }}", at("token"));
    let absent = "issuers.main.client_auth.assertion_file: cannot read `/token`: No such file or directory (os error 2)";
    assert_eq!(told_of(assertion.clone()), [absent]);
    fs::write(at("token"), "eyJ…").unwrap();
    assert!(told_of(assertion).is_empty());
    let own = format!("{{ mtls: {{ certificate: {}, key: {} }} }}", at("no.pem"), at("absent.key"));
    assert_eq!(
        told_of(own),
        [
            "issuers.main.client_auth.mtls.certificate: invalid certificate: `/no.pem` holds none in PEM form",
            "issuers.main.client_auth.mtls.key: cannot read `/absent.key`: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn a_secret_is_read_without_the_line_end_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for (content, secret) in [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a")] {
        fs::write(&file, content).unwrap();
        let read = SecretRef::File(file.clone()).read().unwrap();
        assert!(read.matches(secret), "{content:?}");
    }
    assert!(SecretRef::Env("DOORWARD_TEST_UNSET".to_owned()).read().is_err());
    assert!(SecretRef::File("/dev/zero".into()).read().is_err());
}

/// The examples at the root of the repository, with secrets that exist.
#[test]
fn the_examples_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    for example in fs::read_dir(examples).unwrap() {
        let file = example.unwrap().path().join("doorward.yaml");
        if !file.exists() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().display().to_string();
        for name in ["gateway", "session-key"] {
            fs::write(folder.path().join(name), "0123456789abcdef0123456789abcdef").unwrap();
        }
        let pod = folder.path().join("kubernetes.io/serviceaccount");
        fs::create_dir_all(&pod).unwrap();
        let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap();
        fs::write(pod.join("ca.crt"), authority.cert.pem()).unwrap();
        fs::write(pod.join("token"), "a service account's token").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("/run/secrets", &secrets).replace("/var/lib/doorward", &secrets);
        let copy = folder.path().join("doorward.yaml");
        if text.contains("include:") {
            // It is complete with its folder only: `platform.rs` loads it.
            continue;
        }
        fs::write(&copy, text).unwrap();
        let mut out = Vec::new();
        let good = check(&copy, &mut out).unwrap();
        assert!(good, "{}:\n{}", file.display(), String::from_utf8(out).unwrap());
        assert!(!String::from_utf8(out).unwrap().contains("warning"), "{}", file.display());
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn check_prints_lines_that_editors_link() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.yaml");
    fs::write(
        &file,
        small_with("{ file: /run/secrets/session-key }", "{ file: /dev/null }")
            .replace("upstream", "upstram"),
    )
    .unwrap();
    let mut out = Vec::new();
    assert!(!check(&file, &mut out).unwrap());
    let out = String::from_utf8(out).unwrap().replace(&file.display().to_string(), "doorward.yaml");
    let lines: Vec<&str> = out.lines().collect();
    let [first, second, third, "", last] = lines.as_slice() else { panic!("{out}") };
    assert!(first.starts_with("doorward.yaml:7:1: session.store: missing directory"), "{first}");
    assert_eq!(
        *second,
        "doorward.yaml:8:3: session.key: invalid secret: `/dev/null` is empty; store the secret there"
    );
    assert_eq!(
        *third,
        "doorward.yaml:12:5: routes.app.upstram: unknown key; did you mean `upstream`?"
    );
    assert_eq!(*last, "3 problems in doorward.yaml");
}
