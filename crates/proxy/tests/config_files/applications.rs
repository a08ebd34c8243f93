//! Route keys by which an application gets what it wants: fields, credentials, answers, pages of other origins.

use doorward::config::{Config, CorsOrigin, SentGroups, UpstreamCredentials};

use super::{config, expect_each, problems, small_with};

fn route_with(keys: &str) -> String {
    small_with("    access:", &format!("    {keys}\n    access:"))
}

#[test]
fn each_mistake_about_an_application_is_reported() {
    let cases = [
        (
            "identity: { set: { X-User: '{name}' } }",
            "routes.app.identity.set.X-User: unknown placeholder `{name}`; write `{user_name}`, ",
        ),
        (
            "identity: { set: { X-User: '{user_name' } }",
            "routes.app.identity.set.X-User: invalid template `{user_name`: a brace without its partner",
        ),
        (
            "identity: { set: { X-User: alice } }",
            "routes.app.identity.set.X-User: invalid template `alice`: it says nothing about the caller",
        ),
        (
            "identity: { set: { X-User: '{groups},{roles}' } }",
            "routes.app.identity.set.X-User: invalid template `{groups},{roles}`: two values need a character between them",
        ),
        (
            "identity: { set: { X-User: ' {email}' } }",
            "routes.app.identity.set.X-User: invalid template ` {email}`: a header holds ASCII text",
        ),
        ("identity: { set: { X-User: { user_name } } }", "routes.app.identity.set.X-User: "),
        (
            "identity: { set: { X_User: '{email}' } }",
            "routes.app.identity.set.X_User: invalid header name `X_User`: many servers read `_` as `-`; write `X-User`",
        ),
        (
            "identity: { set: { 'X User': '{email}' } }",
            "invalid header name \"X User\"; write letters, digits and `-`",
        ),
        (
            "identity: { set: { X-User: '{email}', x-user: '{subject}' } }",
            "routes.app.identity.set.x-user: invalid header `x-user`: it occurs twice",
        ),
        (
            "identity: { set: { Authorization: '{email}' } }",
            "invalid header `Authorization`: it holds credentials; write `identity.credentials`",
        ),
        ("identity: { set: { Cookie: '{email}' } }", "invalid header `Cookie`: it holds sessions"),
        (
            "identity: { set: { Host: '{email}' } }",
            "invalid header `Host`: it is part of the request's framing",
        ),
        (
            "identity: { set: { Connection: '{email}' } }",
            "invalid header `Connection`: it belongs to one connection",
        ),
        (
            "identity: { set: { Transfer-Encoding: '{email}' } }",
            "invalid header `Transfer-Encoding`: it belongs to one connection",
        ),
        (
            "identity: { set: { Content-Length: '{email}' } }",
            "invalid header `Content-Length`: it describes the body",
        ),
        (
            "identity: { set: { Origin: '{email}' } }",
            "invalid header `Origin`: only browsers write it",
        ),
        (
            "identity: { set: { X-Doorward-Assertion: '{email}' } }",
            "invalid header `X-Doorward-Assertion`: the gateway writes it",
        ),
        (
            "identity: { set: { X-Forwarded-For: '{email}' } }",
            "invalid header `X-Forwarded-For`: the gateway writes these about every request",
        ),
        (
            "identity: { set: { X-Forwarded-User: '{email}' } }",
            "invalid header `X-Forwarded-User`: `identity.headers` writes it; write `headers: false`",
        ),
        (
            "identity: { credentials: { basic: { user: svc, password: hunter2 } } }",
            "routes.app.identity.credentials.basic.password: invalid secret: this file must not contain it",
        ),
        (
            "identity: { credentials: { basic: { user: 'a:b', password: { env: P } } } }",
            "routes.app.identity.credentials.basic.user: invalid user: a user of Basic has no `:`",
        ),
        (
            "identity: { credentials: { bearer: { env: P } }, access_token: true }",
            "routes.app.identity.credentials: invalid value: `identity.access_token` writes `Authorization` too",
        ),
        (
            "bearer: application\n    identity: { credentials: { bearer: { env: P } } }",
            "routes.app.identity.credentials: invalid value: these credentials replace the tokens that `bearer: application` passes on",
        ),
        (
            "headers: { response: { set: { Set-Cookie: a=1 } } }",
            "routes.app.headers.response.set.Set-Cookie: invalid header `Set-Cookie`: the gateway's session cookie is among these",
        ),
        (
            "headers: { response: { remove: [Set-Cookie] } }",
            "routes.app.headers.response.remove: invalid header `Set-Cookie`: the gateway's session cookie",
        ),
        (
            "headers: { response: { set: { Content-Length: '1' } } }",
            "invalid header `Content-Length`: it says how to read the body",
        ),
        (
            "headers: { response: { remove: [Transfer-Encoding] } }",
            "invalid header `Transfer-Encoding`: it belongs to one connection",
        ),
        (
            "headers: { response: { set: { Location: /x } } }",
            "invalid header `Location`: the gateway writes where redirects lead",
        ),
        (
            "headers: { response: { set: { X-A: \"a\\nb\" } } }",
            "routes.app.headers.response.set.X-A: invalid value: a header holds one line of ASCII text",
        ),
        (
            "headers: { response: { set: { X-A: a, x-a: b } } }",
            "routes.app.headers.response.set.x-a: invalid header `x-a`: it occurs twice",
        ),
        (
            "headers: { response: { set: { X-A: a }, remove: x-a } }",
            "routes.app.headers.response.remove: invalid header `x-a`: `set` replaces the upstream's value already",
        ),
        (
            "cors: { origins: 'https://a.example' }\n    headers: { response: { remove: Access-Control-Allow-Origin } }",
            "`cors` of this route writes it, and removes the upstream's already",
        ),
        (
            "cors: { origins: '*', credentials: true }",
            "routes.app.cors.origins: invalid value: with `credentials` every page on the internet could act as the user",
        ),
        (
            "cors: { origins: ['*', 'https://a.example'] }",
            "routes.app.cors.origins: invalid list: `*` is every origin",
        ),
        ("cors: { origins: [] }", "routes.app.cors.origins: invalid list: it is empty"),
        ("cors: { origins: ['null'] }", "routes.app.cors.origins#1: invalid origin `null`"),
        (
            "cors: { origins: ['https://*.example'] }",
            "routes.app.cors.origins#1: invalid origin `https://*.example`",
        ),
        ("cors: { origins: ['https://a.example/'] }", "browsers write `https://a.example`"),
        ("cors: { methods: [GET] }", "routes.app.cors"),
        (
            "cors: { origins: 'https://a.example', methods: [get] }",
            "routes.app.cors.methods: invalid method `get`",
        ),
        (
            "cors: { origins: 'https://a.example', headers: ['x y'] }",
            "routes.app.cors.headers: invalid header name \"x y\"",
        ),
        ("audience: []", "routes.app.audience: invalid list: it is empty"),
        ("audience: ' '", "routes.app.audience: invalid audience: it is empty"),
    ];
    let texts: Vec<String> =
        cases.iter().map(|(keys, _)| format!("    {keys}\n    access:")).collect();
    let cases: Vec<(&str, &str, &str)> = texts
        .iter()
        .zip(&cases)
        .map(|(text, (_, expected))| ("    access:", text.as_str(), *expected))
        .collect();
    expect_each(&cases);
}

#[test]
fn the_keys_of_an_application_are_read() {
    let keys = "identity:
      groups: matching
      set: { X-Remote-User: '{user_name}', X-Remote-Groups: 'g={groups}' }
      credentials: { basic: { user: svc, password: { file: /run/secrets/app } } }
    headers: { response: { set: { X-Frame-Options: DENY }, remove: Server } }
    cors: { origins: ['https://a.example'], credentials: true }
    audience: churn";
    let config = config(&route_with(keys));
    let route = &config.routes["app"];
    let identity = &route.identity;
    assert_eq!(identity.groups, SentGroups::Matching);
    let set: Vec<String> = identity.set.values().map(ToString::to_string).collect();
    assert_eq!(set, ["g={groups}", "{user_name}"]);
    assert!(
        matches!(&identity.credentials, Some(UpstreamCredentials::Basic(basic)) if basic.user == "svc")
    );
    assert!(config.files().contains(std::path::Path::new("/run/secrets/app")));
    assert_eq!(route.headers.response.remove, ["Server"]);
    let cors = route.cors.as_ref().unwrap();
    assert!(cors.credentials && !cors.origins.contains(&CorsOrigin::Any));
    assert_eq!((cors.methods.len(), cors.max_age.as_secs()), (3, 600));
    assert_eq!(route.audience, ["churn"]);
}

#[test]
fn an_identity_header_may_be_filled_when_it_is_off() {
    let keys = "identity: { headers: false, set: { X-Forwarded-User: '{email}' } }";
    assert_eq!(problems(&route_with(keys)), Vec::<String>::new());
}

#[test]
fn an_audience_of_a_route_is_enough_to_take_tokens() {
    let text = route_with("sign_in: challenge\n    audience: [churn]");
    let text = text.replace("    audience: [gateway]\n", "");
    assert_eq!(problems(&text), Vec::<String>::new());
    let generic = route_with("audience: gateway")
        .replace("    client_id: gateway", "    client_id: gateway\n    profile: generic")
        .replace("audience: [gateway]", "audience: [api]");
    let [only] = <[String; 1]>::try_from(problems(&generic)).unwrap();
    assert!(
        only.contains("routes.app.audience: invalid audience `gateway`: it is the `client_id`"),
        "{only}"
    );
}

#[test]
fn credentials_that_cannot_be_sent_are_found_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let key = folder.path().join("key");
    std::fs::write(&key, "k".repeat(40)).unwrap();
    let file = folder.path().join("doorward.yaml");
    let keys =
        format!("identity: {{ credentials: {{ bearer: {{ file: {} }} }} }}", secret.display());
    let text = route_with(&keys)
        .replace("/run/secrets/session-key", key.to_str().unwrap())
        .replace("session:\n", "session:\n  store: cookie\n");
    std::fs::write(&file, text).unwrap();
    let found = || super::findings(Config::load(&file));
    assert!(found()[0].contains("routes.app.identity.credentials: cannot read"), "{:?}", found());
    std::fs::write(&secret, "two words").unwrap();
    let [only] = <[String; 1]>::try_from(found()).unwrap();
    assert!(only.contains("holds more than a token") && !only.contains("two words"), "{only}");
    std::fs::write(&secret, "one-token\n").unwrap();
    assert_eq!(found(), Vec::<String>::new());
}
