use http_canonical::CanonicalPath;
use serde_json::json;

use super::*;
use crate::caller::Known;

mod circumstances;
mod many_rules;
mod sign_in;
mod subjects;

fn alice() -> Caller {
    Caller::Known(
        Known {
            issuer: "main".into(),
            subject: "a1".into(),
            preferred_username: Some("alice".into()),
            email: Some("alice@example.test".into()),
            roles: vec!["data-scientist".into()],
            client_roles: [("churn".to_owned(), vec!["scorer".to_owned()])].into(),
            groups: vec!["/lab".into()],
            scopes: vec!["openid".into()],
            client: Some("gateway".into()),
            claims: json!({ "department": "risk", "levels": [1, 2], "nested": { "team": "x" }, "https://acme.example/app": { "a.b": "y" } })
                .as_object()
                .cloned()
                .unwrap_or_default(),
            ..Known::default()
        }
        .into(),
    )
}

fn rule(path: Option<&str>, methods: &[CanonicalMethod], allow: Allow) -> Rule {
    let path = path.map(|path| path.parse().expect("a pattern"));
    Rule { path, methods: methods.to_vec(), messages: None, allow, shadow: false }
}

fn roles(names: &[&str]) -> Requirement {
    Requirement {
        roles: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Requirement::default()
    }
}

fn decide(rules: Vec<Rule>, caller: &Caller) -> Decision {
    let path: CanonicalPath = "/models/churn".parse().expect("a path");
    Policy::new(rules).decide(&AccessRequest::new(&CanonicalMethod::GET, &path), caller)
}

fn allowed(requirement: Requirement) -> bool {
    let decision = decide(vec![rule(None, &[], Allow::AnyOf(vec![requirement]))], &alice());
    matches!(decision, Decision::Allow { .. })
}

#[test]
fn a_policy_without_rules_lets_no_caller_through() {
    assert!(matches!(decide(vec![], &alice()), Decision::Deny { rule: None, .. }));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![
        rule(Some("/models/churn"), &[CanonicalMethod::POST], Allow::Anyone),
        rule(Some("/models/churn"), &[], Allow::AnyOf(vec![roles(&["admin"])])),
        rule(None, &[], Allow::Anyone),
    ];
    assert!(matches!(decide(rules, &alice()), Decision::Deny { rule: Some(2), .. }));
}

#[test]
fn only_anonymous_callers_are_asked_to_sign_in() {
    let rules = || vec![rule(None, &[], Allow::SignedIn)];
    assert_eq!(decide(rules(), &Caller::Anonymous), Decision::SignIn { rule: 1 });
    assert_eq!(decide(rules(), &alice()), Decision::Allow { rule: 1, public: false });
}

#[test]
fn no_caller_meets_an_empty_requirement() {
    assert!(!allowed(Requirement::default()));
}

#[test]
fn every_key_must_hold_and_within_a_key_one_value_is_enough() {
    let both = Requirement { groups: vec!["/lab".into()], ..roles(&["admin", "data-scientist"]) };
    assert!(allowed(both));
    let one_fails = Requirement { groups: vec!["/finance".into()], ..roles(&["data-scientist"]) };
    assert!(!allowed(one_fails));
}

#[test]
fn a_client_role_never_passes_for_a_realm_role() {
    assert!(allowed(roles(&["churn:scorer"])));
    assert!(!allowed(roles(&["scorer"])));
    assert!(!allowed(roles(&["other:scorer"])));
    let Caller::Known(known) = alice() else { return };
    let tricky = Known { roles: vec!["churn:admin".into()], ..Known::clone(&known) };
    assert!(!tricky.has_role("churn:admin"));
}

#[test]
fn each_kind_of_name_matches_its_own_claim_only() {
    let known = |email_verified| Known {
        issuer: "main".into(),
        subject: "a1".into(),
        preferred_username: Some("alice".into()),
        email: Some("Alice@Example.test".into()),
        email_verified,
        ..Known::default()
    };
    let path = "/".parse().expect("a path");
    let request = AccessRequest::new(&CanonicalMethod::GET, &path);
    let met = |requirement: &Requirement, email_verified| {
        requirement.is_met_by(&known(email_verified), &request)
    };
    let one = |name: &str| vec![name.to_owned()];
    for (name, user, subject, email) in [
        ("alice", true, false, false),
        ("a1", false, true, false),
        ("Alice@Example.test", false, false, true),
        ("Alice@example.TEST", false, false, true),
        ("alice@example.test", false, false, false),
        ("ALICE", false, false, false),
    ] {
        let users = Requirement { users: one(name), ..Requirement::default() };
        let pattern = name.parse().expect("a pattern");
        let subjects = Requirement { subjects: vec![pattern], ..Requirement::default() };
        let emails = Requirement { emails: one(name), ..Requirement::default() };
        assert_eq!(met(&users, true), user, "users: {name}");
        assert_eq!(met(&subjects, true), subject, "subjects: {name}");
        assert_eq!(met(&emails, true), email, "emails: {name}");
        assert!(!met(&emails, false), "{name} was not verified");
    }
    let domain = |name| Requirement { email_domains: one(name), ..Requirement::default() };
    assert!(met(&domain("example.test"), true) && met(&domain("EXAMPLE.test"), true));
    assert!(!met(&domain("example.test"), false), "the address was not verified");
    for other in ["test", "ample.test", "x.example.test", "@example.test", "Alice@Example.test"] {
        assert!(!met(&domain(other), true), "{other}");
    }
}

#[test]
fn an_address_with_two_readings_is_of_no_domain() {
    for email in [
        "a@evil.test@corp.example",
        "a@corp.example ",
        "@corp.example",
        "a@",
        "corp.example",
        "a b@corp.example",
        "a@corp.example\n",
    ] {
        let known = Known { email: Some(email.into()), email_verified: true, ..Known::default() };
        assert!(!known.has_email_domain("corp.example"), "{email:?}");
        assert!(!known.has_email(email), "{email:?}");
    }
}

#[test]
fn a_self_chosen_user_name_is_no_address() {
    let mallory = Known {
        preferred_username: Some("boss@corp.example".into()),
        email: Some("mallory@evil.test".into()),
        email_verified: true,
        ..Known::default()
    };
    assert!(!mallory.has_email("boss@corp.example"));
    assert!(!mallory.has_email_domain("corp.example"));
}

#[test]
fn a_rule_for_get_decides_about_head() {
    let rules = vec![
        rule(None, &[CanonicalMethod::GET], Allow::AnyOf(vec![roles(&["admin"])])),
        rule(None, &[], Allow::SignedIn),
    ];
    let policy = Policy::new(rules);
    assert!(policy.depends_on_method());
    let path: CanonicalPath = "/x".parse().expect("a path");
    let by = |method: &str| {
        policy.decide(&AccessRequest::new(&method.parse().expect("a method"), &path), &alice())
    };
    assert!(matches!(by("GET"), Decision::Deny { rule: Some(1), .. }));
    assert!(matches!(by("HEAD"), Decision::Deny { rule: Some(1), .. }));
    assert!(matches!(by("OPTIONS"), Decision::Allow { rule: 2, .. }));
}

#[test]
fn claims_are_compared_without_converting_types() {
    let claim = |path: &str, value: serde_json::Value| Requirement {
        claims: [(path.to_owned(), vec![value])].into(),
        ..Requirement::default()
    };
    assert!(allowed(claim("department", json!("risk"))));
    assert!(allowed(claim("levels", json!(2))));
    assert!(allowed(claim("nested.team", json!("x"))));
    assert!(allowed(claim(r#""nested".team"#, json!("x"))));
    assert!(allowed(claim(r#""https://acme.example/app"."a.b""#, json!("y"))));
    for other in
        [r#""nested.team""#, r#""nested"team"#, r#""nested"."#, r#""nested"#, "nested.", ".nested"]
    {
        assert!(!allowed(claim(other, json!("x"))), "{other}");
    }
    assert!(!allowed(claim("levels", json!("2"))));
    assert!(!allowed(claim("missing", json!(null))));
}

#[test]
fn a_refusal_says_what_was_missing() {
    let rules = vec![rule(
        None,
        &[],
        Allow::AnyOf(vec![
            Requirement {
                clients: vec!["airflow-run".into()],
                scopes: vec!["score".into()],
                ..Requirement::default()
            },
            roles(&["ml-admin"]),
        ]),
    )];
    let Decision::Deny { unmet, .. } = decide(rules, &alice()) else { panic!("alice was allowed") };
    assert_eq!(
        unmet.summary(),
        "needs the scope score and the client airflow-run, or needs the role ml-admin"
    );
}

#[test]
fn the_challenge_names_scopes_if_nothing_else_is_missing() {
    let scoped = Requirement { scopes: vec!["score".into()], ..roles(&["data-scientist"]) };
    let Decision::Deny { unmet, .. } =
        decide(vec![rule(None, &[], Allow::AnyOf(vec![scoped]))], &alice())
    else {
        panic!("alice was allowed")
    };
    assert_eq!(unmet.scopes, ["score"]);
}

#[test]
fn shadow_rules_are_evaluated_and_never_enforced() {
    let mut shadow = rule(None, &[], Allow::AnyOf(vec![roles(&["admin"])]));
    shadow.shadow = true;
    let policy = Policy::new(vec![shadow, rule(None, &[], Allow::SignedIn)]);
    let path: CanonicalPath = "/x".parse().expect("a path");
    assert_eq!(
        policy.decide(&AccessRequest::new(&CanonicalMethod::GET, &path), &alice()),
        Decision::Allow { rule: 2, public: false }
    );
    let (request, alice) = (AccessRequest::new(&CanonicalMethod::GET, &path), alice());
    let said: Vec<_> = policy.shadows(&request, &alice).collect();
    assert_eq!(said, [(1, false)]);
}

#[test]
fn explain_names_the_deciding_rule_and_the_reason() {
    let policy = Policy::new(vec![
        rule(Some("/models/churn/health"), &[], Allow::Anyone),
        rule(None, &[CanonicalMethod::POST], Allow::Anyone),
        rule(Some("/models/**"), &[], Allow::AnyOf(vec![roles(&["data-scientist"])])),
        rule(None, &[], Allow::Anyone),
    ]);
    let path: CanonicalPath = "/models/churn".parse().expect("a path");
    let steps = policy.explain(&AccessRequest::new(&CanonicalMethod::GET, &path), &alice());
    let reasons: Vec<&str> = steps.iter().map(|step| step.because.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "does not match: path /models/churn is not /models/churn/health",
            "does not match: method GET is not among POST",
            "matches, and the caller has the role data-scientist",
        ]
    );
}

#[test]
fn a_message_that_was_not_read_lets_no_caller_pass() {
    let messages = |methods: &[&str], tools: &[&str]| {
        let read = |all: &[&str]| all.iter().map(|one| one.parse().expect("a pattern")).collect();
        Some(Messages { methods: read(methods), tools: read(tools) })
    };
    let about = |messages, allow| Rule { messages, ..rule(None, &[], allow) };
    let policy = Policy::new(vec![
        about(messages(&["tools/list"], &[]), Allow::Anyone),
        about(messages(&[], &["query_*"]), Allow::SignedIn),
        rule(Some("/mcp/page"), &[], Allow::SignedIn),
    ]);
    assert!(policy.depends_on_message() && policy.is_public_in_part());
    let decide = |path: &str, message| {
        let path: CanonicalPath = path.parse().expect("a path");
        let request = AccessRequest::new(&CanonicalMethod::POST, &path).with_message(message);
        policy.decide(&request, &alice())
    };
    let call = |name| Message::Read { method: "tools/call", name: Some(name) };
    let allowed = |rule, public| Decision::Allow { rule, public };
    assert_eq!(
        decide("/mcp", Message::Read { method: "tools/list", name: None }),
        allowed(1, true)
    );
    assert_eq!(decide("/mcp", call("query_sales")), allowed(2, false));
    assert!(matches!(decide("/mcp", call("drop")), Decision::Deny { rule: None, .. }));
    assert_eq!(decide("/mcp/page", call("drop")), allowed(3, false));
    assert_eq!(decide("/mcp/page", Message::None), allowed(3, false));
    assert!(matches!(decide("/mcp", Message::None), Decision::Deny { rule: None, .. }));
    assert_eq!(decide("/mcp/page", Message::Unread), Decision::Ambiguous { rule: 1 });
}
