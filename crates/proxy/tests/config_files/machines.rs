//! Tokens for other services: `identity.access_token.exchange` of a route, and `outbound`.

use doorward::config::{
    Config, ListenAddr, OutboundGrant, Problem, SentAccessToken, SocketMode, Streams,
};

use super::{config, problems, small_with};

/// The smallest file, whose client has a secret.
fn with_secret(old: &str, new: &str) -> String {
    let secret = "    client_auth: { secret: { env: S } }\n    client_id";
    small_with(old, new).replacen("    client_id", secret, 1)
}

fn exchanging(keys: &str) -> String {
    let route = format!("    identity: {{ access_token: {keys} }}\n    access:");
    with_secret("    access:", &route)
}

fn outbound(keys: &str) -> String {
    with_secret("routes:", &format!("outbound: {{ {keys} }}\nroutes:"))
}

fn target(keys: &str) -> String {
    outbound(&format!("listen: '127.0.0.1:8081', targets: {{ churn: {{ {keys} }} }}"))
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let found = problems(text);
    assert!(matches!(&*found, [only] if only.contains(expected)), "{expected}\n{found:#?}");
}

#[test]
fn an_exchange_is_read_and_checked() {
    let read = |text: &str| config(text).routes["app"].identity.access_token.clone();
    let SentAccessToken::Exchanged(exchange) =
        read(&exchanging("{ exchange: { audience: churn, scopes: [score, read] } }"))
    else {
        panic!("no exchange");
    };
    assert_eq!((exchange.audience.as_str(), exchange.scopes.len()), ("churn", 2));
    assert_eq!(read(&exchanging("true")), SentAccessToken::Own);
    assert_eq!(read(&exchanging("false")), SentAccessToken::None);
    for (keys, expected) in [
        ("1", "`true`, `false` or `{ exchange: { audience: NAME } }`"),
        ("exchange", "`true`, `false` or `{ exchange: { audience: NAME } }`"),
        ("{}", "exchange"),
        ("{ exchange: {} }", "audience"),
        ("{ exchange: { audience: '' } }", "exchange.audience: invalid audience"),
        ("{ exchange: { audience: 'a b' } }", "exchange.audience: invalid audience"),
        ("{ exchange: { audience: a, scopes: ['x y'] } }", "scopes#1: invalid scope"),
        ("{ exchange: { audience: a, scopes: [''] } }", "scopes#1: invalid scope"),
        ("{ exchange: { audience: a, scope: x } }", "unknown key"),
        ("{ exchanges: { audience: a } }", "unknown key"),
    ] {
        refused(&exchanging(keys), expected);
    }
}

#[test]
fn an_exchange_needs_a_client_with_credentials() {
    let keys = "    identity: { access_token: { exchange: { audience: churn } } }\n    access:";
    refused(&small_with("    access:", keys), "`issuers.main` has no `client_auth`");
    let programs = small_with("    access:", keys)
        .replace("    client_id: gateway\n", "    profile: generic\n")
        .replace("    access:", "    sign_in: challenge\n    access:");
    refused(&programs, "the gateway is a client of no issuer");
    let also = "    identity: { access_token: { exchange: { audience: churn } } }\n    bearer: application\n    access:";
    refused(&with_secret("    access:", also), "routes.app.bearer: invalid value");
    let twice = "    identity: { access_token: { exchange: { audience: churn } }, credentials: { bearer: { env: P } } }\n    access:";
    refused(
        &with_secret("    access:", twice),
        "`identity.access_token` writes `Authorization` too",
    );
}

#[test]
fn the_keys_of_outbound_are_read() {
    let text = outbound(
        "listen: 'unix:/run/out.sock', mode: '0660', targets: { churn: { url: 'https://churn.internal/v1', issuer: main, \
         audience: churn, scopes: [score] }, reports: { url: 'https://reports.internal', issuer: main, audience: reports, \
         grant: exchange }, batch: { url: 'https://batch.internal', issuer: main, grant: { jwt_bearer: /run/a }, \
         client: { id: batch, auth: { secret: { env: B } } }, timeouts: { response_head: 5m } } }",
    );
    let outbound = config(&text).outbound.unwrap();
    assert_eq!(outbound.listen, ListenAddr::Unix("/run/out.sock".into()));
    assert_eq!(outbound.mode, Some(SocketMode(0o660)));
    assert_eq!(outbound.targets["churn"].grant, OutboundGrant::ClientCredentials);
    assert_eq!(outbound.targets["reports"].grant, OutboundGrant::Exchange);
    assert_eq!(outbound.targets["batch"].grant, OutboundGrant::JwtBearer("/run/a".into()));
}

#[test]
fn each_mistake_of_outbound_is_reported() {
    let churn = "targets: { churn: { url: 'https://churn', issuer: main } }";
    for (keys, expected) in [
        ("listen: '0.0.0.0:8081'", "invalid address `0.0.0.0:8081`: every program that reaches"),
        ("listen: '192.0.2.7:8081'", "invalid address `192.0.2.7:8081`"),
        ("listen: '[::]:8081'", "invalid address `[::]:8081`"),
        ("listen: '127.0.0.1:8080'", "another listener of the gateway has it"),
        ("listen: '127.0.0.1:9090'", "another listener of the gateway has it"),
        ("listen: 'unix:out.sock'", "the socket needs an absolute path"),
        ("listen: '127.0.0.1:8081', mode: '0660'", "only a unix socket has permissions"),
        ("listen: 'unix:/o.sock', mode: '660'", "invalid mode `660`"),
        ("listen: 'unix:/o.sock', mode: '0999'", "invalid mode `0999`"),
        ("listen: 'unix:/o.sock', mode: '1777'", "invalid mode `1777`"),
    ] {
        refused(&outbound(&format!("{keys}, {churn}")), expected);
    }
    refused(&outbound("listen: '127.0.0.1:8081'"), "outbound: missing target");
    for name in ["token", "..", "'a/b'", "'a b'"] {
        let keys = format!(
            "listen: '127.0.0.1:8081', targets: {{ {name}: {{ url: 'https://c', issuer: main }} }}"
        );
        refused(&outbound(&keys), "invalid name");
    }
    for (keys, expected) in [
        ("url: 'ftp://churn', issuer: main", "unsupported scheme `ftp`"),
        ("url: 'https://u:p@churn', issuer: main", "it holds a user name or a password"),
        ("url: 'https://churn/?q', issuer: main", "it has a query or a fragment"),
        ("url: 'https://churn/a%2Fb', issuer: main", "invalid path"),
        ("url: 'https://churn//b', issuer: main", "invalid path"),
        (
            "url: 'https://churn', issuer: other",
            "unknown issuer `other`; write one of `issuers`: main",
        ),
        ("url: 'https://churn', issuer: main, audience: ''", "invalid audience"),
        ("url: 'https://churn', issuer: main, scopes: ['a b']", "invalid scope"),
        ("url: 'https://churn', issuer: main, grant: exchange", "missing `audience`"),
        ("url: 'https://churn', issuer: main, grant: password", "grant"),
        (
            "url: 'https://churn', issuer: main, client: { id: '', auth: { secret: { env: S } } }",
            "its id is empty",
        ),
        (
            "url: 'https://churn', issuer: main, client: { id: c, auth: none }",
            "a public client gets no tokens",
        ),
        (
            "url: 'https://churn', issuer: main, client: { id: c, auth: { mtls: { certificate: /c, key: /k } } }",
            "unsupported `mtls`",
        ),
        ("url: 'https://churn', issuer: main, timeouts: { connect: 0s }", "invalid duration"),
        (
            "url: 'http://localhost', issuer: main, tls: { ca_file: /ca }",
            "the service does not use TLS",
        ),
        (
            "url: 'https://churn', issuer: main, tls: { client_key: /k }",
            "missing `client_certificate`",
        ),
    ] {
        refused(&target(keys), expected);
    }
    let public = small_with(
        "routes:",
        "outbound: { listen: '127.0.0.1:8081', targets: { c: { url: 'https://c', issuer: main } } }\nroutes:",
    );
    refused(&public, "outbound.targets.c: missing `client`");
    let no_audience =
        target("url: 'https://churn', issuer: main, audience: churn, grant: exchange")
            .replace("    audience: [gateway]\n", "");
    refused(&no_audience, "missing `issuers.main.audience`");
}

#[test]
fn what_others_could_read_or_use_is_doubted() {
    let doubts = |text: &str| -> Vec<String> {
        let loaded = Config::parse("doorward.yaml", text).unwrap();
        loaded.warnings.iter().map(Problem::to_string).collect()
    };
    let plain = doubts(&target("url: 'http://churn.internal', issuer: main"));
    assert!(plain.iter().any(|doubt| doubt.contains("plain http sends the tokens")), "{plain:?}");
    assert_eq!(doubts(&target("url: 'http://127.0.0.1:9000', issuer: main")), Vec::<String>::new());
    let open = doubts(&outbound(
        "listen: 'unix:/o.sock', mode: '0666', targets: { c: { url: 'https://c', issuer: main } }",
    ));
    assert!(open.iter().any(|doubt| doubt.contains("every user of this machine")), "{open:?}");
}

#[test]
fn the_end_of_a_web_socket_is_chosen_for_each_target() {
    let streams = |keys: &str| {
        let text = target(&format!("url: 'https://churn.internal', issuer: main{keys}"));
        config(&text).outbound.unwrap().targets["churn"].streams
    };
    assert_eq!(streams(""), Streams::UntilTokenEnds);
    assert_eq!(streams(", streams: until_done"), Streams::UntilDone);
    for wrong in ["never", "true", "until_token_end", "{}"] {
        let keys = format!("url: 'https://churn.internal', issuer: main, streams: {wrong}");
        refused(&target(&keys), "streams");
    }
}
