use proptest::prelude::*;

use super::{InvalidPattern, LONGEST_PATTERN, LONGEST_SUBJECT, SubjectPattern};

fn matches(pattern: &str, subject: &str) -> bool {
    pattern.parse::<SubjectPattern>().unwrap().matches(subject)
}

#[test]
fn a_pattern_matches_within_its_parts() {
    for (pattern, subject) in [
        ("248289761001", "248289761001"),
        ("auth0|5f7c", "auth0|5f7c"),
        ("system:serviceaccount:run:*", "system:serviceaccount:run:trainer"),
        (
            "project_path:data/*:ref_type:branch:ref:main",
            "project_path:data/churn:ref_type:branch:ref:main",
        ),
        (
            "project_path:data/*/*:ref_type:branch:ref:main",
            "project_path:data/team/churn:ref_type:branch:ref:main",
        ),
        ("repo:corp/*:ref:refs/heads/rel-*", "repo:corp/churn:ref:refs/heads/rel-1-2"),
        // Subjects that the owner of a repository customized.
        (
            "repo:corp@123/churn@456:ref:refs/heads/main",
            "repo:corp@123/churn@456:ref:refs/heads/main",
        ),
        ("repo:corp/*:environment:run", "repo:corp/churn:environment:run"),
        ("repo:corp/*:environment:a%3Ab", "repo:corp/churn:environment:a%3Ab"),
        (
            "job_workflow_ref:corp/ci/.github/workflows/*@refs/heads/main",
            "job_workflow_ref:corp/ci/.github/workflows/run.yml@refs/heads/main",
        ),
        ("spiffe://acme.example/run/*", "spiffe://acme.example/run/trainer"),
        ("a*b*c", "axxbyybzc"),
        ("a*b", "abb"),
        ("alice-*", "alice-é"),
        // Exact subjects may have any form.
        ("https://id.example/alice/", "https://id.example/alice/"),
    ] {
        assert!(matches(pattern, subject), "{pattern} {subject}");
    }
}

#[test]
fn a_star_crosses_no_separator_and_is_not_empty() {
    for (pattern, subject) in [
        ("system:serviceaccount:run:*", "system:serviceaccount:run:a:b"),
        ("system:serviceaccount:run:*", "system:serviceaccount:run:"),
        ("system:serviceaccount:run:*", "system:serviceaccount:run"),
        ("system:serviceaccount:run:*", "system:serviceaccount:run:a/b"),
        ("system:serviceaccount:run:*", "system:serviceaccount::trainer"),
        ("system:serviceaccount:run:*", "System:serviceaccount:run:trainer"),
        ("system:serviceaccount:run:*", "system/serviceaccount/run/trainer"),
        (
            "project_path:data/*:ref_type:branch:ref:main",
            "project_path:data/x/y:ref_type:branch:ref:main",
        ),
        (
            "project_path:data/*:ref_type:branch:ref:main",
            "project_path:data/:ref_type:branch:ref:main",
        ),
        (
            "project_path:data/*:ref_type:branch:ref:main",
            "project_path:data/churn:ref_type:tag:ref:main",
        ),
        (
            "project_path:data/*:ref_type:branch:ref:main",
            "project_path:data/churn:ref_type:branch:ref:Main",
        ),
        ("repo:corp/*:ref:refs/heads/*", "repo:corp/churn:ref:refs/heads/feature/x"),
        ("repo:corp/*:ref:refs/heads/*", "repo:corp/churn:pull_request"),
        ("repo:corp/churn:environment:a%3Ab", "repo:corp/churn:environment:a:b"),
        ("repo:corp/churn:environment:a%3Ab", "repo:corp/churn:environment:a%3ab"),
        ("spiffe://acme.example/run/*", "spiffe://acme.example/run/%2e%2e/web"),
        ("alice", "Alice"),
        ("alice", "alice:"),
        ("alice", " alice"),
        ("alice:*", "alice:a\0"),
        ("alice:*", "alice:a\r\nb"),
        ("a*", "a"),
        ("a*b", "ab"),
        ("a*b", "a:b"),
    ] {
        assert!(!matches(pattern, subject), "{pattern} {subject}");
    }
}

#[test]
fn text_of_a_branch_never_counts_as_another_part() {
    let main = "project_path:data/*:ref_type:branch:ref:main";
    for branch in [
        "x:ref:main",
        "x:ref_type:branch:ref:main",
        "main:ref:main",
        "main:",
        ":main",
        "main/",
        "feature/main",
        "*",
        "main\n",
        "main\0",
        "ma\u{202e}in",
        "main%3Aref%3Amain",
    ] {
        let subject = format!("project_path:data/churn:ref_type:branch:ref:{branch}");
        assert!(!matches(main, &subject), "{branch:?}");
        let project = format!(
            "project_path:data/churn:ref_type:branch:ref:main/{branch}:ref_type:branch:ref:main"
        );
        assert!(!matches(main, &project), "{branch:?}");
    }
}

#[test]
fn a_pattern_with_two_readings_is_refused() {
    use InvalidPattern as Bad;
    let open =
        |what: &str, written: &str| Bad::OpenOwner { what: what.into(), written: written.into() };
    let cases = [
        ("", Bad::Empty),
        ("repo:corp/**", Bad::Doubled),
        ("**", Bad::Doubled),
        ("a?", Bad::OtherWildcard { character: '?' }),
        ("repo:corp/[ab]:x", Bad::OtherWildcard { character: '[' }),
        ("repo:corp/{a,b}:x", Bad::OtherWildcard { character: '{' }),
        ("a\\*", Bad::OtherWildcard { character: '\\' }),
        (" alice", Bad::NotText),
        ("alice\n", Bad::NotText),
        ("al\0ice", Bad::NotText),
        ("a%3a", Bad::Percent),
        ("a%", Bad::Percent),
        ("a%2", Bad::Percent),
        ("100%*", Bad::Percent),
        ("*", Bad::NoName),
        ("*:*/*", Bad::NoName),
        ("system::serviceaccount:*", Bad::EmptyPart),
        ("system:serviceaccount:*:", Bad::EmptyPart),
        (":serviceaccount:*", Bad::EmptyPart),
        ("spiffe://acme.example//*", Bad::EmptyPart),
        ("spiffe:///run/*", Bad::EmptyPart),
        ("://a/*", Bad::EmptyPart),
        ("spiffe://*/run/trainer", open("a trust domain", "spiffe://*")),
        ("spiffe://*.example/run/*", open("a trust domain", "spiffe://*.example")),
        ("repo:*/churn:ref:refs/heads/main", open("an owner", "repo:*")),
        ("repo:corp*/churn:ref:refs/heads/main", open("an owner", "repo:corp*")),
        ("repository_owner:*", open("an owner", "repository_owner:*")),
        ("project_path:*/*:ref_type:branch:ref:main", open("a group", "project_path:*")),
        ("*:data/churn", Bad::OpenKind { written: "*".into() }),
        ("rep*:corp/churn", Bad::OpenKind { written: "rep*".into() }),
        ("a:*-*-*-*-*-*-*-*-*", Bad::TooManyWildcards { wildcards: 9 }),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<SubjectPattern>(), Err(error), "{text}");
    }
    let long = "a".repeat(LONGEST_PATTERN + 1);
    assert_eq!(long.parse::<SubjectPattern>(), Err(Bad::TooLong { bytes: 513 }));
}

#[test]
fn a_subject_longer_than_the_bound_matches_nothing() {
    let longest = format!("ab{}", "c".repeat(LONGEST_SUBJECT - 2));
    assert!(matches("ab*", &longest));
    assert!(!matches("ab*", &format!("{longest}c")));
    // Text that fits almost everywhere costs no more than its length times the pattern's.
    let hard = format!("a{}", "ab".repeat(LONGEST_SUBJECT / 2 - 1));
    assert!(!matches("a*ab*ab*ab*ab*ab*ab*ab*c", &hard));
}

/// The same by trying every length of every wildcard.
fn by_trial(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (1..=text.len())
            .take_while(|end| !matches!(text[end - 1], b':' | b'/'))
            .any(|end| by_trial(rest, &text[end..])),
        Some((literal, rest)) => {
            text.split_first().is_some_and(|(byte, more)| byte == literal && by_trial(rest, more))
        }
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_trying_every_length(
        pattern in "[ab:/]{1,3}(\\*[ab:/]{1,2}){0,3}\\*?",
        subject in "[ab:/*]{0,12}",
    ) {
        prop_assert_eq!(
            super::matching::matches(&pattern, &subject),
            by_trial(pattern.as_bytes(), subject.as_bytes())
        );
    }
}
