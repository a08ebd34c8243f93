//! Rules about jobs: patterns for their subjects, and requirements that no job can meet.

use doorward::config::Config;

use super::problems;
use super::profiles::{PROGRAMS, expect_each_program, programs_with};

const PATTERN: &str = "'project_path:data/*:ref_type:branch:ref:main'";
const RULE: &str = "subjects: ['project_path:data/*:ref_type:branch:ref:main'], issuers: [ci]";

#[test]
fn each_mistake_of_a_pattern_is_named() {
    let cases = [
        ("'repo:corp/**'", "`**` does not cross `:` or `/` here"),
        ("'**'", "`**` does not cross"),
        ("'*'", "it names no subject"),
        ("'*:data'", "`*` stands for subjects of every kind"),
        ("'repo:*/churn:ref:refs/heads/main'", "anyone can create an owner that matches `repo:*`"),
        ("'project_path:*/*:ref_type:branch:ref:main'", "anyone can create a group"),
        ("'spiffe://*/run'", "anyone can create a trust domain"),
        ("'repo:corp/[ab]:x'", "`[` is no wildcard here"),
        ("'repo:corp/a?:x'", "`?` is no wildcard here"),
        ("'system:serviceaccount::*'", "one of its parts is empty"),
        ("'system:serviceaccount:run:*:'", "one of its parts is empty"),
        ("'repo:corp/churn:environment:a%3a'", "platforms write two upper-case digits"),
        ("' alice'", "a space at an end"),
        ("\"a\\u0007\"", "a control character"),
        ("'a:*-*-*-*-*-*-*-*-*'", "it has 9 wildcards; write at most 8"),
    ];
    for (written, expected) in cases {
        let found = programs_with(PATTERN, written);
        let [only] = found.as_slice() else { panic!("{written}: {found:#?}") };
        assert!(
            only.contains("routes.app.access#1.allow.subjects: invalid pattern")
                && only.contains(expected),
            "{written}: {only}"
        );
    }
    let long = format!("'{}'", "a".repeat(513));
    let found = programs_with(PATTERN, &long);
    assert!(found.join("\n").contains("it has 513 bytes; write at most 512"), "{found:#?}");
    for good in [
        "'248289761001'",
        "'auth0|5f7c'",
        "'repo:corp@1/churn@2:ref:refs/heads/main'",
        "'system:serviceaccount:*:trainer'",
        "'spiffe://acme.example/run/*'",
        "'repo:corp/churn:environment:a%3Ab'",
    ] {
        assert_eq!(programs_with(PATTERN, good), [""; 0], "{good}");
    }
}

#[test]
fn a_requirement_that_no_job_can_meet_is_refused() {
    for (key, value) in [
        ("users", "[alice]"),
        ("emails", "[boss@corp.example]"),
        ("email_domains", "[corp.example]"),
        ("roles", "[admin]"),
        ("groups", "[/lab]"),
        ("scopes", "[score]"),
        ("clients", "[airflow-run]"),
        ("acr", "'2'"),
        ("max_age", "1h"),
    ] {
        let new = format!("{RULE}, {key}: {value}");
        let expected =
            format!("routes.app.access#1.allow.{key}: invalid for workloads: the jobs of `ci`");
        expect_each_program(&[(RULE, &new, &expected)]);
    }
    // With a path there are such names.
    let paths = "    audience: [doorward]\n    claims: { roles: user_access_level }\n";
    let file = PROGRAMS
        .replace("    audience: [doorward]\n", paths)
        .replace(RULE, "issuers: [ci], roles: [owner]");
    assert_eq!(problems(&file), [""; 0]);
}

#[test]
fn no_browser_signs_in_for_a_route_of_jobs() {
    let with_login = |sign_in: &str| {
        let main = "issuers:\n  main:\n    url: https://keycloak.example/realms/platform\n    client_id: gateway\n    \
                    audience: [gateway]\n";
        let session = "session: { key: { file: /run/secrets/session-key } }\nroutes:\n";
        PROGRAMS
            .replace("issuers:\n", main)
            .replace("routes:\n", session)
            .replace("sign_in: challenge", &format!("sign_in: {sign_in}"))
    };
    assert_eq!(problems(&with_login("challenge")), [""; 0]);
    assert_eq!(problems(&with_login("auto")), [""; 0]);
    let found = problems(&with_login("redirect")).join("\n");
    assert!(
        found
            .contains("routes.app.sign_in: invalid: the rules of this route let workloads in only"),
        "{found}"
    );
    let loaded = Config::parse("doorward.yaml", &with_login("auto")).unwrap();
    let found: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let found = found.join("\n");
    assert!(
        found.contains("routes.app.sign_in: ") && found.contains("write `sign_in: challenge`"),
        "{found}"
    );
    let person = with_login("redirect").replace(RULE, "issuers: [main, ci]");
    assert_eq!(problems(&person), [""; 0]);
}

#[test]
fn a_trust_domain_has_one_issuer() {
    let mesh = |name: &str, domain: &str| {
        format!(
            "  {name}:\n    url: https://{name}.example\n    profile: workload\n    audience: [doorward]\n    trust_domain: {domain}\n"
        )
    };
    let with = |second: &str| {
        let issuers = format!("issuers:\n{}{}", mesh("a", "acme.example"), mesh("b", second));
        problems(&PROGRAMS.replace("issuers:\n", &issuers))
    };
    assert_eq!(with("other.example"), [""; 0]);
    let found = with("acme.example");
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    assert!(
        only.contains("issuers.b.trust_domain: invalid trust domain `acme.example`: `issuers.a`"),
        "{only}"
    );
}
