//! Presets: those of Doorward, and those of the file.

use std::time::Duration;

use doorward::config::{Allow, BearerTokens, KnownPreset};

use super::{config, problems, small_with};

const OWN: &str = "presets:\n  reports:\n    route: { timeouts: { idle: 3h }, signed_out: retry }\n    access: [ { path: /health, allow: anyone } ]\nroutes:";

/// The file with a preset of its own, and these keys in its route.
fn with_own(keys: &str) -> String {
    small_with("    access:", &format!("{keys}\n    access:")).replace("routes:", OWN)
}

#[test]
fn a_preset_of_the_file_fills_in_missing_keys() {
    let config = config(&with_own("    preset: reports\n    signed_out: problem"));
    let route = config.routes.get("app").unwrap();
    assert_eq!(route.timeouts.idle, Duration::from_secs(3 * 3600));
    assert_eq!(format!("{:?}", route.signed_out), "Problem", "the route's own key comes first");
    assert_eq!(route.access.len(), 1, "no rule is added unless the route asks for it");
    assert!(config.presets.is_empty(), "a loaded file has them in its routes");
}

#[test]
fn a_preset_of_the_file_comes_before_a_known_one() {
    let text = with_own("    preset: grafana").replace("  reports:", "  grafana:");
    let config = config(&text);
    let route = config.routes.get("app").unwrap();
    assert_eq!(route.timeouts.idle, Duration::from_secs(3 * 3600));
    assert!(route.identity.set.is_empty());
}

#[test]
fn rules_of_a_preset_count_only_where_the_route_names_them() {
    for known in KnownPreset::ALL {
        let path = if known.name == "registry" { "/v2" } else { "/app" };
        let text = small_with("    access:", &format!("    preset: {}\n    access:", known.name))
            .replace("path: /app", &format!("path: {path}"));
        let config = config(&text);
        let route = config.routes.get("app").unwrap();
        assert_eq!(route.access.len(), 1, "{}", known.name);
        assert_eq!(route.access[0].allow, Allow::SignedIn, "{}", known.name);
    }
    let text = with_own("    preset: reports")
        .replace("      - { allow", "      - preset\n      - { allow");
    let config = config(&text);
    let access = &config.routes.get("app").unwrap().access;
    assert_eq!(access.len(), 2);
    assert_eq!(
        access[0].path.as_ref().unwrap().to_string(),
        "/app/health",
        "below the route's path"
    );
    assert_eq!((&access[0].allow, &access[1].allow), (&Allow::Anyone, &Allow::SignedIn));
}

#[test]
fn mistakes_in_presets_are_named_where_they_are() {
    let own = with_own("    preset: reports");
    for (text, expected) in [
        (
            own.replace("signed_out: retry", "signed_out: never"),
            "presets.reports.route.signed_out: unsupported value `never`",
        ),
        (
            own.replace("idle: 3h", "idl: 3h"),
            "presets.reports.route.timeouts.idl: unknown key; did you mean `idle`?",
        ),
        (
            own.replace("signed_out: retry", "upstream: http://a:1"),
            "presets.reports.route.upstream: invalid preset: each route has its own `upstream`",
        ),
        (
            own.replace("signed_out: retry", "preset: grafana"),
            "presets.reports.route.preset: invalid preset: each route has its own `preset`",
        ),
        (
            own.replace("path: /health, allow", "path: health, allow"),
            "presets.reports.access#1.path: invalid pattern `health`",
        ),
        (
            own.replace("    route: {", "    routes: {"),
            "presets.reports.routes: unknown key; did you mean `route`?",
        ),
        (
            own.replace("preset: reports", "preset: report"),
            "routes.app.preset: unsupported value `report`; did you mean `reports`?",
        ),
        (own.replace("preset: reports", "preset: zzz"), "`presets` may hold your own: `reports`"),
        (
            own.replace("    preset: reports\n", "")
                .replace("      - { allow", "      - preset\n      - { allow"),
            "routes.app.access: invalid rule `preset`: the route has no preset with rules",
        ),
        (
            own.replace("preset: reports", "preset: generic")
                .replace("      - { allow", "      - preset\n      - { allow"),
            "routes.app.access: invalid rule `preset`: the route has no preset with rules",
        ),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{text}\n{found:#?}");
        assert!(found[0].contains(expected), "{found:#?} {expected}");
    }
}

#[test]
fn a_header_of_the_route_replaces_the_preset_s_in_any_case() {
    let text = small_with(
        "    access:",
        "    preset: grafana\n    identity: { set: { X-Webauth-User: \"{email}\" } }\n    access:",
    );
    let config = config(&text);
    let set = &config.routes.get("app").unwrap().identity.set;
    let written: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(written, ["X-Webauth-User={email}"]);
}

#[test]
fn applications_with_tokens_of_their_own_get_them() {
    for preset in ["argo-workflows", "gitlab", "harbor", "nexus"] {
        let text = small_with("    access:", &format!("    preset: {preset}\n    access:"));
        let config = config(&text);
        assert_eq!(config.routes.get("app").unwrap().bearer, BearerTokens::Application, "{preset}");
    }
}
