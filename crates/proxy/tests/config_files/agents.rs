//! Route keys about servers of MCP.

use super::{config, expect_each, small_with};

/// A route at `/app` with `mcp`.
fn with_mcp(mcp: &str, more: &str) -> String {
    format!("    mcp: {mcp}\n{more}    access:")
}

#[test]
fn each_mistake_about_agents_is_reported_at_its_position() {
    const OWN: &str = "{ resource: 'https://platform.example/app' }";
    let cases = [
        (with_mcp("{ scopes: [tools] }", ""), "routes.app.mcp: missing `resource`; add it"),
        (with_mcp("{ resource: 'platform.example/app' }", ""), "routes.app.mcp.resource: "),
        (
            with_mcp("{ resource: 'http://platform.example/app' }", ""),
            "13:22: routes.app.mcp.resource: unsupported scheme `http`; use `https`",
        ),
        (
            with_mcp("{ resource: 'https://platform.example/other' }", ""),
            "it is not the URL of this route, where clients look for it; write `https://platform.example/app`",
        ),
        (
            with_mcp("{ resource: 'https://other.example/app' }", ""),
            "it is not the URL of this route",
        ),
        (
            with_mcp("{ resource: 'https://platform.example/app?x=1' }", ""),
            "invalid resource: it has a query",
        ),
        (
            with_mcp("{ resource: 'https://platform.example/app', scopes: ['a b'] }", ""),
            "routes.app.mcp.scopes: invalid scope \"a b\"",
        ),
        (
            with_mcp(OWN, "    audience: [app]\n"),
            "routes.app.audience: invalid `audience` beside `mcp`",
        ),
        (
            with_mcp(OWN, "    bearer: application\n"),
            "routes.app.bearer: invalid `bearer` beside `mcp`",
        ),
        (with_mcp(OWN, "    basic: true\n"), "routes.app.basic: invalid `basic` beside `mcp`"),
        (
            with_mcp(OWN, "    identity: { access_token: true }\n"),
            "routes.app.identity.access_token: invalid `access_token` beside `mcp`: a server must not receive the token",
        ),
    ];
    for (keys, expected) in &cases {
        expect_each(&[("    access:", keys, expected)]);
    }
    let rule = |rule: &str| with_mcp(OWN, "") + &format!("\n      - {rule}");
    let rules = [
        (rule("{ tools: ['a b'], allow: signed_in }"), "invalid name: it has a space"),
        (rule("{ mcp_methods: ['*****'], allow: signed_in }"), "invalid name: more than 4 `*`"),
        (
            rule("{ mcp_methods: [tools/list], tools: [a], allow: signed_in }"),
            "routes.app.access#1.mcp_methods: invalid rule: `tools` are called by `tools/call`",
        ),
        (
            "    access:\n      - { tools: [a], allow: signed_in }".to_owned(),
            "routes.app.access#1.tools: invalid `tools`: the route has no `mcp`",
        ),
        (
            rule("{ tools: [a], allow: signed_in }\n      - { tools: [a], allow: anyone }"),
            "invalid order: rule 1 decides all requests of this rule",
        ),
    ];
    for (keys, expected) in &rules {
        expect_each(&[("    access:", keys, expected)]);
    }
}

#[test]
fn the_keys_about_agents_are_read() {
    let keys = "    mcp: { resource: 'https://platform.example/app', scopes: tools }
    access:
      - { mcp_methods: [server/discover, tools/*], tools: query_*, allow: signed_in }
      - { tools: [export_*], allow: signed_in }";
    let config = config(&small_with("    access:", keys));
    let route = &config.routes["app"];
    let mcp = route.mcp.as_ref().unwrap();
    assert_eq!(
        (mcp.resource.as_str(), mcp.scopes.as_slice()),
        ("https://platform.example/app", &["tools".to_owned()][..])
    );
    assert_eq!(route.access[0].mcp_methods, ["server/discover", "tools/*"]);
    assert_eq!(route.access[0].tools, ["query_*"]);
}
