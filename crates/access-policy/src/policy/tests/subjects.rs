//! Rules about jobs of platforms, by their subjects.

use super::*;

fn job(subject: &str) -> Caller {
    let known = Known {
        issuer: "ci".into(),
        iss: "https://gitlab.example".into(),
        subject: subject.into(),
        workload: true,
        ..Known::default()
    };
    Caller::Known(known.into())
}

fn requirement(patterns: &[&str]) -> Requirement {
    Requirement {
        subjects: patterns.iter().map(|one| one.parse().expect("a pattern")).collect(),
        issuers: vec!["ci".into()],
        ..Requirement::default()
    }
}

fn summary(requirement: Requirement, caller: &Caller) -> Option<String> {
    match decide(vec![rule(None, &[], Allow::AnyOf(vec![requirement]))], caller) {
        Decision::Deny { unmet, .. } => Some(unmet.summary()),
        _ => None,
    }
}

#[test]
fn a_refusal_names_the_subject_beside_the_patterns() {
    let main = "project_path:data/*:ref_type:branch:ref:main";
    let own = "project_path:data/churn:ref_type:branch:ref:feature";
    assert_eq!(
        summary(requirement(&[main]), &job(own)).as_deref(),
        Some(
            "needs the subject project_path:data/*:ref_type:branch:ref:main (the caller is \
         project_path:data/churn:ref_type:branch:ref:feature)"
        )
    );
    assert_eq!(
        summary(requirement(&["a:b", "a:c"]), &job("a:d")).as_deref(),
        Some("needs one of the subjects a:b, a:c (the caller is a:d)")
    );
    assert_eq!(summary(requirement(&["a:*"]), &job("a:d")), None);
}

#[test]
fn a_long_subject_is_cut_in_the_reason() {
    let found = summary(requirement(&["a:b"]), &job(&"é".repeat(5000))).expect("refused");
    assert!(found.ends_with("é…)") && found.chars().count() < 330, "{found}");
}

#[test]
fn the_same_subject_of_another_issuer_is_refused() {
    let Caller::Known(known) = job("a:d") else { return };
    let other = Caller::Known(Known { issuer: "other".into(), ..Known::clone(&known) }.into());
    assert_eq!(summary(requirement(&["a:d"]), &other).as_deref(), Some("needs the issuer ci"));
}
