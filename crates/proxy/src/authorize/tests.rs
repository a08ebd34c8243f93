use serde_json::json;

use super::*;
use crate::identify::Known;

fn alice() -> Identity {
    Identity::Known(
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
            claims: json!({ "department": "risk", "levels": [1, 2], "nested": { "team": "x" } })
                .as_object()
                .cloned()
                .unwrap_or_default(),
            ..Known::default()
        }
        .into(),
    )
}

fn rule(path: Option<&str>, methods: &[Method], allow: Allow) -> Rule {
    let path = path.map(|path| path.parse().expect("a pattern"));
    Rule { path, methods: methods.to_vec(), allow, shadow: false }
}

fn roles(names: &[&str]) -> Requirement {
    Requirement {
        roles: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Requirement::default()
    }
}

fn decide(rules: Vec<Rule>, identity: &Identity) -> Decision {
    let path: CanonicalPath = "/models/churn".parse().expect("a path");
    Policy::new(rules).decide(&Method::GET, &path, identity)
}

fn allowed(requirement: Requirement) -> bool {
    let decision = decide(vec![rule(None, &[], Allow::AnyOf(vec![requirement]))], &alice());
    matches!(decision, Decision::Allow { .. })
}

#[test]
fn a_policy_without_rules_lets_nobody_through() {
    assert!(matches!(decide(vec![], &alice()), Decision::Deny { rule: None, .. }));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![
        rule(Some("/models/churn"), &[Method::POST], Allow::Anyone),
        rule(Some("/models/churn"), &[], Allow::AnyOf(vec![roles(&["admin"])])),
        rule(None, &[], Allow::Anyone),
    ];
    assert!(matches!(decide(rules, &alice()), Decision::Deny { rule: Some(2), .. }));
}

#[test]
fn nobody_is_asked_to_sign_in_where_somebody_must_be() {
    let rules = || vec![rule(None, &[], Allow::SignedIn)];
    assert_eq!(decide(rules(), &Identity::Anonymous), Decision::SignIn { rule: 1 });
    assert_eq!(decide(rules(), &alice()), Decision::Allow { rule: 1 });
}

#[test]
fn an_empty_requirement_is_met_by_nobody() {
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
    let Identity::Known(known) = alice() else { return };
    let tricky = Known { roles: vec!["churn:admin".into()], ..Known::clone(&known) };
    assert!(!tricky.has_role("churn:admin"));
}

#[test]
fn an_address_that_was_not_verified_is_no_name() {
    let users = |name: &str| Requirement { users: vec![name.to_owned()], ..Requirement::default() };
    assert!(!allowed(users("alice@example.test")));
    assert!(allowed(users("alice")));
    assert!(allowed(users("a1")));
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
    let Decision::Deny { unmet, .. } = decide(rules, &alice()) else { panic!("alice got in") };
    assert_eq!(
        unmet.summary(),
        "needs the scope score and the client airflow-run, or needs the role ml-admin"
    );
}

#[test]
fn scopes_are_named_for_the_challenge_only_when_they_alone_were_missing() {
    let scoped = Requirement { scopes: vec!["score".into()], ..roles(&["data-scientist"]) };
    let Decision::Deny { unmet, .. } =
        decide(vec![rule(None, &[], Allow::AnyOf(vec![scoped]))], &alice())
    else {
        panic!("alice got in")
    };
    assert_eq!(unmet.scopes, ["score"]);
}

#[test]
fn shadow_rules_are_evaluated_and_never_enforced() {
    let mut shadow = rule(None, &[], Allow::AnyOf(vec![roles(&["admin"])]));
    shadow.shadow = true;
    let policy = Policy::new(vec![shadow, rule(None, &[], Allow::SignedIn)]);
    let path: CanonicalPath = "/x".parse().expect("a path");
    assert_eq!(policy.decide(&Method::GET, &path, &alice()), Decision::Allow { rule: 2 });
    let said: Vec<_> = policy.shadows(&Method::GET, &path, &alice()).collect();
    assert_eq!(said, [(1, false)]);
}

#[test]
fn explain_tells_for_four_rules_which_one_decided_and_why() {
    let policy = Policy::new(vec![
        rule(Some("/models/churn/health"), &[], Allow::Anyone),
        rule(None, &[Method::POST], Allow::Anyone),
        rule(Some("/models/**"), &[], Allow::AnyOf(vec![roles(&["data-scientist"])])),
        rule(None, &[], Allow::Anyone),
    ]);
    let path: CanonicalPath = "/models/churn".parse().expect("a path");
    let steps = policy.explain(&Method::GET, &path, &alice());
    let told: Vec<&str> = steps.iter().map(|step| step.because.as_str()).collect();
    assert_eq!(
        told,
        [
            "does not match: path /models/churn is not /models/churn/health",
            "does not match: method GET is not among POST",
            "matches, and the caller has the role data-scientist",
        ]
    );
}
