//! Each mistake alone, many together, and consequential ones.

use super::{expect_each, problems, small_with};

#[test]
fn all_problems_of_a_file_are_reported_in_one_run() {
    let text = "\
listen: 8443
public_url: https://platform.example/app
trusted_proxies: [10.0.0.0]
issuers:
  main:
    url: http://keycloak.example/realms/platform
    client_auth: { secret: hunter2 }
session:
  idle: 30
routes:
  jupyter:
    match: { path: /jupyter }
    upstram: http://jupyterhub:8000
    access:
      - { path: /jupiter/hub/health, allow: anyone }
      - { allow: { issuers: [mian] } }
      - { allow: { roles: [admin], isuers: [main] } }
  scoring:
    match: { path: /models/churn/ }
    upstream: ftp://churn:8080
    sign_in: chalenge
    access: []
";
    let expected = [
        "1:9: listen: invalid value: found the number `8443`; write an address to listen on, such as `0.0.0.0:8443`",
        "2:13: public_url: invalid URL: it is more than an origin; write `https://platform.example`",
        "3:19: trusted_proxies#1: invalid value `10.0.0.0`; write a network, such as `10.0.0.0/8`, or `10.0.0.7/32` for one address, or `unix`",
        "5:3: issuers.main.client_id: missing client ID; write the gateway's client at the provider",
        "6:10: issuers.main.url: issuer \"http://keycloak.example/realms/platform\" must use https; http \
         is accepted on localhost, 127.0.0.0/8 and [::1] only, and on hosts that dangerous_allow_http lists",
        "7:28: issuers.main.client_auth.secret: invalid secret: this file must not contain it; \
         write `{ file: PATH }` or `{ env: NAME }`",
        "8:1: session.key: missing session key; write `key: { file: PATH }` and make the file with \
         `openssl rand -base64 32 > PATH`",
        "9:9: session.idle: invalid duration: found the number `30`; write a number and a unit, such \
         as `30s`, `15m` or `12h`",
        "13:5: routes.jupyter.upstram: unknown key; did you mean `upstream`?",
        "15:17: routes.jupyter.access#1.path: invalid path: no request of this route matches it; \
         write the whole path as the client sends it, beginning with `/jupyter`",
        "16:20: routes.jupyter.access#2.allow.issuers: unknown issuer `mian`; did you mean `main`?",
        "17:36: routes.jupyter.access#3.allow.isuers: unknown key; did you mean `issuers`?",
        "19:20: routes.scoring.match.path: invalid path: it ends with a slash; write `/models/churn`",
        "20:15: routes.scoring.upstream: unsupported scheme `ftp`; use `http`, `https`, `h2c`, `h2` or \
         `unix`",
        "21:14: routes.scoring.sign_in: unsupported value `chalenge`; did you mean `challenge`?",
        "22:5: routes.scoring.access: missing rule: every request is refused; write `access: [ { allow: \
         signed_in } ]`",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn each_mistake_is_reported_at_its_position() {
    #[rustfmt::skip]
    let cases = [
        // the file as such
        ("public_url: https://platform.example\n", "", "1:1: missing `public_url`; add it"),
        ("issuers:", "isuers:", "2:1: isuers: unknown key; did you mean `issuers`?"),
        ("{ path: /app }", "{ path: /app", "12:13: invalid YAML from here on: "),
        ("    client_id: gateway", "    client_id: gateway\n    client_id: other", "6:5: issuers.main.client_id: invalid map: this key occurs twice"),
        ("http://app:8000", "*there", "invalid YAML from here on: while parsing node, found unknown anchor"),
        ("client_id: gateway", "client_id: 7", "5:16: issuers.main.client_id: invalid value: found the number `7`; write a text, in quotes: `\"7\"`"),
        // top level
        ("https://platform", "ftp://platform", "1:13: public_url: unsupported scheme `ftp`; use `https`"),
        ("platform.example\n", "platform.example\nendpoints: oauth2\n", "2:12: endpoints: invalid path `oauth2`: no leading slash; begin it with `/`"),
        ("platform.example\n", "platform.example\nendpoints: /app\n", "12:20: routes.app.match.path: invalid path `/app`: the gateway's own URLs are there"),
        ("platform.example\n", "platform.example\nlisten: 127.0.0.1:9090\n", "1:1: admin: invalid address `127.0.0.1:9090`: the public listener uses it"),
        ("platform.example\n", "platform.example\nlisten: []\n", "2:1: listen: invalid list: it is empty"),
        ("platform.example\n", "platform.example\nlisten: unix:run/x\n", "2:9: listen: invalid address `unix:run/x`: the socket needs an absolute path"),
        ("platform.example\n", "platform.example\nadmin: 9090\n", "2:8: admin: invalid value: found the number `9090`; write an address, such as `127.0.0.1:9090`, or `{ listen: …, token: { file: … } }`"),
        ("platform.example\n", "platform.example\nadmin: localhost\n", "2:8: admin: invalid value `localhost`; write an address and a port"),
        ("platform.example\n", "platform.example\nadmin: { listen: nowhere }\n", "2:18: admin.listen: invalid value `nowhere`; write an address and a port"),
        ("platform.example\n", "platform.example\nadmin: { token: hunter2 }\n", "2:17: admin.token: invalid secret: this file must not contain it"),
        ("platform.example\n", "platform.example\nadmin: { listn: 127.0.0.1:9090 }\n", "2:10: admin.listn: unknown key; did you mean `listen`?"),
        // session
        ("  key: { file: /run/secrets/session-key }", "  idle: 1h", "7:1: session.key: missing session key"),
        ("session:", "session:\n  idle: 13h", "8:9: session.idle: invalid duration: `idle` (13h) is longer than `lifetime` (12h)"),
        ("session:", "session:\n  lifetime: 0s", "8:13: session.lifetime: invalid duration: zero would end everything at once"),
        ("session:", "session:\n  idle: soon", "8:9: session.idle: invalid duration: found `soon`; write a number and a unit"),
        ("session:", "session:\n  store: disk", "8:10: session.store: unsupported value `disk`; write `embedded`, `cookie` or `redis`"),
        ("session:", "session:\n  cookie_name: lab session", "8:16: session.cookie_name: invalid cookie name \"lab session\": only letters, digits, `-` and `_`, at most 40"),
        ("session:", "session:\n  cookie_name: ''", "8:16: session.cookie_name: invalid cookie name \"\""),
        ("session:", "session:\n  cookie_name: __Host-lab", "8:16: session.cookie_name: invalid cookie name \"__Host-lab\": the prefix `__Host-` is added with https"),
        ("session:", "session:\n  cookie_name: lab-login-x", "8:16: session.cookie_name: invalid cookie name \"lab-login-x\""),
        ("session:", "session:\n  dangerous_cookie_domain: example", "8:28: session.dangerous_cookie_domain: invalid domain \"example\": write a name of two labels or more"),
        ("session:", "session:\n  dangerous_cookie_domain: .platform.example", "8:28: session.dangerous_cookie_domain: invalid domain \".platform.example\": write a name of two labels or more"),
        ("session:", "session:\n  dangerous_cookie_domain: other.example", "8:28: session.dangerous_cookie_domain: invalid domain \"other.example\": the host of `public_url` is not of it"),
        ("session:", "session:\n  dangerous_cookie_domain: a.platform.example", "8:28: session.dangerous_cookie_domain: invalid domain \"a.platform.example\": the host of `public_url` is not of it"),
        ("{ file: /run/secrets/session-key }", "{ file: /a, env: B }", "8:3: session.key: invalid secret: it has two sources"),
        ("{ file: /run/secrets/session-key }", "c2VjcmV0", "8:8: session.key: invalid secret: this file must not contain it"),
        // issuers
        ("issuers:\n  main:\n    url: https://keycloak.example/realms/platform\n    client_id: gateway\n    audience: [gateway]\n", "", "1:1: issuers: missing issuer: rules require an identity"),
        ("/realms/platform\n", "/realms/platform/.well-known/openid-configuration\n", "4:10: issuers.main.url: invalid URL: it is the discovery document's; write `https://keycloak.example/realms/platform`"),
        ("https://keycloak.example/", "keycloak.example/", "4:10: issuers.main.url: issuer \"keycloak.example/realms/platform\" is not a URL"),
        ("    client_id: gateway", "    client_id: ''", "5:16: issuers.main.client_id: missing client ID"),
        ("    client_id", "    client_secret: x\n    client_id", "5:5: issuers.main.client_secret: unknown key: write `client_auth: { secret: { file: PATH } }`"),
        ("    client_id", "    client_auth: hunter2\n    client_id", "5:18: issuers.main.client_auth: invalid value; write `none`, `secret`, "),
        ("    client_id", "    client_auth: secret\n    client_id", "5:18: issuers.main.client_auth: missing settings of `secret`"),
        ("    client_id", "    scopes: [profile]\n    client_id", "5:5: issuers.main.scopes: missing scope `openid`"),
        ("    client_id", "    scopes: [openid profile]\n    client_id", "issuers.main.scopes: invalid scope `openid profile`"),
        ("    client_id", "    claims: { groups: '' }\n    client_id", "5:23: issuers.main.claims.groups: invalid claim name: it is empty"),
        ("    audience: [gateway]\n", "  twin: { url: https://keycloak.example/realms/platform, client_id: x }\n", "issuers.twin.url: invalid URL: `issuers.main` has the same"),
        ("  main:", "  my main:", "3:3: issuers.my main: invalid name; write at most 63 letters, digits"),
        // routes
        ("  app:\n    match: { path: /app }\n    upstream: http://app:8000\n    access:\n      - { allow: signed_in }\n", "  {}", "9:1: routes: missing route"),
        ("match: { path: /app }", "match: { path: app }", "11:20: routes.app.match.path: invalid path `app`: no leading slash"),
        ("match: { path: /app }", "match: { path: /a/../b }", "11:20: routes.app.match.path: invalid path `/a/../b`: the path holds a dot segment"),
        ("match: { path: /app }", "match: { path: /caf%c3%a9 }", "11:20: routes.app.match.path: invalid path: requests are compared in canonical form; write `/caf%C3%A9`"),
        ("match: { path: /app }", "match: { path: /app/** }", "routes.app.match.path: invalid path `/app/**`: it covers everything below it"),
        ("match: { path: /app }", "match: { path: /oauth2/x }", "routes.app.match.path: invalid path `/oauth2/x`: the gateway's own URLs are there"),
        ("match: { path: /app }", "match: { host: Platform.Example }", "11:20: routes.app.match.host: invalid host: hosts are compared in lower case; write `platform.example`"),
        ("match: { path: /app }", "match: { host: bücher.example }", "11:20: routes.app.match.host: invalid host: browsers send its ASCII form; write `xn--bcher-kva.example`"),
        ("match: { path: /app }", "match: { host: 'a.example:8080' }", "11:20: routes.app.match.host: invalid host `a.example:8080`; remove"),
        ("match: { path: /app }", "host: a.example", "11:5: routes.app.host: unknown key: write `match: { host: … }` in the route"),
        ("routes:", "routes:\n  other: { match: { path: /app }, upstream: http://x:1, access: [ { allow: anyone } ] }", "routes.other.match: invalid match: `routes.app` has the same requests (platform.example/app)"),
        ("    upstream: http://app:8000\n", "", "10:3: routes.app.upstream: missing `upstream`; write one"),
        ("http://app:8000", "http://app:8000/base", "12:15: routes.app.upstream: invalid upstream: it has the path `/base`; remove it if `match.path` begins with it"),
        ("http://app:8000", "http://me:pw@app:8000", "12:15: routes.app.upstream: invalid upstream: it holds a user name or a password"),
        ("http://app:8000", "http://app:8000?x=1", "12:15: routes.app.upstream: invalid upstream: it has a query or a fragment"),
        ("http://app:8000", "[http://a:1, https://b:1]", "12:5: routes.app.upstream: invalid list: `https://b:1` and the first upstream differ in TLS"),
        ("http://app:8000", "app:8000", "12:15: routes.app.upstream: invalid upstream `app:8000`: "),
        ("    access:", "    rewrite: { strip_prefix: /other }\n    access:", "routes.app.rewrite.strip_prefix: invalid prefix `/other`: not every path of this route begins with it"),
        ("    access:", "    timeouts: { connect: 0s }\n    access:", "13:26: routes.app.timeouts.connect: invalid duration: zero would end everything at once"),
        ("    access:", "    streams: forever\n    access:", "13:14: routes.app.streams: unsupported value `forever`; write `until_token_ends` or `until_done`"),
        ("    access:", "    websocket: { ping: off }\n    access:", "13:24: routes.app.websocket.ping: invalid interval `off`; write a duration such as `30s`, or `never`"),
        ("    access:", "    websocket: { ping: 30 }\n    access:", "13:24: routes.app.websocket.ping: invalid value: found the number `30`; write an interval, or `never`, such as `30s`"),
        ("    access:", "    websocket: { ping: 0s }\n    access:", "13:24: routes.app.websocket.ping: invalid interval: shorter than a second"),
        ("    access:", "    websocket: { pings: 9s }\n    access:", "13:18: routes.app.websocket.pings: unknown key; did you mean `ping`?"),
        ("    access:", "    signed_out: page\n    access:", "13:17: routes.app.signed_out: unsupported value `page`; write `problem`, `sentence` or `retry`"),
        ("    access:", "    limits: { body: 5 gigs }\n    access:", "13:21: routes.app.limits.body: invalid size `5 gigs`; write a whole number and a unit"),
        ("    access:", "    preset: jupiterhub\n    access:", "13:13: routes.app.preset: unsupported value `jupiterhub`; did you mean `jupyterhub`?"),
        // algorithms
        ("    audience:", "    algorithms: [RS256, HS256]\n    audience:", "6:25: issuers.main.algorithms#2: \"HS256\" is not one of RS256, RS384, RS512, PS256"),
        ("    audience:", "    algorithms: none\n    audience:", "6:17: issuers.main.algorithms: \"none\" is not one of RS256"),
        ("    audience:", "    algorithms: rs256\n    audience:", "6:17: issuers.main.algorithms: \"rs256\" is not one of RS256"),
        ("    audience:", "    algorithms: []\n    audience:", "6:5: issuers.main.algorithms: invalid list: it is empty; name at least one value, or omit the key"),
        // rules
        ("    access:\n      - { allow: signed_in }\n", "", "10:3: routes.app.access: missing rule: every request is refused"),
        ("{ allow: signed_in }", "{ allow: signed_in, shadow: true }", "13:5: routes.app.access: missing rule: shadow rules do not decide"),
        ("{ allow: signed_in }", "{ path: /app/x }", "14:9: routes.app.access#1: missing `allow`; add it"),
        ("{ allow: signed_in }", "{ allow: everyone }", "14:18: routes.app.access#1.allow: unsupported value `everyone`"),
        ("{ allow: signed_in }", "{ allow: {} }", "14:11: routes.app.access#1.allow: invalid requirement: it has no condition"),
        ("{ allow: signed_in }", "{ allow: [] }", "14:11: routes.app.access#1.allow: invalid list: an empty one lets no caller through"),
        ("{ allow: signed_in }", "{ allow: { roles: [] } }", "14:20: routes.app.access#1.allow.roles: invalid list: it is empty; name at least one value"),
        ("{ allow: signed_in }", "{ allow: { roles: ['churn:'] } }", "14:20: routes.app.access#1.allow.roles: invalid role `churn:`; write `ROLE` for a realm role"),
        ("{ allow: signed_in }", "{ allow: { claims: { d: {} } } }", "14:30: routes.app.access#1.allow.claims.d: invalid claim value; write a text"),
        ("{ allow: signed_in }", "{ roles: [admin], allow: signed_in }", "14:11: routes.app.access#1.roles: unknown key: write it in `allow: { … }` of a rule"),
        ("{ allow: signed_in }", "{ methods: [get], allow: signed_in }", "14:11: routes.app.access#1.methods: invalid method `get`: letter case matters; write `GET`"),
        ("{ allow: signed_in }", "{ methods: [ALL], allow: signed_in }", "routes.app.access#1.methods: invalid method `ALL`; omit `methods`"),
        ("{ allow: signed_in }", "{ methods: [G!T], allow: signed_in }", "14:11: routes.app.access#1.methods: invalid method `G!T`: the method has a character other than"),
        ("{ allow: signed_in }", "{ methods: [TRACE], allow: signed_in }", "routes.app.access#1.methods: invalid method `TRACE`: the gateway does not serve TRACE"),
        ("{ allow: signed_in }", "{ methods: [GET], allow: signed_in }\n      - { methods: [HEAD], allow: anyone }", "15:9: routes.app.access#2: invalid order: rule 1 decides all requests"),
        ("{ allow: signed_in }", "{ allow: { emails: [corp.example] } }", "14:20: routes.app.access#1.allow.emails: invalid e-mail address `corp.example`"),
        ("{ allow: signed_in }", "{ allow: { email_domains: ['@corp.example'] } }", "routes.app.access#1.allow.email_domains: invalid domain `@corp.example`; write the domain alone: `corp.example`"),
        ("{ allow: signed_in }", "{ allow: { email_domains: ['*.corp.example'] } }", "routes.app.access#1.allow.email_domains: invalid domain `*.corp.example`: a domain matches itself only"),
        ("{ allow: signed_in }", "{ allow: { subjects: [a1] } }", "routes.app.access#1.allow.subjects: missing `issuers`: a subject is unique within its issuer only"),
        ("{ allow: signed_in }", "{ path: /app/a*b, allow: signed_in }", "14:17: routes.app.access#1.path: invalid segment `a*b`: `*` matches one whole segment"),
        ("{ allow: signed_in }", "{ path: /app/**/b, allow: signed_in }", "14:17: routes.app.access#1.path: invalid pattern: `**` is allowed at the end only"),
        ("{ allow: signed_in }", "{ path: /other/**, allow: signed_in }", "14:17: routes.app.access#1.path: invalid path: no request of this route matches it"),
        ("{ allow: signed_in }", "{ path: /app/**, allow: signed_in }\n      - { path: /app/open, allow: anyone }", "15:9: routes.app.access#2: invalid order: rule 1 decides all requests"),
    ];
    expect_each(&cases);
}

#[test]
fn mistakes_in_the_store_redis_are_explained() {
    let in_store = |keys: &str| format!("session:\n  store:\n    redis: {{ {keys} }}");
    #[rustfmt::skip]
    let cases = [
        ("", "session.store.redis: missing servers; write `url: redis://HOST:PORT`, `sentinel: { master: …, nodes: […] }` or `cluster: […]`"),
        ("url: 'redis://r', cluster: [n1]", "session.store.redis.cluster: invalid `cluster` beside `url`: keep one of them"),
        ("sentinel: { master: m, nodes: [a, b, c] }, cluster: [n1]", "session.store.redis.cluster: invalid `cluster` beside `sentinel`: keep one of them"),
        ("url: 'redis://r', sentinel: { master: m, nodes: [a, b, c] }", "session.store.redis.sentinel: invalid `sentinel` beside `url`: keep one of them"),
        ("sentinel: { master: '', nodes: [a, b, c] }", "session.store.redis.sentinel.master: invalid name: write that of `sentinel monitor NAME …`"),
        ("sentinel: { master: m, nodes: [] }", "session.store.redis.sentinel.nodes: missing sentinels"),
        ("url: 'redis://gate:secret@r'", "session.store.redis.url: invalid address: it has a user or a password; write `user: NAME` and `password: { file: PATH }` beside `url`"),
        ("url: 'http://r'", "session.store.redis.url: unsupported scheme `http`; write `redis://HOST:PORT`, or `rediss://HOST:PORT` with TLS"),
        ("url: 'redis://r/first'", "session.store.redis.url: invalid address; write such as `redis://valkey:6379/0`"),
        ("cluster: ['n1:port']", "session.store.redis.cluster#1: invalid address; write a host and a port, such as `valkey-1:6379`"),
        ("url: 'redis://r', tls: {}", "session.store.redis.tls: invalid `tls`: the address is without TLS; write `rediss://`, or omit it"),
        ("url: 'rediss://r', tls: { client_key: /k }", "session.store.redis.tls.client_key: missing `client_certificate`: write it beside `client_key`, or omit both"),
        ("url: 'redis://r', user: gate", "session.store.redis.user: missing `password`; write `password: { file: PATH }` beside `user`"),
        ("url: 'redis://r', prefix: '{a}'", "session.store.redis.prefix: invalid prefix \"{a}\": 1 to 64 visible characters"),
        ("url: 'redis://r', prefix: ''", "session.store.redis.prefix: invalid prefix \"\""),
        ("url: 'redis://r', timeout: 1ms", "session.store.redis.timeout: invalid duration: between 10ms and 10s; write such as `500ms`"),
        ("url: 'redis://r', timeout: 1m", "session.store.redis.timeout: invalid duration: between 10ms and 10s"),
        ("url: 'redis://r', sentinels: m", "session.store.redis.sentinels: unknown key; did you mean `sentinel`?"),
    ];
    for (keys, expected) in cases {
        let found = problems(&small_with("session:", &in_store(keys)));
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert!(found[0].contains(expected), "{keys}\n{expected}\n{found:#?}");
    }
    for keys in [
        "url: 'rediss://r:6380/2', user: u, password: { env: P }, tls: { ca_file: /ca }, prefix: 'a:', timeout: 1s",
        "sentinel: { master: m, nodes: [a, 'b:1', '[::1]:2'], password: { file: /p } }, tls: {}",
        "cluster: [n1, 'n2:7000']",
    ] {
        assert!(problems(&small_with("session:", &in_store(keys))).is_empty(), "{keys}");
    }
}

#[test]
fn lists_and_bounds_without_sense_are_refused() {
    #[rustfmt::skip]
    let cases = [
        ("public_url:", "tls: [{ certificate: a, key: b }, { certificate: c, key: d }]\npublic_url:", "missing `names`: another certificate without them is for every host already; "),
        ("public_url:", "tls: [{ certificate: a, key: b, names: [a.example] }, { certificate: c, key: d, names: [b.example, a.example] }]\npublic_url:", "1:100: tls#2.names#2: invalid host `a.example`: another certificate is for it already; "),
        ("public_url:", "tls: { certificate: a, key: b, names: [A.example] }\npublic_url:", "invalid host: hosts are compared in lower case; write `a.example`"),
        ("    access:", "    limits: { per_user: {} }\n    access:", "13:15: routes.app.limits.per_user: missing bound; write `requests_per_second`, `concurrent_requests` or `concurrent_streams`"),
        ("    access:", "    limits: { per_user: { concurrent_streams: 0 } }\n    access:", "13:47: routes.app.limits.per_user.concurrent_streams: invalid number: zero refuses every user; "),
        ("    access:", "    limits: { per_user: { tokens_per_day: 5 } }\n    access:", "13:43: routes.app.limits.per_user.tokens_per_day: invalid `tokens_per_day`: without `usage` the gateway does not know the tokens of an answer; write `usage: openai` on the route"),
        ("    access:", "    usage: anthropic\n    access:", "13:12: routes.app.usage: "),
        ("    access:", "    limits: { per_user: { requests_per_second: fifty } }\n    access:", "13:48: routes.app.limits.per_user.requests_per_second: invalid value: found `fifty`"),
    ];
    expect_each(&cases);
}

#[test]
fn introspection_needs_authentication_audience_and_one_issuer() {
    let introspecting = |rest: &str| format!("    introspection: {{}}\n{rest}");
    let secret = "    client_auth: { secret: { file: /run/secrets/gateway } }\n";
    let public = small_with("    client_id", &introspecting("    client_id"));
    let [only] = problems(&public).try_into().unwrap();
    let only: String = only;
    assert!(only.contains("issuers.main.introspection: missing `client_auth`"), "{only}");

    let login_only = small_with("    audience: [gateway]\n", &introspecting(secret));
    let [only] = problems(&login_only).try_into().unwrap();
    let only: String = only;
    assert!(
        only.contains("without it no bearer token is accepted; write `audience: [gateway]`"),
        "{only}"
    );

    let second = format!(
        "  second:\n    url: https://second.example\n    client_id: gateway\n    audience: [gateway]\n{}session:",
        introspecting(secret)
    );
    let two = small_with("    client_id", &introspecting(&format!("{secret}    client_id")))
        .replace("session:", &second);
    let [only] = problems(&two).try_into().unwrap();
    let only: String = only;
    assert!(
        only.contains(
            "issuers.second.introspection: invalid `introspection`: `issuers.main` has it too"
        ),
        "{only}"
    );
}

#[test]
fn a_consequential_problem_is_not_reported() {
    // Without its issuer the rule's name for it, and the need for a login, would look wrong too.
    let text = small_with("client_id: gateway", "client_auth: none")
        .replace("signed_in", "{ issuers: [main] }");
    assert_eq!(
        problems(&text),
        [
            "3:3: issuers.main.client_id: missing client ID; write the gateway's client at the provider"
        ]
    );
    // The second rule stays the second although the first could not be read.
    let text = small_with("{ allow: signed_in }", "{ allow: none }\n      - { allow: {} }");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.last().unwrap().starts_with("15:11: routes.app.access#2.allow: "), "{found:#?}");
}

#[test]
fn bearer_tokens_need_an_audience() {
    let text = small_with("    audience: [gateway]\n", "")
        .replace("signed_in", "{ clients: [airflow-run], scopes: [score] }");
    let [only] = problems(&text).try_into().unwrap();
    let only: String = only;
    assert!(
        only.starts_with(
            "3:3: issuers.main.audience: missing `audience`: route `app` accepts bearer tokens"
        ),
        "{only}"
    );
    assert!(only.contains("audience: [gateway]") && only.contains("Mappers"), "{only}");
}

#[test]
fn no_secret_is_repeated_in_a_message() {
    for (old, new) in [
        ("    client_id", "    client_auth: hunter2\n    client_id"),
        ("    client_id", "    client_auth: { secret: hunter2 }\n    client_id"),
        ("    client_id", "    client_auth: { private_key_jwt: hunter2 }\n    client_id"),
        ("    client_id", "    client_auth: { private_key_jwt: { key: hunter2 } }\n    client_id"),
        ("{ file: /run/secrets/session-key }", "hunter2"),
        ("{ file: /run/secrets/session-key }", "[hunter2]"),
        ("session:", "session:\n  store: { redis: { url: 'redis://r', password: hunter2 } }"),
        ("session:", "session:\n  store: { redis: { url: 'redis://:hunter2@r' } }"),
        ("session:", "session:\n  store: { redis: { cluster: ['hunter2@r:6379'] } }"),
        (
            "session:",
            "session:\n  store: { redis: { sentinel: { master: m, nodes: [r], password: hunter2 } } }",
        ),
        ("http://app:8000", "http://me:hunter2@app:8000"),
    ] {
        let found = problems(&small_with(old, new));
        assert!(!found.is_empty() && !found.join("\n").contains("hunter2"), "{found:#?}");
    }
}

#[test]
fn values_of_rules_about_time_and_sign_in_are_checked() {
    let allow = "access#1.allow";
    let hours = |values: &str| format!("{{ hours: {{ {values} }} }}");
    for (requirement, place, said) in [
        (
            hours("from: '9:00', to: '18:00', zone: UTC"),
            "hours.from",
            "invalid time of day `9:00`; write hours and minutes, such as `09:00`",
        ),
        (hours("from: '09:00', to: '25:00', zone: UTC"), "hours.to", "invalid time of day `25:00`"),
        (hours("from: '09:00', to: '09:00', zone: UTC"), "hours", "`from` and `to` are the same"),
        (
            hours("from: '09:00', to: '18:00', zone: Paris"),
            "hours.zone",
            "unknown time zone `Paris`; write a name of the IANA database, such as `Europe/Paris`",
        ),
        (
            hours("from: '09:00', to: '18:00', zone: UTC, except: ['25.12.2026']"),
            "hours.except",
            "invalid date `25.12.2026`",
        ),
        (
            hours("from: '09:00', to: '18:00', zone: UTC, days: [monday]"),
            "hours.days",
            "invalid day `monday`; write mon, tue,",
        ),
        ("{ acr: 'a b' }".to_owned(), "acr", "invalid level"),
        ("{ max_age: 0s }".to_owned(), "max_age", "invalid duration"),
        ("{ when: 'claims.a ==' }".to_owned(), "when", "invalid condition: column "),
        (
            "{ when: 'claim.a == 1' }".to_owned(),
            "when",
            "unknown name `claim`; a condition has `claims.NAME`,",
        ),
        ("{ when: 'claims.a.matches(\"x\")' }".to_owned(), "when", "unknown function `matches`"),
        (
            "{ when: 'claims.a.exists(x, claims.b.exists(y, x == y))' }".to_owned(),
            "when",
            "its time grows with the square of a list",
        ),
    ] {
        let found = problems(&small_with("signed_in", &requirement)).join("\n");
        assert!(
            found.contains(&format!("{allow}.{place}")) && found.contains(said),
            "{requirement}: {found}"
        );
    }
    let good = "{ acr: ['2', '3'], max_age: 1h, when: 'has(claims.a)', hours: { days: [mon-fri, sun], except: [2026-12-25], from: '22:00', to: '06:00', zone: Europe/Paris, close: false } }";
    assert_eq!(problems(&small_with("signed_in", good)), Vec::<String>::new());
}

/// Every key of the documentation is known and valid.
#[test]
fn the_full_file_has_no_problem() {
    assert_eq!(problems(include_str!("every_key.yaml")), Vec::<String>::new());
}
