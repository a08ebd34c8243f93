//! Each mistake alone, many together, and what only follows from another.

use super::{problems, small_with, tell};

#[test]
fn a_file_with_ten_mistakes_is_told_all_ten_with_their_lines_and_remedies() {
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
        "1:9: listen: found the number `8443`: write an address to listen on, such as `0.0.0.0:8443`",
        "2:13: public_url: only the origin stands here: write `https://platform.example`",
        "3:19: trusted_proxies#1: `10.0.0.0` is not what stands here: write a network, such as \
         `10.0.0.0/8`, or `10.0.0.7/32` for one address",
        "5:3: issuers.main: `client_id` is missing",
        "6:10: issuers.main.url: issuer \"http://keycloak.example/realms/platform\" must use https; http \
         is accepted on localhost, 127.0.0.0/8 and [::1] only",
        "7:28: issuers.main.client_auth.secret: a secret is never written in this file: write \
         `{ file: PATH }` or `{ env: NAME }`",
        "8:1: session.key: no key to seal sessions with: write `key: { file: PATH }`; `openssl rand \
         -base64 32 > PATH` makes one",
        "9:9: session.idle: found the number `30`: write a number and a unit, such as `30s`, `15m` or \
         `12h`",
        "13:5: routes.jupyter.upstram: unknown key; did you mean `upstream`?",
        "15:17: routes.jupyter.access#1.path: this rule can never match: the route's paths begin with \
         `/jupyter`; paths in rules are whole, as the client sends them",
        "16:20: routes.jupyter.access#2.allow.issuers: no issuer is called `mian`; did you mean `main`?",
        "17:36: routes.jupyter.access#3.allow.isuers: unknown key; did you mean `issuers`?",
        "19:20: routes.scoring.match.path: write `/models/churn`, without the slash at the end",
        "20:15: routes.scoring.upstream: `ftp:` is not spoken to upstreams: use `http`, `https`, \
         `h2c`, `h2` or `unix:`",
        "21:14: routes.scoring.sign_in: `chalenge` is no choice here; did you mean `challenge`?",
        "22:5: routes.scoring.access: no rule, so everybody is refused: write `access: [ { allow: \
         signed_in } ]`",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn each_mistake_is_told_where_it_is() {
    #[rustfmt::skip]
    let cases = [
        // the file as such
        ("public_url: https://platform.example\n", "", "1:1: `public_url` is missing"),
        ("issuers:", "isuers:", "2:1: isuers: unknown key; did you mean `issuers`?"),
        ("{ path: /app }", "{ path: /app", "12:13: not YAML from here on: "),
        ("    client_id: gateway", "    client_id: gateway\n    client_id: other", "6:5: issuers.main.client_id: written twice"),
        ("http://app:8000", "*there", "not YAML from here on: while parsing node, found unknown anchor"),
        ("client_id: gateway", "client_id: 7", "5:16: issuers.main.client_id: found the number `7`: write a text, in quotes: `\"7\"`"),
        // top level
        ("https://platform", "ftp://platform", "1:13: public_url: browsers do not come by `ftp:`"),
        ("platform.example\n", "platform.example\nendpoints: oauth2\n", "2:12: endpoints: `oauth2` must begin with `/`"),
        ("platform.example\n", "platform.example\nendpoints: /app\n", "12:20: routes.app.match.path: `/app` belongs to the gateway itself"),
        ("platform.example\n", "platform.example\nlisten: 127.0.0.1:9090\n", "1:1: admin: `127.0.0.1:9090` is also listened on for the public"),
        ("platform.example\n", "platform.example\nlisten: []\n", "2:1: listen: an empty list"),
        ("platform.example\n", "platform.example\nlisten: unix:run/x\n", "2:9: listen: `unix:run/x` needs an absolute path"),
        ("platform.example\n", "platform.example\nadmin: 9090\n", "2:8: admin: found the number `9090`: write an address, such as `127.0.0.1:9090`, or `{ listen: …, token: { file: … } }`"),
        ("platform.example\n", "platform.example\nadmin: localhost\n", "2:8: admin: `localhost` is not what stands here: write an address and a port"),
        ("platform.example\n", "platform.example\nadmin: { listen: nowhere }\n", "2:18: admin.listen: `nowhere` is not what stands here: write an address and a port"),
        ("platform.example\n", "platform.example\nadmin: { token: hunter2 }\n", "2:17: admin.token: a secret is never written in this file"),
        ("platform.example\n", "platform.example\nadmin: { listn: 127.0.0.1:9090 }\n", "2:10: admin.listn: unknown key; did you mean `listen`?"),
        // session
        ("  key: { file: /run/secrets/session-key }", "  idle: 1h", "7:1: session.key: no key to seal sessions with"),
        ("session:", "session:\n  idle: 13h", "8:9: session.idle: `idle` (13h) is longer than `lifetime` (12h)"),
        ("session:", "session:\n  lifetime: 0s", "8:13: session.lifetime: zero would end everything at once"),
        ("session:", "session:\n  idle: soon", "8:9: session.idle: found `soon`: write a number and a unit"),
        ("session:", "session:\n  store: disk", "8:10: session.store: `disk` is no choice here: write `embedded`, `cookie` or `redis`"),
        ("{ file: /run/secrets/session-key }", "{ file: /a, env: B }", "8:3: session.key: a secret has one source"),
        ("{ file: /run/secrets/session-key }", "c2VjcmV0", "8:8: session.key: a secret is never written in this file"),
        // issuers
        ("issuers:\n  main:\n    url: https://keycloak.example/realms/platform\n    client_id: gateway\n    audience: [gateway]\n", "", "1:1: issuers: no issuer, and there are rules"),
        ("/realms/platform\n", "/realms/platform/.well-known/openid-configuration\n", "4:10: issuers.main.url: this is its discovery document: write `https://keycloak.example/realms/platform`"),
        ("https://keycloak.example/", "keycloak.example/", "4:10: issuers.main.url: issuer \"keycloak.example/realms/platform\" is not a URL"),
        ("    client_id: gateway", "    client_id: ''", "5:16: issuers.main.client_id: an empty client ID"),
        ("    client_id", "    client_secret: x\n    client_id", "5:5: issuers.main.client_secret: unknown key here; write `client_auth: { secret: { file: PATH } }`"),
        ("    client_id", "    client_auth: hunter2\n    client_id", "5:18: issuers.main.client_auth: write `none`, `secret`, "),
        ("    client_id", "    client_auth: secret\n    client_id", "5:18: issuers.main.client_auth: `secret` needs settings"),
        ("    client_id", "    scopes: [profile]\n    client_id", "5:5: issuers.main.scopes: without `openid`"),
        ("    client_id", "    scopes: [openid profile]\n    client_id", "issuers.main.scopes: `openid profile` is not one scope"),
        ("    client_id", "    claims: { groups: '' }\n    client_id", "5:23: issuers.main.claims.groups: an empty claim name"),
        ("    audience: [gateway]\n", "  twin: { url: https://keycloak.example/realms/platform, client_id: x }\n", "issuers.twin.url: the same as `issuers.main.url`"),
        ("  main:", "  my main:", "3:3: issuers.my main: a name has letters, digits"),
        // routes
        ("  app:\n    match: { path: /app }\n    upstream: http://app:8000\n    access:\n      - { allow: signed_in }\n", "  {}", "9:1: routes: no route, so nothing would be served"),
        ("match: { path: /app }", "match: { path: app }", "11:20: routes.app.match.path: `app` must begin with `/`"),
        ("match: { path: /app }", "match: { path: /a/../b }", "11:20: routes.app.match.path: no request has the path `/a/../b`: the path holds a dot segment"),
        ("match: { path: /app }", "match: { path: /caf%c3%a9 }", "11:20: routes.app.match.path: requests are compared in the form `/caf%C3%A9`: write that"),
        ("match: { path: /app }", "match: { path: /app/** }", "routes.app.match.path: `/app/**` needs no `*`"),
        ("match: { path: /app }", "match: { path: /oauth2/x }", "routes.app.match.path: `/oauth2/x` belongs to the gateway itself"),
        ("match: { path: /app }", "match: { host: Platform.Example }", "11:20: routes.app.match.host: hosts are compared in lower case: write `platform.example`"),
        ("match: { path: /app }", "match: { host: bücher.example }", "11:20: routes.app.match.host: browsers send this host in its ASCII form: write `xn--bcher-kva.example`"),
        ("match: { path: /app }", "match: { host: 'a.example:8080' }", "11:20: routes.app.match.host: `a.example:8080` is more than a host"),
        ("match: { path: /app }", "host: a.example", "11:5: routes.app.host: unknown key here; write `match: { host: … }` in the route"),
        ("routes:", "routes:\n  other: { match: { path: /app }, upstream: http://x:1, access: [ { allow: anyone } ] }", "routes.other.match: the same requests as `routes.app` (platform.example/app)"),
        ("    upstream: http://app:8000\n", "", "10:3: routes.app.upstream: no `upstream`: write one"),
        ("http://app:8000", "http://app:8000/base", "12:15: routes.app.upstream: an upstream has no path (`/base`): write it as `rewrite: { add_prefix: /base }`"),
        ("http://app:8000", "http://me:pw@app:8000", "12:15: routes.app.upstream: an upstream has no user name or password"),
        ("http://app:8000", "http://app:8000?x=1", "12:15: routes.app.upstream: an upstream has no query or fragment"),
        ("http://app:8000", "[http://a:1, https://b:1]", "12:5: routes.app.upstream: `https://b:1`: all upstreams of a route use TLS, or none does"),
        ("http://app:8000", "app:8000", "12:15: routes.app.upstream: `app:8000` is not a URL"),
        ("    access:", "    rewrite: { strip_prefix: /other }\n    access:", "routes.app.rewrite.strip_prefix: not every path of this route begins with `/other`"),
        ("    access:", "    timeouts: { connect: 0s }\n    access:", "13:26: routes.app.timeouts.connect: zero would end everything at once"),
        ("    access:", "    limits: { body: 5 gigs }\n    access:", "13:21: routes.app.limits.body: `5 gigs` is not a size: write a whole number and a unit"),
        ("    access:", "    preset: jupiterhub\n    access:", "13:13: routes.app.preset: `jupiterhub` is no choice here; did you mean `jupyterhub`?"),
        // algorithms
        ("    audience:", "    algorithms: [RS256, HS256]\n    audience:", "6:25: issuers.main.algorithms#2: \"HS256\" is not one of RS256, RS384, RS512, PS256"),
        ("    audience:", "    algorithms: none\n    audience:", "6:17: issuers.main.algorithms: \"none\" is not one of RS256"),
        ("    audience:", "    algorithms: rs256\n    audience:", "6:17: issuers.main.algorithms: \"rs256\" is not one of RS256"),
        ("    audience:", "    algorithms: []\n    audience:", "6:5: issuers.main.algorithms: an empty list: name at least one, or leave the key out"),
        // rules
        ("    access:\n      - { allow: signed_in }\n", "", "10:3: routes.app.access: no rule, so everybody is refused"),
        ("{ allow: signed_in }", "{ allow: signed_in, shadow: true }", "13:5: routes.app.access: only shadow rules"),
        ("{ allow: signed_in }", "{ path: /app/x }", "14:9: routes.app.access#1: `allow` is missing"),
        ("{ allow: signed_in }", "{ allow: everyone }", "14:18: routes.app.access#1.allow: `everyone` is no choice here"),
        ("{ allow: signed_in }", "{ allow: {} }", "14:11: routes.app.access#1.allow: a requirement that asks for nothing"),
        ("{ allow: signed_in }", "{ allow: [] }", "14:11: routes.app.access#1.allow: an empty list lets nobody through"),
        ("{ allow: signed_in }", "{ allow: { roles: [] } }", "14:20: routes.app.access#1.allow.roles: an empty list: name at least one"),
        ("{ allow: signed_in }", "{ allow: { roles: ['churn:'] } }", "14:20: routes.app.access#1.allow.roles: `churn:`: write `ROLE` for a realm role"),
        ("{ allow: signed_in }", "{ allow: { claims: { d: {} } } }", "14:30: routes.app.access#1.allow.claims.d: a claim is compared with a text"),
        ("{ allow: signed_in }", "{ roles: [admin], allow: signed_in }", "14:11: routes.app.access#1.roles: unknown key here; write it within `allow: { … }` of a rule"),
        ("{ allow: signed_in }", "{ methods: [get], allow: signed_in }", "14:11: routes.app.access#1.methods: methods are compared letter by letter: write `GET`"),
        ("{ allow: signed_in }", "{ methods: [ALL], allow: signed_in }", "routes.app.access#1.methods: leave `methods` out"),
        ("{ allow: signed_in }", "{ methods: [G!T], allow: signed_in }", "14:11: routes.app.access#1.methods: `G!T`: the method has a character other than"),
        ("{ allow: signed_in }", "{ methods: [TRACE], allow: signed_in }", "routes.app.access#1.methods: `TRACE`: this gateway does not serve the method TRACE"),
        ("{ allow: signed_in }", "{ methods: [GET], allow: signed_in }\n      - { methods: [HEAD], allow: anyone }", "15:9: routes.app.access#2: this rule is never reached: rule 1 takes all"),
        ("{ allow: signed_in }", "{ allow: { emails: [corp.example] } }", "14:20: routes.app.access#1.allow.emails: `corp.example` is no e-mail address"),
        ("{ allow: signed_in }", "{ allow: { email_domains: ['@corp.example'] } }", "routes.app.access#1.allow.email_domains: `@corp.example`: write the domain alone: `corp.example`"),
        ("{ allow: signed_in }", "{ allow: { email_domains: ['*.corp.example'] } }", "routes.app.access#1.allow.email_domains: `*.corp.example`: a domain matches itself only"),
        ("{ allow: signed_in }", "{ allow: { subjects: [a1] } }", "routes.app.access#1.allow.subjects: a subject is unique within one issuer only"),
        ("{ allow: signed_in }", "{ path: /app/a*b, allow: signed_in }", "14:17: routes.app.access#1.path: `*` stands for one whole segment: `a*b` mixes it with text"),
        ("{ allow: signed_in }", "{ path: /app/**/b, allow: signed_in }", "14:17: routes.app.access#1.path: `**` stands at the end only"),
        ("{ allow: signed_in }", "{ path: /other/**, allow: signed_in }", "14:17: routes.app.access#1.path: this rule can never match"),
        ("{ allow: signed_in }", "{ path: /app/**, allow: signed_in }\n      - { path: /app/open, allow: anyone }", "15:9: routes.app.access#2: this rule is never reached: rule 1 takes all"),
    ];
    tell(&cases);
}

#[test]
fn what_this_version_does_not_serve_is_refused_by_name() {
    #[rustfmt::skip]
    let cases = [
        ("session:", "session:\n  store: { redis: { url: 'redis://r:6379' } }", "8:3: session.store: `redis` is not yet supported: "),
        ("routes:", "outbound: { listen: '127.0.0.1:8081' }\nroutes:", "9:1: outbound: `outbound` is not yet supported: "),
        ("routes:", "telemetry: { otlp: 'http://collector:4318' }\nroutes:", "9:20: telemetry.otlp: `telemetry.otlp` is not yet supported: "),
        ("    access:", "    limits: { per_user: { requests_per_second: 50 } }\n    access:", "13:15: routes.app.limits.per_user: `limits.per_user` is not yet supported: "),
        ("signed_in", "{ roles: a, acr: '2' }", "14:35: routes.app.access#1.allow.acr: `acr` is not yet supported: "),
        ("signed_in", "{ roles: a, max_age: 1h }", "14:39: routes.app.access#1.allow.max_age: `max_age` is not yet supported: "),
        ("signed_in", "{ roles: a, hours: { from: '09:00', to: '18:00', zone: Europe/Paris } }", "14:30: routes.app.access#1.allow.hours: `hours` is not yet supported: "),
        ("signed_in", "{ roles: a, when: 'true' }", "14:36: routes.app.access#1.allow.when: `when` is not yet supported: "),
    ];
    tell(&cases);
}

#[test]
fn introspection_needs_a_client_that_proves_itself_an_audience_and_one_issuer() {
    let introspecting = |rest: &str| format!("    introspection: {{}}\n{rest}");
    let secret = "    client_auth: { secret: { file: /run/secrets/gateway } }\n";
    let public = small_with("    client_id", &introspecting("    client_id"));
    let [only] = problems(&public).try_into().unwrap();
    let only: String = only;
    assert!(
        only.contains("issuers.main.introspection: the provider answers no public client"),
        "{only}"
    );

    let login_only = small_with("    audience: [gateway]\n", &introspecting(secret));
    let [only] = problems(&login_only).try_into().unwrap();
    let only: String = only;
    assert!(only.contains("so no bearer token is taken: write `audience: [gateway]`"), "{only}");

    let second = format!(
        "  second:\n    url: https://second.example\n    client_id: gateway\n    audience: [gateway]\n{}session:",
        introspecting(secret)
    );
    let two = small_with("    client_id", &introspecting(&format!("{secret}    client_id")))
        .replace("session:", &second);
    let [only] = problems(&two).try_into().unwrap();
    let only: String = only;
    assert!(only.contains("issuers.second.introspection: `issuers.main` has it too"), "{only}");
}

#[test]
fn a_problem_that_only_follows_from_another_is_not_told() {
    // Without its issuer the rule's name for it, and the need for a login, would look wrong too.
    let text = small_with("client_id: gateway", "client_auth: none")
        .replace("signed_in", "{ issuers: [main] }");
    assert_eq!(problems(&text), ["3:3: issuers.main: `client_id` is missing"]);
    // The second rule stays the second although the first could not be read.
    let text = small_with("{ allow: signed_in }", "{ allow: nobody }\n      - { allow: {} }");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.last().unwrap().starts_with("15:11: routes.app.access#2.allow: "), "{found:#?}");
}

#[test]
fn bearer_tokens_need_an_audience_and_the_way_to_get_one_is_told() {
    let text = small_with("    audience: [gateway]\n", "")
        .replace("signed_in", "{ clients: [airflow-run], scopes: [score] }");
    let [only] = problems(&text).try_into().unwrap();
    let only: String = only;
    assert!(
        only.starts_with("3:3: issuers.main.audience: route `app` takes bearer tokens"),
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
        ("http://app:8000", "http://me:hunter2@app:8000"),
    ] {
        let found = problems(&small_with(old, new));
        assert!(!found.is_empty() && !found.join("\n").contains("hunter2"), "{found:#?}");
    }
}

/// Every key that the documentation shows is known; the ones not served yet are refused, each by name.
#[test]
fn the_file_with_every_key_is_refused_for_what_is_not_served_and_nothing_else() {
    let expected = [
        "33:28: routes.jupyter.limits.per_user",
        "44:46: routes.warehouse-console.access#1.allow.hours",
        "44:143: routes.warehouse-console.access#1.allow.acr",
        "44:157: routes.warehouse-console.access#1.allow.max_age",
        "44:167: routes.warehouse-console.access#1.allow.when",
        "45:1: outbound",
        "50:20: telemetry.otlp",
    ];
    let found = problems(include_str!("every_key.yaml"));
    let keys: Vec<&str> = found
        .iter()
        .map(|line| {
            assert!(line.contains(" is not yet supported: "), "{line}");
            line.split(": `").next().unwrap()
        })
        .collect();
    assert_eq!(keys, expected);
}
