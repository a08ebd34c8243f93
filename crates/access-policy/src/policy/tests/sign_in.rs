//! The sign-in that is asked of an unknown caller at once.

use std::time::Duration;

use super::*;
use crate::requirement::StepUp;

fn wants(acr: &[&str], max_age: Option<u64>) -> Requirement {
    Requirement {
        acr: acr.iter().map(|level| (*level).to_owned()).collect(),
        max_age: max_age.map(Duration::from_secs),
        roles: vec!["admin".to_owned()],
        ..Requirement::default()
    }
}

fn asked(allow: Allow) -> Option<StepUp> {
    let rule = Rule { path: None, methods: Vec::new(), messages: None, allow, shadow: false };
    Policy::new(vec![rule]).sign_in_for(1)
}

#[test]
fn only_what_every_alternative_wants_is_asked_at_once() {
    for (alternatives, levels, age) in [
        (vec![wants(&["2"], None)], &["2"][..], None),
        (
            vec![wants(&["2", "3"], Some(60)), wants(&["3", "4"], Some(600))],
            &["2", "3", "4"],
            Some(600),
        ),
        (vec![wants(&["2"], Some(60)), wants(&["2"], None)], &["2"], None),
        (vec![wants(&["2"], Some(60)), wants(&[], Some(60))], &[], Some(60)),
    ] {
        let expected = StepUp {
            acr_values: levels.iter().map(|level| (*level).to_owned()).collect(),
            max_age: age.map(Duration::from_secs),
        };
        assert_eq!(asked(Allow::AnyOf(alternatives.clone())), Some(expected), "{alternatives:?}");
    }
    for nothing in [
        Allow::AnyOf(vec![wants(&["2"], None), wants(&[], Some(60))]),
        Allow::AnyOf(vec![wants(&["2"], None), wants(&[], None)]),
        Allow::AnyOf(Vec::new()),
        Allow::SignedIn,
        Allow::Anyone,
    ] {
        assert_eq!(asked(nothing.clone()), None, "{nothing:?}");
    }
    assert_eq!(Policy::new(Vec::new()).sign_in_for(0), None);
    assert_eq!(Policy::new(Vec::new()).sign_in_for(1), None);
}
