//! Requirements on the time, the sign-in and several claims.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::{condition::Condition, hours::Hours, request::Times, requirement::StepUp};

/// 2026-11-30T12:00:00Z, a Monday.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_796_040_000)
}

fn person(claims: serde_json::Value) -> Caller {
    let claims = claims.as_object().cloned().unwrap_or_default();
    Caller::Known(Known { subject: "a1".into(), claims, ..Known::default() }.into())
}

fn judge(requirement: &Requirement, caller: &Caller, times: Option<Times>) -> Decision {
    let path: CanonicalPath = "/models/churn".parse().expect("a path");
    let request = AccessRequest::new(&CanonicalMethod::GET, &path)
        .with_host("models.example")
        .with_times(times);
    let rule = rule(None, &[], Allow::AnyOf(vec![requirement.clone()]));
    Policy::new(vec![rule]).decide(&request, caller)
}

fn unmet(decision: Decision) -> Unmet {
    match decision {
        Decision::Deny { unmet, .. } => unmet,
        other => panic!("{other:?}"),
    }
}

fn allows(decision: &Decision) -> bool {
    matches!(decision, Decision::Allow { .. })
}

#[test]
fn hours_let_callers_through_while_they_last() {
    let hours = Hours::new("09:00", "13:00", "UTC").expect("hours");
    let office = Requirement { hours: Some(hours), ..Requirement::default() };
    let at = |hours: u64| Some(Times::beginning(noon() + Duration::from_secs(hours * 3600)));
    assert!(allows(&judge(&office, &alice(), at(0))));
    let missing = unmet(judge(&office, &alice(), at(1)));
    assert_eq!(missing.alternatives, ["needs the hours 09:00 to 13:00 in UTC"]);
    assert_eq!(missing.step_up, None, "no sign-in makes it earlier");
    assert!(!allows(&judge(&office, &alice(), None)), "without a time it is closed");
}

#[test]
fn an_open_stream_ends_with_its_hours_unless_told_otherwise() {
    let hours = || Hours::new("09:00", "13:00", "UTC").expect("hours");
    let later = Times { began: noon(), now: noon() + Duration::from_secs(2 * 3600) };
    for (close, stays) in [(true, false), (false, true)] {
        let hours = Some(hours().closing_streams(close));
        let office = Requirement { hours, ..Requirement::default() };
        assert_eq!(allows(&judge(&office, &alice(), Some(later))), stays);
        let policy = Policy::new(vec![rule(None, &[], Allow::AnyOf(vec![office]))]);
        let end = (!stays).then(|| noon() + Duration::from_secs(3600));
        assert_eq!(policy.changes_after(noon()), end);
        assert!(policy.depends_on_time());
    }
    let timeless = Policy::new(vec![rule(None, &[], Allow::AnyOf(vec![roles(&["admin"])]))]);
    assert!(!timeless.depends_on_time() && timeless.changes_after(noon()).is_none());
}

#[test]
fn a_sign_in_of_a_named_level_is_enough() {
    let strong = Requirement { acr: vec!["2".into(), "3".into()], ..Requirement::default() };
    for (claims, passes) in [
        (json!({ "acr": "2" }), true),
        (json!({ "acr": "3" }), true),
        (json!({ "acr": "1" }), false),
        (json!({ "acr": 2 }), false),
        (json!({ "acr": ["2"] }), false),
        (json!({}), false),
    ] {
        assert_eq!(allows(&judge(&strong, &person(claims.clone()), None)), passes, "{claims}");
    }
    let missing = unmet(judge(&strong, &person(json!({})), None));
    let step_up = StepUp { acr_values: vec!["2".into(), "3".into()], max_age: None };
    assert_eq!(missing.step_up, Some(step_up));
    assert_eq!(missing.alternatives, ["needs a sign-in of one of the levels 2, 3"]);
}

#[test]
fn the_age_of_a_sign_in_counts_when_the_request_begins() {
    let recent = Requirement { max_age: Some(Duration::from_secs(3600)), ..Requirement::default() };
    let at = |ago: u64| json!({ "auth_time": 1_796_040_000 - ago });
    let now = Some(Times::beginning(noon()));
    for (claims, passes) in [
        (at(3600), true),
        (at(3601), false),
        (json!({ "auth_time": 1_796_040_099 }), true),
        (json!({ "auth_time": "1796040000" }), false),
        (json!({ "auth_time": -1 }), false),
        (json!({}), false),
    ] {
        assert_eq!(allows(&judge(&recent, &person(claims.clone()), now)), passes, "{claims}");
    }
    let open = Times { began: noon(), now: noon() + Duration::from_secs(9 * 3600) };
    assert!(allows(&judge(&recent, &person(at(10)), Some(open))), "a stream may go on");
    let missing = unmet(judge(&recent, &person(at(4000)), now));
    assert_eq!(missing.alternatives, ["needs a sign-in at most 1 hour ago"]);
    let step_up = StepUp { acr_values: vec![], max_age: Some(Duration::from_secs(3600)) };
    assert_eq!(missing.step_up, Some(step_up));
}

#[test]
fn another_sign_in_is_asked_for_only_where_it_helps() {
    let strong = Requirement { acr: vec!["2".into()], ..roles(&["admin"]) };
    assert_eq!(unmet(judge(&strong, &alice(), None)).step_up, None);
    let strong = Requirement { acr: vec!["2".into()], ..roles(&["data-scientist"]) };
    assert!(unmet(judge(&strong, &alice(), None)).step_up.is_some());
}

#[test]
fn a_condition_sees_claims_and_request() {
    let when = |source: &str| Requirement {
        when: Some(Condition::compile(source).expect("a condition")),
        ..Requirement::default()
    };
    let risk = when("claims.department == 'risk' && request.method != 'DELETE'");
    assert!(allows(&judge(&risk, &alice(), None)));
    let missing = unmet(judge(&risk, &person(json!({ "department": "lab" })), None));
    assert_eq!(
        missing.alternatives,
        ["needs the condition claims.department == 'risk' && request.method != 'DELETE'"]
    );
    let missing = unmet(judge(&risk, &person(json!({})), None));
    assert!(missing.alternatives[0].ends_with("(No such key: department)"), "{missing:?}");
    assert!(allows(&judge(&when("request.host == 'models.example'"), &alice(), None)));
}
