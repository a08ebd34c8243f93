//! Settings that routes share: `defaults` and named rules.

use std::fmt::Write as _;
use std::time::Duration;

use doorward::config::{Allow, Config, SignIn};

use super::{SMALL, config, problems, small_with};

/// [`SMALL`] with more keys of the file before `routes`, and more routes.
fn with(keys: &str, routes: &str) -> String {
    format!("{}{routes}", small_with("routes:\n", &format!("{keys}routes:\n")))
}

#[test]
fn a_route_has_the_defaults_that_it_does_not_write() {
    let text = with(
        "defaults:\n  sign_in: challenge\n  timeouts: { connect: 2s, idle: 5m }\n  origins: [https://a.example, https://b.example]\n  cors: { origins: [https://a.example], methods: [GET] }\n",
        "  own:\n    match: { path: /own }\n    upstream: http://own:1\n    sign_in: redirect\n    timeouts: { idle: 7m }\n    origins: [https://c.example]\n    cors: ~\n    access: [ { allow: signed_in } ]\n",
    );
    let config = config(&text);
    let route = |name: &str| config.routes.get(name).unwrap();
    let (app, own) = (route("app"), route("own"));
    assert_eq!((app.sign_in, own.sign_in), (SignIn::Challenge, SignIn::Redirect));
    assert_eq!((app.timeouts.idle, own.timeouts.idle).1, Duration::from_secs(7 * 60));
    assert_eq!(app.timeouts.idle, Duration::from_secs(5 * 60));
    assert_eq!(own.timeouts.connect, Duration::from_secs(2), "maps are merged by key");
    assert_eq!((app.origins.len(), own.origins.len()), (2, 1), "lists are replaced");
    assert!(app.cors.is_some() && own.cors.is_none(), "`~` omits a default");
}

#[test]
fn a_preset_comes_before_the_defaults() {
    let text = with(
        "defaults: { timeouts: { connect: 2s, idle: 5m }, signed_out: problem, preset: grafana }\n",
        "  hub:\n    match: { path: /hub }\n    upstream: http://hub:1\n    preset: jupyterhub\n    access: [ { allow: signed_in } ]\n",
    );
    let config = config(&text);
    let hub = config.routes.get("hub").unwrap();
    assert_eq!(hub.timeouts.idle, Duration::from_secs(3600), "the preset's");
    assert_eq!(hub.timeouts.connect, Duration::from_secs(2), "the defaults'");
    assert_eq!(format!("{:?}", hub.signed_out), "Retry", "the preset's");
    let app = config.routes.get("app").unwrap();
    assert_eq!(app.preset.as_deref(), Some("grafana"), "a preset by default");
    assert_eq!(app.timeouts.response_head, Duration::from_secs(300));
}

#[test]
fn a_choice_replaces_the_default_whole() {
    let text = with(
        "defaults: { identity: { credentials: { basic: { user: svc, password: { env: P } } } } }\n",
        "  own:\n    match: { path: /own }\n    upstream: http://own:1\n    identity: { credentials: { bearer: { env: T } } }\n    access: [ { allow: signed_in } ]\n",
    );
    let config = config(&text);
    let credentials = |name: &str| {
        format!("{:?}", config.routes.get(name).unwrap().identity.credentials.as_ref().unwrap())
    };
    assert!(credentials("app").starts_with("Basic") && credentials("own").starts_with("Bearer"));
}

#[test]
fn a_default_that_is_wrong_is_reported_once_where_it_is() {
    let more =
        "  b: { match: { path: /b }, upstream: http://b:1, access: [ { allow: signed_in } ] }\n";
    for (defaults, expected) in [
        ("{ sign_in: never }", "9:22: defaults.sign_in: unsupported value `never`"),
        (
            "{ limits: { bdy: 1MiB } }",
            "9:23: defaults.limits.bdy: unknown key; did you mean `body`?",
        ),
        ("{ titl: x }", "9:13: defaults.titl: unknown key; did you mean `title`?"),
        (
            "{ upstream: http://a:1 }",
            "defaults.upstream: invalid default: each route has its own `upstream`",
        ),
        (
            "{ match: { path: / } }",
            "defaults.match: invalid default: each route has its own `match`",
        ),
        (
            "{ access: [ { allow: anyone } ] }",
            "defaults.access: invalid default: each route has its own `access`; name",
        ),
        ("[ sign_in ]", "defaults: invalid value: found a list; write keys of a route"),
        ("7", "defaults: invalid value: found the number `7`"),
    ] {
        let text = with(&format!("defaults: {defaults}\n"), more);
        let found = problems(&text);
        let [only] = found.as_slice() else { panic!("{defaults}: {found:#?}") };
        assert!(only.contains(expected), "{defaults}: {only}");
    }
    let found = problems(&with("defaults: { timeouts: { idle: 0s } }\n", more));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|one| one.starts_with("9:") && one.contains(".timeouts.idle: ")));
}

#[test]
fn rules_are_used_by_name() {
    let text = with(
        "rules:\n  staff: [ { roles: [data-scientist] }, { groups: [/lab] } ]\n  ops: { roles: [ops] }\n",
        "  one: { match: { path: /one }, upstream: http://one:1, access: [ { path: /one/ops, use: ops }, { use: [staff, ops] } ] }\n  \
           two: { match: { path: /two }, upstream: http://two:1, access: [ { allow: [ { clients: [job] }, { use: staff } ] } ] }\n  \
           three: { match: { path: /three }, upstream: http://three:1, access: [ { allow: { use: ops }, shadow: true }, { use: ops } ] }\n",
    );
    let config = config(&text);
    let rules = |name: &str| {
        let route = config.routes.get(name).unwrap();
        let words = route.access.iter().map(|rule| match &rule.allow {
            Allow::AnyOf(all) => all
                .iter()
                .map(|one| serde_json::to_string(one).unwrap())
                .collect::<Vec<_>>()
                .join(" "),
            word => format!("{word:?}"),
        });
        words.collect::<Vec<_>>()
    };
    let ops = r#"{"roles":["ops"]}"#;
    let staff = r#"{"roles":["data-scientist"]} {"groups":["/lab"]}"#;
    assert_eq!(rules("one"), [ops.to_owned(), format!("{staff} {ops}")]);
    assert_eq!(rules("two"), [format!(r#"{{"clients":["job"]}} {staff}"#)]);
    assert_eq!(rules("three"), [ops, ops]);
    assert!(config.rules.is_empty(), "nothing is left to be read twice");
}

#[test]
fn a_name_that_stands_for_nothing_is_refused() {
    for (rules, access, expected) in [
        (
            "{ staff: { roles: [a] } }",
            "{ use: stff }",
            "15:16: routes.app.access#1.use: unknown rule `stff`; did you mean `staff`?",
        ),
        (
            "{ staff: { roles: [a] } }",
            "{ use: other }",
            "routes.app.access#1.use: unknown rule `other`; write `staff`",
        ),
        ("{}", "{ use: staff }", "routes.app.access#1.use: unknown rule `staff`: none has a name"),
        (
            "{ staff: { roles: [a] } }",
            "{ allow: { use: stff } }",
            "routes.app.access#1.allow.use: unknown rule `stff`; did you mean",
        ),
        (
            "{ staff: { roles: [a] } }",
            "{ allow: [ { roles: [b] }, { use: x } ] }",
            "routes.app.access#1.allow#2.use: unknown rule `x`",
        ),
        (
            "{ staff: { roles: [a] } }",
            "{ use: [] }",
            "routes.app.access#1.use: invalid name; write a name in `rules`",
        ),
        ("{ staff: { roles: [a] } }", "{ use: 7 }", "routes.app.access#1.use: invalid name"),
        (
            "{ staff: { roles: [a] } }",
            "{ use: staff, allow: signed_in }",
            "routes.app.access#1.use: invalid rule: it has `use` and `allow`",
        ),
        (
            "{ staff: { roles: [a] } }",
            "{ allow: [ { use: staff, roles: [b] } ] }",
            "routes.app.access#1.allow#1.use: invalid requirement: `use` has other keys",
        ),
        (
            "{ staff: { roles: [a] }, more: { use: staff } }",
            "{ use: staff }",
            "rules.more.use: unsupported `use`: a named rule uses no other",
        ),
    ] {
        let text = small_with("routes:\n", &format!("rules: {rules}\nroutes:\n"))
            .replace("{ allow: signed_in }", access);
        let found = problems(&text);
        let [only] = found.as_slice() else { panic!("{rules} {access}: {found:#?}") };
        assert!(only.contains(expected), "{rules} {access}: {only}");
    }
}

#[test]
fn a_rule_that_is_wrong_is_reported_once_where_it_is() {
    let used = "  b: { match: { path: /b }, upstream: http://b:1, access: [ { path: /b/x, use: staff }, { use: [staff, ops] } ] }\n";
    for (rule, expected) in [
        ("{ rols: [a] }", "rules.staff.rols: unknown key; did you mean `roles`?"),
        ("[ { rols: [a] } ]", "rules.staff.rols: unknown key; did you mean `roles`?"),
        ("{ roles: [':a'] }", "rules.staff.roles: invalid role `:a`"),
        ("[ { roles: [':a'] } ]", "rules.staff.roles: invalid role `:a`"),
        ("[ { roles: [a] }, { roles: [':a'] } ]", "rules.staff#2.roles: invalid role `:a`"),
        ("{ when: 'clams.x' }", "rules.staff.when: "),
    ] {
        for routes in [used, ""] {
            let rules = format!("rules: {{ staff: {rule}, ops: {{ roles: [ops] }} }}\n");
            let found = problems(&with(&rules, routes));
            let [only] = found.as_slice() else { panic!("{rule} {routes}: {found:#?}") };
            assert!(only.starts_with("9:") && only.contains(expected), "{rule}: {only}");
        }
    }
}

#[test]
fn what_routes_share_cannot_blow_a_file_up() {
    let requirements = vec!["{ roles: [a] }"; 2000].join(", ");
    let mut text = small_with("routes:\n", &format!("rules: {{ r: [{requirements}] }}\nroutes:\n"));
    for route in 0..40 {
        let _ = writeln!(
            text,
            "  r{route}: {{ match: {{ path: /r{route} }}, upstream: http://a:1, access: [ {{ use: r }} ] }}"
        );
    }
    let found = problems(&text);
    assert!(
        found.iter().any(|one| one.contains("invalid `use`: the file becomes too large")),
        "{found:#?}"
    );
    let origins = vec!["https://a.example"; 2000].join(", ");
    let mut text =
        SMALL.replace("routes:\n", &format!("defaults: {{ origins: [{origins}] }}\nroutes:\n"));
    for route in 0..40 {
        let _ = writeln!(
            text,
            "  r{route}: {{ match: {{ path: /r{route} }}, upstream: http://a:1, access: [ {{ allow: anyone }} ] }}"
        );
    }
    let found = problems(&text);
    assert!(
        found.iter().any(|one| one.contains("invalid `defaults`: the file becomes too large")),
        "{found:#?}"
    );
}

#[test]
fn what_routes_share_is_written_into_them() {
    let text = with(
        "defaults: { basic: true }\nrules: { staff: { roles: [a] } }\n",
        "  b: { match: { path: /b }, upstream: http://b:1, access: [ { use: staff } ] }\n",
    );
    let loaded = Config::parse("doorward.yaml", &text).unwrap();
    let written = serde_json::to_string(&loaded.config).unwrap();
    assert_eq!(Config::parse("again", &written).unwrap().config, loaded.config);
    let place = loaded.places.get("b").unwrap();
    assert_eq!(place.route.to_string(), "doorward.yaml:17:3");
    assert_eq!(place.rules.first().unwrap().to_string(), "doorward.yaml:17:61");
}
