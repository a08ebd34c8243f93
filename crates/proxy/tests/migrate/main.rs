//! `doorward migrate`: configurations as users of other programs write them become valid ones, without their secrets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod restrictions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward::commands::migrate::{Source, migrate};
use doorward::config::{Allow, Config, SessionStoreConfig};

/// Part of each secret in the corpus.
const SECRET: &str = "s3cr3t";

/// A rule that no caller meets.
const NO_CALLER: &str = r#"[{"emails":["replace-me@users.invalid"]}]"#;

const FOLDERS: [(&str, Source); 4] = [
    ("oauth2-proxy", Source::OAuth2Proxy),
    ("gatekeeper", Source::Gatekeeper),
    ("mod_auth_openidc", Source::ModAuthOpenidc),
    ("ingress", Source::Ingress),
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/corpus")
}

/// The result for a file of the corpus.
fn migrated(name: &str) -> String {
    let folder = name.split('/').next().unwrap();
    let (_, source) = FOLDERS.iter().find(|(known, _)| *known == folder).unwrap();
    let text = fs::read_to_string(corpus().join(name)).unwrap();
    migrate(*source, &[text]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn config(name: &str) -> Config {
    let text = migrated(name);
    Config::parse(name, &text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).config
}

/// The rules of a route, in one line each.
fn rules(config: &Config, path: &str) -> Vec<String> {
    let route = config.routes.values().find(|route| route.matches.path == path).unwrap();
    let rules = route.access.iter().map(|rule| {
        let path = rule.path.as_ref().map(|path| format!("{path} ")).unwrap_or_default();
        let methods = rule.methods.iter().map(|method| format!("{method} ")).collect::<String>();
        let allow = match &rule.allow {
            Allow::Anyone => "anyone".to_owned(),
            Allow::SignedIn => "signed_in".to_owned(),
            Allow::AnyOf(all) => serde_json::to_string(all).unwrap(),
        };
        format!("{methods}{path}{allow}")
    });
    rules.collect()
}

#[test]
fn every_shape_becomes_a_valid_file_without_secrets() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for (folder, _) in FOLDERS {
        for entry in fs::read_dir(corpus().join(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = format!("{folder}/{file}");
            let text = migrated(&name);
            count += 1;
            if let Err(problems) = Config::parse(&name, &text) {
                wrong.push(format!("{problems}\n{text}"));
            }
            if text.contains(SECRET) {
                wrong.push(format!("{name}: a secret is printed\n{text}"));
            }
            let head = format!("# Written by `doorward migrate {folder}`");
            assert!(text.starts_with(&head), "{text}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= 40, "only {count}");
}

#[test]
fn the_callers_are_those_of_the_source() {
    for (name, path, expected) in [
        (
            "oauth2-proxy/01-keycloak.cfg",
            "/",
            vec![r#"[{"email_domains":["corp.example"],"roles":["grafana-user"]}]"#],
        ),
        ("oauth2-proxy/03-everyone.cfg", "/", vec!["signed_in"]),
        (
            "oauth2-proxy/04-flags.txt",
            "/",
            vec!["GET /health anyone", "/static/** anyone", "signed_in"],
        ),
        (
            "oauth2-proxy/05-deployment-args.yaml",
            "/",
            vec![r#"[{"groups":["/data"]},{"roles":["airflow:op"]}]"#],
        ),
        (
            "oauth2-proxy/09-alpha.yaml",
            "/api",
            vec![r#"[{"emails":["replace-me@users.invalid"],"groups":["/platform"]}]"#],
        ),
        (
            "oauth2-proxy/14-regex.cfg",
            "/",
            vec![
                "GET /docs/** anyone",
                "POST /hooks/* anyone",
                "/public/** anyone",
                "/favicon.ico anyone",
                r#"[{"email_domains":["a.example"]}]"#,
            ],
        ),
        (
            "oauth2-proxy/14-regex.cfg",
            "/exact",
            vec![r#"/exact [{"email_domains":["a.example"]}]"#],
        ),
        (
            "oauth2-proxy/15-emails-file.cfg",
            "/",
            vec![r#"[{"emails":["replace-me@users.invalid"]}]"#],
        ),
        ("oauth2-proxy/18-minimal.cfg", "/", vec![r#"[{"emails":["replace-me@users.invalid"]}]"#]),
        (
            "gatekeeper/01-roles.yaml",
            "/",
            vec![
                r#"GET POST /admin/** [{"roles":["admin"]}]"#,
                "/public/** anyone",
                r#"[{"roles":["user"]}]"#,
            ],
        ),
        (
            "gatekeeper/02-all-roles.yaml",
            "/",
            vec![
                r#"/reports/** [{"roles":["analyst"],"when":"\"export\" in claims.resource_access[\"app\"].roles"}]"#,
                r#"/groups/** [{"groups":["/finance"]}]"#,
                r#"/any/** [{"roles":["a","b"]}]"#,
            ],
        ),
        (
            "gatekeeper/04-claims.yaml",
            "/",
            vec![r#"[{"claims":{"department":["risk"],"email":["replace-me"]}}]"#],
        ),
        ("mod_auth_openidc/01-location.conf", "/app", vec!["signed_in"]),
        (
            "mod_auth_openidc/02-claims.conf",
            "/",
            vec!["/public/** anyone", r#"[{"groups":["/finance"]},{"roles":["admin"]}]"#],
        ),
        (
            "mod_auth_openidc/03-virtual-host.conf",
            "/jupyter",
            vec![r#"[{"groups":["/lab"],"claims":{"department":["science"]}}]"#],
        ),
        ("mod_auth_openidc/06-regex.conf", "/reports", vec![NO_CALLER]),
        ("ingress/01-auth-url.yaml", "/", vec![NO_CALLER]),
        (
            "ingress/02-groups.yaml",
            "/healthz",
            vec![
                r#"/healthz [{"emails":["replace-me@users.invalid"],"email_domains":["corp.example"],"groups":["/data","/ml"]}]"#,
            ],
        ),
    ] {
        let found = rules(&config(name), path);
        let sorted = |all: &[String]| {
            let mut all = all.to_vec();
            all.sort_unstable();
            all
        };
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(
            sorted(&found),
            sorted(&expected),
            "{name} {path}: {found:#?}\n{}",
            migrated(name)
        );
        assert_eq!(found.last(), expected.last(), "{name}: the general rule comes last");
    }
}

/// The lines between a mark and the end of its block, without their indentation.
fn block(page: &str, mark: &str) -> String {
    let lines = page.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    let inside = lines.skip_while(|line| *line != mark).skip(1).take_while(|line| *line != "```");
    inside.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_guide_shows_what_is_printed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/from-oauth2-proxy.md");
    let page = fs::read_to_string(page).unwrap();
    let written = migrate(Source::OAuth2Proxy, &[block(&page, "```toml")]).unwrap();
    assert_eq!(block(&page, "```yaml"), written);
}

#[test]
fn weak_settings_are_named_and_not_carried_over() {
    for (name, named) in [
        (
            "oauth2-proxy/03-everyone.cfg",
            vec![
                "cookie_secure=false",
                "cookie_httponly=false",
                "cookie_expire",
                "email_domains: *",
                "ssl_insecure_skip_verify",
                "insecure_oidc_allow_unverified_email",
                "insecure_oidc_skip_issuer_verification",
                "skip_jwt_bearer_tokens",
                "reverse_proxy",
            ],
        ),
        ("oauth2-proxy/10-redis.cfg", vec!["redis_insecure_skip_tls_verify"]),
        ("oauth2-proxy/14-regex.cfg", vec!["skip_auth_regex"]),
        ("oauth2-proxy/15-emails-file.cfg", vec!["trusted_ips"]),
        ("oauth2-proxy/16-tls.cfg", vec!["oidc_issuer_url", "ssl_upstream_insecure_skip_verify"]),
        (
            "gatekeeper/03-weak.yaml",
            vec![
                "skip-openid-provider-tls-verify",
                "skip-upstream-tls-verify",
                "secure-cookie: false",
                "skip-token-verification",
                "enable-default-deny",
            ],
        ),
        ("gatekeeper/07-odd-paths.yaml", vec!["resources"]),
        (
            "mod_auth_openidc/03-virtual-host.conf",
            vec!["OIDCSSLValidateServer Off", "SSLProxyVerify none"],
        ),
        ("mod_auth_openidc/07-pass.conf", vec!["OIDCUnAuthAction pass"]),
        ("ingress/02-groups.yaml", vec!["proxy-ssl-verify: off", "backend-protocol: HTTPS"]),
        ("ingress/04-two-documents.yaml", vec!["Ingress app"]),
    ] {
        let text = migrated(name);
        let (_, rest) =
            text.split_once("# Weak in the source:\n").unwrap_or_else(|| panic!("{text}"));
        let weak: Vec<&str> = rest.lines().take_while(|line| line.starts_with("#   ")).collect();
        for setting in named {
            let said = format!("#   {setting}: ");
            assert!(weak.iter().any(|line| line.starts_with(&said)), "{name} {setting}: {weak:#?}");
        }
    }
    let config = config("oauth2-proxy/03-everyone.cfg");
    assert!(config.trusted_proxies.is_empty(), "no proxy is trusted until the operator names it");
    assert!(
        config.issuers.get("main").unwrap().audience.is_empty(),
        "an ID token passes for no access token"
    );
}

#[test]
fn an_option_without_an_equal_is_a_remark() {
    for (name, option) in [
        ("oauth2-proxy/07-env-file.env", "cookie_domains"),
        ("oauth2-proxy/13-github.cfg", "github_org"),
        ("oauth2-proxy/14-regex.cfg", "skip_auth_routes"),
        ("oauth2-proxy/15-emails-file.cfg", "htpasswd_file"),
        ("oauth2-proxy/16-tls.cfg", "upstreams"),
        ("oauth2-proxy/19-json-args.txt", "banner"),
        ("gatekeeper/08-http-provider.yaml", "unknown-option"),
        ("mod_auth_openidc/05-files.conf", "oidcrediscacheserver"),
        ("ingress/03-rewrite.yaml", "configuration-snippet"),
        ("ingress/06-grpc.yaml", "enable-cors"),
    ] {
        let text = migrated(name);
        let (_, rest) =
            text.split_once("# Not carried over:\n").unwrap_or_else(|| panic!("{text}"));
        let said = format!("#   {option}: ");
        assert!(rest.lines().any(|line| line.starts_with(&said)), "{name} {option}\n{text}");
    }
}

#[test]
fn stores_addresses_and_rewrites_are_carried_over() {
    let redis = migrated("oauth2-proxy/10-redis.cfg");
    assert!(redis.contains("rediss://redis.corp.example:6380/1"), "{redis}");
    assert!(matches!(
        config("oauth2-proxy/11-redis-sentinel.cfg").session.store,
        SessionStoreConfig::Redis(_)
    ));
    let alpha = config("oauth2-proxy/09-alpha.yaml");
    assert_eq!(alpha.routes.len(), 2);
    let api = alpha.routes.values().find(|route| route.matches.path == "/api").unwrap();
    assert_eq!(api.rewrite.strip_prefix.as_deref(), Some("/api"));
    let ingress = config("ingress/03-rewrite.yaml");
    let api = ingress.routes.values().next().unwrap();
    assert_eq!(api.upstream.first().unwrap().to_string(), "http://api.prod.svc:8080");
    assert_eq!(api.rewrite.strip_prefix.as_deref(), Some("/api"));
    let grpc = migrated("ingress/06-grpc.yaml");
    assert!(grpc.contains("h2c://scores.models.svc:50051"), "{grpc}");
    let jwt = config("oauth2-proxy/17-jwt-issuers.cfg");
    assert_eq!(jwt.issuers.get("main").unwrap().audience, ["models", "jobs", "a"]);
    assert_eq!(jwt.issuers.get("extra-1").unwrap().audience, ["doorward"]);
}

#[test]
fn the_command_reads_files_together_and_its_output_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("flags"), "--upstream=http://more:1/more/ --email-domain=*\n").unwrap();
    let doorward = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_doorward")).args(arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let first = corpus().join("oauth2-proxy/01-keycloak.cfg").display().to_string();
    let (code, text, errors) = doorward(&["migrate", "oauth2-proxy", &first, &at("flags")]);
    assert_eq!((code, errors.as_str()), (0, ""), "{text}");
    for name in ["doorward-client-secret", "doorward-session-key"] {
        fs::write(at(name), "0123456789abcdef0123456789abcdef").unwrap();
    }
    let text = text.replace("/run/secrets", &folder.path().display().to_string());
    fs::write(at("doorward.yaml"), &text).unwrap();
    let (code, said, _) = doorward(&["check", "--config", &at("doorward.yaml")]);
    assert_eq!(code, 0, "{said}\n{text}");
    // A flag replaces the list of the file.
    assert!(said.contains("1 route, 1 issuer"), "{said}");
}

#[test]
fn a_file_of_another_program_is_refused_without_quoting_it() {
    for (source, text, expected) in [
        (Source::OAuth2Proxy, "", "it holds no setting of oauth2-proxy"),
        (Source::OAuth2Proxy, "client_secret s3cr3t", "line 1 is no `name = value`"),
        (
            Source::OAuth2Proxy,
            "providers:\n  - clientSecret: s3cr3t\n  bad",
            "invalid file: the alpha configuration:4:1: ",
        ),
        (Source::Gatekeeper, "a: s3cr3t", "it holds no setting of Gatekeeper"),
        (Source::Gatekeeper, "client-secret: [s3cr3t", "invalid file: the configuration:"),
        (Source::ModAuthOpenidc, "Listen 80", "it holds no setting of mod_auth_openidc"),
        (Source::Ingress, "kind: Secret\nvalue: s3cr3t", "no object of that kind"),
    ] {
        let error = migrate(source, &[text.to_owned()]).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains(SECRET), "{text}: {error}");
    }
}

#[test]
fn text_of_the_source_cannot_add_keys_to_the_result() {
    let hostile = "--provider=oidc --oidc-issuer-url=https://id.example/realms/a --client-id=$'x' \
                   --skip-auth-route='^/a\nroutes: { evil: {} }' --client-id=\"a\\\"}: evil\" --email-domain='*' \
                   --upstream=http://a:1/ --scope='openid ]: {evil'";
    let text = migrate(Source::OAuth2Proxy, &[hostile.to_owned()]).unwrap();
    let config =
        Config::parse("hostile", &text).unwrap_or_else(|error| panic!("{error}\n{text}")).config;
    assert_eq!(config.routes.len(), 1, "{text}");
}
