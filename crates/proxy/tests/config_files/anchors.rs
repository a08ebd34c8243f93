//! Anchors, aliases and merge keys: read as YAML says, within bounds.

use std::fmt::Write as _;

use doorward::config::{Allow, Config};

use super::{config, problems, small_with};

#[test]
fn routes_share_what_is_written_once() {
    let text = small_with(
        "routes:\n",
        "routes:\n  \
           first: &common\n    match: { path: /first }\n    upstream: http://one:1\n    sign_in: challenge\n    \
             access: &staff [ { allow: { roles: [staff] } } ]\n  \
           second:\n    <<: *common\n    match: { path: /second }\n  \
           third: { match: { path: /third }, upstream: http://three:3, access: *staff }\n  \
           fourth: { match: { path: /fourth }, upstream: http://four:4, <<: [ { sign_in: redirect }, *common ] }\n",
    );
    let config = config(&text);
    let route = |name: &str| config.routes.get(name).unwrap();
    assert_eq!(route("second").matches.path, "/second");
    assert_eq!(route("second").sign_in, route("first").sign_in);
    for shared in ["second", "third", "fourth"] {
        assert_eq!(route(shared).access, route("first").access, "{shared}");
    }
    assert_eq!(route("fourth").upstream.first().unwrap().to_string(), "http://four:4");
    assert_eq!(format!("{:?}", route("fourth").sign_in), "Redirect");
    assert_ne!(route("app").access.first().unwrap().allow, Allow::Anyone);
}

#[test]
fn a_mistake_in_a_shared_value_is_reported() {
    let text = small_with(
        "access:\n      - { allow: signed_in }",
        "access: &a [ { allow: signed_in, isuers: x } ]",
    );
    let text =
        format!("{text}  other: {{ match: {{ path: /o }}, upstream: http://o:1, access: *a }}\n");
    let found = problems(&text);
    assert!(
        found.iter().any(|one| one.contains("routes.app.access#1.isuers: unknown key")),
        "{found:#?}"
    );
    assert!(found.iter().any(|one| one.starts_with("14:")), "at the alias: {found:#?}");
}

#[test]
fn aliases_cannot_blow_a_file_up() {
    let mut text = small_with("routes:\n", "routes:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let _ = writeln!(
            text,
            "  a{level}: &a{level} [{}]",
            vec![format!("*a{}", level - 1); 10].join(", ")
        );
    }
    let found = problems(&text);
    assert!(
        found.iter().any(|one| one.contains("the file becomes too large with it")),
        "{found:#?}"
    );
    let mut deep = small_with("routes:\n", "routes:\n  a0: &a0 [x]\n");
    for level in 1..40 {
        let _ = writeln!(deep, "  a{level}: &a{level} [*a{}]", level - 1);
    }
    let found = problems(&deep);
    assert!(
        found.iter().any(|one| one.contains("the file becomes too deep with it")),
        "{found:#?}"
    );
    let within = small_with("{ allow: signed_in }", "&self { allow: *self }");
    let found = problems(&within);
    assert!(
        found.iter().any(|one| one.contains("it is within the value that it repeats")),
        "{found:#?}"
    );
}

#[test]
fn a_merge_key_takes_maps_only() {
    for (merge, said) in [
        ("<<: 7", "invalid merge key (`<<`): write a map"),
        ("<<: [7]", "invalid merge key (`<<`): write a map"),
        ("<<: {}\n    <<: {}", "this key occurs twice"),
        ("'<<': {}", "unknown key"),
        ("<<: { upstram: x }", "routes.app.upstram: unknown key"),
    ] {
        let text = small_with("    upstream:", &format!("    {merge}\n    upstream:"));
        let found = Config::parse("doorward.yaml", &text).unwrap_err().to_string();
        assert!(found.contains(said), "{merge}: {found}");
    }
}
