//! Restrictions of the source that no rule says: the result lets in no caller that the source refuses.

use doorward::commands::migrate::{Source, migrate};
use doorward::config::Config;

use super::{NO_CALLER, rules};

/// Settings that a reader of the file could take for less than they are.
#[test]
fn no_more_callers_are_let_in_than_by_the_source() {
    let base = "--provider=oidc --oidc-issuer-url=https://id.example/realms/a --client-id=a --upstream=http://a:1/";
    let proxy = |more: &str| (Source::OAuth2Proxy, format!("{base} {more}"));
    let apache = |more: &str| {
        let head = "OIDCProviderMetadataURL https://id.example/realms/a\nOIDCClientID a\nOIDCRedirectURI https://a.example/r\nProxyPass / http://a:1/\n";
        (Source::ModAuthOpenidc, format!("{head}{more}"))
    };
    let keeper = |more: &str| {
        let head = "discovery-url: https://id.example/realms/a\nclient-id: a\nupstream-url: http://a:1\nenable-default-deny: true\n";
        (Source::Gatekeeper, format!("{head}{more}"))
    };
    let ingress = |more: &str| {
        let rest = "spec: { rules: [{ host: a.example, http: { paths: [{ path: /, backend: { service: { name: a, port: { number: 80 } } } }] } }] }";
        (
            Source::Ingress,
            format!("kind: Ingress\nmetadata: {{ name: a, annotations: {{ {more} }} }}\n{rest}\n"),
        )
    };
    let closed = vec![NO_CALLER];
    for ((source, text), expected) in [
        // Restrictions without an equal.
        (proxy("--email-domain=* --google-group=staff@a.example"), closed.clone()),
        (proxy("--email-domain=* --github-org=corp"), closed.clone()),
        // Subdomains, and not the domain itself.
        (proxy("--email-domain=.a.example"), closed.clone()),
        // Ignored by this provider.
        (
            proxy("--email-domain=* --allowed-group=/a --allowed-role=b"),
            vec![r#"[{"groups":["/a"]}]"#],
        ),
        (proxy("--email-domain=* --gitlab-group=a/b"), vec![r#"[{"groups":["a/b"]}]"#]),
        // A segment in the middle.
        (
            proxy(
                "--email-domain=a.example --upstream=http://b:1/x/c/ --skip-auth-route=^/x/[^/]+/b/",
            ),
            vec!["/x/*/b/** anyone", r#"[{"email_domains":["a.example"]}]"#],
        ),
        // A later section replaces an earlier one, as Apache merges them.
        (
            apache(
                "<Location /public>\nRequire all granted\n</Location>\n<Location />\nAuthType openid-connect\nRequire claim groups:a\n</Location>",
            ),
            vec![r#"[{"groups":["a"]}]"#],
        ),
        (
            apache(
                "<Location />\nAuthType openid-connect\n<RequireNone>\nRequire claim groups:a\n</RequireNone>\n</Location>",
            ),
            closed.clone(),
        ),
        (
            apache(
                "<Location />\nAuthType openid-connect\n<RequireAll>\nRequire all granted\nRequire claim groups:a\n</RequireAll>\n</Location>",
            ),
            vec![r#"[{"groups":["a"]}]"#],
        ),
        (
            apache(
                "<Location />\nAuthType openid-connect\n<RequireAll>\nRequire claim groups:a groups:b\nRequire valid-user\n</RequireAll>\n</Location>",
            ),
            closed.clone(),
        ),
        (
            apache(
                "<Location />\nAuthType openid-connect\nRequire valid-user\n<Limit POST>\nRequire claim groups:a\n</Limit>\n</Location>",
            ),
            closed.clone(),
        ),
        (
            apache(
                "<Location />\nAuthType openid-connect\nRequire valid-user\n</Location>\n<LocationMatch ^/(a|b)>\nRequire claim groups:a\n</LocationMatch>",
            ),
            closed.clone(),
        ),
        (
            apache(
                "<Location />\nAuthType openid-connect\nRequire valid-user\n</Location>\n<Directory /var/www>\nRequire all granted\n</Directory>",
            ),
            vec!["signed_in"],
        ),
        (
            apache(
                "<VirtualHost *>\nServerName b.example\n<Location />\nRequire all granted\n</Location>\n</VirtualHost>\n<Location />\nAuthType openid-connect\nRequire claim groups:a\n</Location>",
            ),
            vec![r#"[{"groups":["a"]}]"#],
        ),
        (
            keeper(
                "resources:\n  - { uri: /adm*, roles: [admin] }\n  - { uri: /*, roles: [user] }",
            ),
            closed.clone(),
        ),
        (keeper("enable-uma: true"), closed.clone()),
        (keeper("resources: [{ uri: /a/*, headers: [\"x:y\"] }]"), closed.clone()),
        (
            ingress("nginx.ingress.kubernetes.io/auth-url: https://auth.example/verify"),
            closed.clone(),
        ),
        (ingress("nginx.ingress.kubernetes.io/auth-type: basic"), closed.clone()),
        (
            ingress("nginx.ingress.kubernetes.io/configuration-snippet: \"deny all;\""),
            closed.clone(),
        ),
    ] {
        let written = migrate(source, std::slice::from_ref(&text)).unwrap();
        let config = Config::parse("a", &written)
            .unwrap_or_else(|problems| panic!("{problems}\n{text}\n{written}"))
            .config;
        assert_eq!(rules(&config, "/"), expected, "{text}\n{written}");
    }
}
