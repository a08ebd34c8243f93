//! A policy of many rules, which looks rules up, decides as one that reads them in order.

use super::*;

const PATTERNS: [&str; 12] = [
    "/",
    "/**",
    "/a",
    "/a/",
    "/a/**",
    "/a/*",
    "/a/*/c",
    "/a/b",
    "/a/b/**",
    "/*",
    "/*/b/**",
    "/a@b/c/**",
];

const PATHS: [&str; 18] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/x",
    "/a/x/c",
    "/a/b/c",
    "/a/b/c/d/e/f",
    "/x",
    "/x/b",
    "/x/b/c",
    "/a%40b/c",
    "/a@b/c/d",
    "/ab",
    "/x/y",
    "/a/b%2Fc",
    "/a/x;y/c",
];

/// A policy in which each pattern comes first in one place, with shadow rules and methods between.
fn policies() -> impl Iterator<Item = Policy> {
    (0..PATTERNS.len()).map(|shift| {
        let patterns = PATTERNS.iter().cycle().skip(shift).step_by(5).take(2 * PATTERNS.len());
        let rules = patterns.enumerate().map(|(n, pattern)| {
            let methods: &[CanonicalMethod] = match n % 4 {
                0 => &[CanonicalMethod::POST],
                _ => &[],
            };
            let allow = match n % 3 {
                0 => Allow::SignedIn,
                1 => Allow::Anyone,
                _ => Allow::AnyOf(vec![roles(&["admin"])]),
            };
            Rule { shadow: n % 5 == 1, ..rule(Some(pattern), methods, allow) }
        });
        Policy::new(rules.collect())
    })
}

#[test]
fn many_rules_decide_as_in_their_order() {
    for policy in policies() {
        assert!(policy.index.is_some());
        for path in PATHS {
            let path = CanonicalPath::parse(path, http_canonical::Keep::ALL).expect("a path");
            for method in [CanonicalMethod::GET, CanonicalMethod::POST] {
                let request = AccessRequest::new(&method, &path);
                for caller in [Caller::Anonymous, alice()] {
                    assert_eq!(
                        policy.decide(&request, &caller),
                        policy.in_order(&request, &caller),
                        "{} of {policy:?}",
                        path.as_str()
                    );
                }
            }
        }
    }
}

#[test]
fn without_a_matching_rule_many_rules_refuse() {
    let rules = (0..200).map(|n| rule(Some(&format!("/part-{n}/**")), &[], Allow::Anyone));
    let policy = Policy::new(rules.collect());
    let decide = |path: &str| {
        let path: CanonicalPath = path.parse().expect("a path");
        policy.decide(&AccessRequest::new(&CanonicalMethod::GET, &path), &alice())
    };
    assert!(matches!(decide("/models"), Decision::Deny { rule: None, .. }));
    assert_eq!(decide("/part-199/x"), Decision::Allow { rule: 200, public: true });
}
