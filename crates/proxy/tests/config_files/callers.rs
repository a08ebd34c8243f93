//! Route keys about callers: credentials that programs send, origins, the card on the portal page.

use doorward::config::{BearerTokens, Config, Icon, SignIn};

use super::{expect_each, small_with};

#[test]
fn each_mistake_about_callers_is_reported_at_its_position() {
    #[rustfmt::skip]
    let cases = [
        ("    access:", "    bearer: app\n    access:", "13:13: routes.app.bearer: unsupported value `app`; write `gateway` or `application`"),
        ("    access:", "    bearer: application\n    identity: { access_token: true }\n    access:", "13:13: routes.app.bearer: invalid value: with `identity.access_token` the gateway writes `Authorization`"),
        ("    access:", "    basic: 1\n    access:", "13:12: routes.app.basic: invalid value: found the number `1`; write `true` or `false`"),
        ("    access:", "    origins: [apps.example]\n    access:", "13:15: routes.app.origins#1: invalid origin `apps.example`; write scheme and host, such as `https://apps.example`"),
        ("    access:", "    origins: ['*']\n    access:", "13:15: routes.app.origins#1: invalid origin `*`; write scheme and host"),
        ("    access:", "    origins: ['https://*.example']\n    access:", "13:15: routes.app.origins#1: invalid origin `https://*.example`; write scheme and host"),
        ("    access:", "    origins: [null]\n    access:", "routes.app.origins#1: "),
        ("    access:", "    origins: ['null']\n    access:", "13:15: routes.app.origins#1: invalid origin `null`; write scheme and host"),
        ("    access:", "    origins: ['https://apps.example/']\n    access:", "13:15: routes.app.origins#1: invalid origin `https://apps.example/`: browsers write `https://apps.example`"),
        ("    access:", "    origins: ['https://Apps.example:443']\n    access:", "13:15: routes.app.origins#1: invalid origin `https://Apps.example:443`: browsers write `https://apps.example`"),
        ("    access:", "    portal: { icon: rocket }\n    access:", "13:21: routes.app.portal.icon: unsupported value `rocket`; write `chart`, "),
        ("    access:", "    portal: { start: lab }\n    access:", "13:22: routes.app.portal.start: invalid path `lab`: no leading slash"),
        ("    access:", "    portal: { title: x }\n    access:", "13:15: routes.app.portal.title: unknown key"),
        ("    access:", "    preset: registry\n    access:", "11:20: routes.app.match.path: invalid path `/app`: clients of a registry ask for `/v2` at the root of a host; write `/v2`"),
    ];
    expect_each(&cases);
    let login_only = small_with("    audience: [gateway]\n", "")
        .replace("    access:", "    basic: true\n    access:");
    let [only] = super::problems(&login_only).try_into().unwrap();
    let only: String = only;
    assert!(
        only.contains("routes.app.basic: missing `audience`: the password is a token"),
        "{only}"
    );
}

#[test]
fn the_keys_about_callers_are_read() {
    let keys = "    bearer: application
    basic: true
    origins: [https://apps.example, 'http://localhost:3000']
    portal: { hide: false, group: Models, order: -10, icon: chart, start: / }
    access:";
    let config = super::config(&small_with("    access:", keys));
    let route = &config.routes["app"];
    assert_eq!((route.bearer, route.basic), (BearerTokens::Application, true));
    let origins: Vec<&str> = route.origins.iter().map(|origin| origin.as_str()).collect();
    assert_eq!(origins, ["https://apps.example", "http://localhost:3000"]);
    let card = &route.portal;
    assert_eq!((card.hide, card.order, card.icon), (Some(false), -10, Some(Icon::Chart)));
    let (group, start) = (card.group.as_deref(), card.start.as_deref());
    assert_eq!((group, start), (Some("Models"), Some("/")));
}

#[test]
fn a_card_that_names_its_prefix_twice_is_doubted() {
    let text = small_with("    access:", "    portal: { start: /app/lab }\n    access:");
    let warnings = Config::parse("doorward.yaml", &text).unwrap().warnings;
    let [warning] = &*warnings else { panic!("{warnings:?}") };
    assert!(warning.message.contains("leads to `/app/app/lab`; write `/lab`"), "{warning:?}");
}

#[test]
fn presets_of_programs_take_basic_and_never_redirect() {
    for (preset, path) in [("package_index", "/app"), ("registry", "/v2")] {
        let text = small_with("    access:", &format!("    preset: {preset}\n    access:"));
        let config =
            Config::parse("doorward.yaml", &text.replace("path: /app", &format!("path: {path}")));
        let route = &config.unwrap().config.routes["app"];
        assert!(route.basic && route.sign_in == SignIn::Challenge, "{preset}");
    }
    let own = small_with("    access:", "    preset: package_index\n    basic: false\n    access:");
    assert!(!Config::parse("doorward.yaml", &own).unwrap().config.routes["app"].basic);
}

#[test]
fn advice_about_prefixes_says_where_they_go() {
    #[rustfmt::skip]
    let cases = [
        ("    access:", "    strip_prefix: true\n    access:", "13:5: routes.app.strip_prefix: unknown key: write `rewrite: { strip_prefix: /app }` in the route"),
        ("    access:", "    rewrite: { strip_prefix: true }\n    access:", "13:30: routes.app.rewrite.strip_prefix: invalid value: found the boolean `true`; write the prefix, such as `/app`"),
        ("    access:", "    rewrite: { add_prefix: 1 }\n    access:", "13:28: routes.app.rewrite.add_prefix: invalid value: found the number `1`; write the prefix, such as `/app`"),
        ("    access:", "    path: /app\n    access:", "13:5: routes.app.path: unknown key: write `match: { path: … }` in the route"),
        ("http://app:8000", "http://app:8000/app", "12:15: routes.app.upstream: invalid upstream: it has the path `/app`; remove it if `match.path` begins with it, because the upstream gets the path of the request; else write `rewrite: { add_prefix: /app }`"),
    ];
    expect_each(&cases);
}
