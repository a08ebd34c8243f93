use http_canonical::{CanonicalMethod, CanonicalPath};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn verdict(source: &str) -> Verdict {
    let claims = json!({
        "department": "risk", "level": 3, "ratio": 0.5, "large": u64::MAX, "admin": true, "none": null,
        "groups": ["/lab", "/finance"], "address": { "country": "FR" }, "https://acme.example/app": "x",
    });
    let known = Known { claims: claims.as_object().cloned().unwrap(), ..Known::default() };
    let path: CanonicalPath = "/models/churn".parse().unwrap();
    let request = AccessRequest::new(&CanonicalMethod::POST, &path).with_host("models.example");
    Condition::compile(source).unwrap().judge(&known, &request)
}

#[test]
fn every_kind_of_claim_can_be_compared() {
    for source in [
        "claims.department == 'risk'",
        "claims['department'] == \"risk\"",
        "claims.level >= 3 && claims.level < 4",
        "claims.ratio == 0.5",
        "claims.large == 18446744073709551615u",
        "claims.admin",
        "claims.none == null",
        "'/lab' in claims.groups",
        "claims.groups.exists(group, group.startsWith('/fin'))",
        "claims.groups.all(group, group.contains('/'))",
        "claims.groups.exists_one(group, group.endsWith('lab'))",
        "size(claims.groups) == 2 && claims.groups[0] == '/lab'",
        "claims.address.country in ['FR', 'BE']",
        "claims.address == {'country': 'FR'} && {'country': 'FR'} == claims.address",
        "claims.groups == ['/lab', '/finance'] && ['/lab', '/finance'] == claims.groups",
        "!(claims.address != {'country': 'FR'}) && claims.address != {}",
        "claims['https://acme.example/app'] == 'x'",
        "has(claims.department) && !has(claims.team)",
        "'department' in claims && !('team' in claims)",
        "has(claims.team) ? claims.team == 'a' : claims.department == 'risk'",
        "request.method == 'POST' && request.host == 'models.example'",
        "claims.missing == 'x' || claims.department == 'risk'",
    ] {
        assert_eq!(verdict(source), Verdict::Met, "{source}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_not_met() {
    assert_eq!(verdict("claims.department == 'lab'"), Verdict::NotMet);
    assert_eq!(verdict("claims.level == '3'"), Verdict::NotMet);
    for source in [
        "claims.team == 'a'",
        "!(claims.team == 'a')",
        "claims.team != 'a'",
        "claims.department > 3",
        "claims.address.country.code == 'FR'",
        "claims.department",
        "claims.level / 0 == 1",
        "claims.groups[7] == 'x'",
    ] {
        assert!(matches!(verdict(source), Verdict::Unknown(_)), "{source}: {:?}", verdict(source));
    }
}

#[test]
fn names_and_functions_that_do_not_exist_are_refused() {
    let error = |source: &str| Condition::compile(source).unwrap_err();
    for (source, name) in [
        ("claim.department == 'risk'", "claim"),
        ("request.path == '/admin'", "request.path"),
        ("request.headers['x'] == 'y'", "request.headers"),
        ("user == 'alice'", "user"),
        ("claims.groups.exists(group, role == 'x')", "role"),
        ("claims.groups.exists(group, true) && group == 'x'", "group"),
    ] {
        let expected = ConditionError::UnknownName { name: name.to_owned() };
        assert_eq!(error(source), expected, "{source}");
    }
    for (source, name) in [
        ("claims.department.matches('(a+)+')", "matches"),
        ("timestamp('2026-01-01T00:00:00Z') == null", "timestamp"),
        ("int(claims.level) == 3", "int"),
        ("claims.department.lowerAscii() == 'risk'", "lowerAscii"),
    ] {
        let expected = ConditionError::UnknownFunction { name: name.to_owned() };
        assert_eq!(error(source), expected, "{source}");
    }
    for source in [
        "request == 1",
        "claims == {}",
        "claims.exists(name, true)",
        "size(claims) == 1",
        "{} != claims",
        "claims.groups.map(g, g) == []",
        "claims.groups.filter(g, true) == []",
    ] {
        assert!(
            matches!(error(source), ConditionError::Unsupported { .. }),
            "{source}: {:?}",
            error(source)
        );
    }
    for source in
        ["", "claims.", "claims.a ==", "a b", "'open", "claims.a = 'b'", "claims.a && && true"]
    {
        assert!(
            matches!(error(source), ConditionError::Syntax { .. }),
            "{source}: {:?}",
            error(source)
        );
    }
    assert!(error("claims.a ==").to_string().starts_with("invalid condition: column "));
}

#[test]
fn expressions_that_could_be_slow_are_refused() {
    let refused = |source: &str| match Condition::compile(source).unwrap_err() {
        ConditionError::TooLarge { .. } | ConditionError::Unsupported { .. } => {}
        other => panic!("{source:.60}: {other}"),
    };
    let nested = "claims.groups.exists(a, claims.groups.exists(b, a == b))";
    refused(nested);
    refused("claims.groups.exists(a, claims.groups.all(b, b == a))");
    refused(&format!("{}claims.admin{}", "(".repeat(60), ")".repeat(60)));
    refused(&format!("{}claims.admin", "!".repeat(60)));
    refused(&format!("{}1 < 2", "-".repeat(60)));
    refused(&format!("{}1{} == []", "[".repeat(60), "]".repeat(60)));
    refused(&vec!["claims.admin"; 150].join(" && "));
    refused(&format!("claims.a == '{}'", "x".repeat(LONGEST)));
    refused(&format!("claims{} == 1", ".a".repeat(60)));
    let two = "claims.groups.exists(a, a == 'x') || claims.groups.exists(a, a == '/lab')";
    assert_eq!(verdict(two), Verdict::Met, "one after the other is fine");
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(source in "[ -~]{0,80}") {
        let _ = Condition::compile(&source);
    }

    #[test]
    fn no_expression_of_the_language_makes_it_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("claims"), Just(".a"), Just("request.method"), Just("=="), Just("&&"), Just("("), Just(")"),
                Just("["), Just("]"), Just("'x'"), Just("1"), Just("!"), Just("-"), Just("?"), Just(":"), Just("in"),
                Just(".exists("), Just("g, "), Just("has("), Just("{"), Just("}"), Just("size("), Just("null"), Just("1.5e300"),
            ],
            0..24,
        )
    ) {
        if let Ok(condition) = Condition::compile(&parts.concat()) {
            let path: CanonicalPath = "/".parse().unwrap();
            let request = AccessRequest::new(&CanonicalMethod::GET, &path);
            let _ = condition.is_met_by(&Known::default(), &request);
        }
    }
}
