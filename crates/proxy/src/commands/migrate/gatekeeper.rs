//! Keycloak Gatekeeper and Louketo: one YAML file with `resources`.

use serde_json::{Map, Value, json};
use url::Url;

use super::MigrateError;
use super::draft::{Draft, Route, origin};
use super::patterns::Pattern;

/// Keys without an equal, each with the remedy.
const LOST: [(&str, &str); 17] = [
    ("add-claims", "write `identity: { set: { X-Auth-NAME: \"{claims.NAME}\" } }` on the route"),
    ("cors-origins", "write `cors: { origins: […] }` on the route"),
    ("enable-csrf", "the session cookie is `SameSite`; keep the application's own protection"),
    ("enable-encrypted-token", "tokens never reach the browser; omit it"),
    (
        "enable-refresh-tokens",
        "sessions are always refreshed while the provider allows it; omit it",
    ),
    ("enable-session-cookies", "a session ends after `session.idle`; omit it"),
    (
        "enable-token-header",
        "write `identity: { access_token: true }`; the token is in `Authorization`",
    ),
    ("encryption-key", "the session key is a new one, since the formats differ"),
    (
        "forwarding-domains",
        "the signing forward proxy has no equal; use the token endpoint with `doorward token`",
    ),
    (
        "headers",
        "write `headers: { response: { set: … } }` for answers; the upstream gets `X-Forwarded-*`",
    ),
    ("hostnames", "only the hosts of routes are served; omit it"),
    (
        "letsencrypt-cache-dir",
        "certificates are files; have another program renew them, they are read again",
    ),
    ("localhost-metrics", "metrics are on the admin listener; omit it"),
    ("sign-in-page", "pages have no templates; omit it"),
    ("forbidden-page", "pages have no templates; omit it"),
    ("store-url", "write `session: { store: { redis: { url: … } } }`"),
    (
        "tls-client-certificate",
        "write `upstream_tls: { client_certificate: …, client_key: … }` on the route",
    ),
];

const NOT_NEEDED: [&str; 14] = [
    "enable-authorization-cookies",
    "enable-authorization-header",
    "enable-compression",
    "enable-json-logging",
    "enable-login-handler",
    "enable-logging",
    "enable-metrics",
    "enable-request-id",
    "enable-security-filter",
    "preserve-host",
    "request-id-header",
    "http-only-cookie",
    "verbose",
    "upstream-keepalives",
];

/// Switches that weaken a check, each with what became of it.
const WEAK: [(&str, &str); 5] = [
    (
        "skip-openid-provider-tls-verify",
        "certificates are always verified; write `issuers.main.ca_file` for a CA of your own",
    ),
    (
        "skip-upstream-tls-verify",
        "certificates are always verified; write `upstream_tls: { ca_file: … }` or `pin` on the route",
    ),
    ("skip-token-verification", "tokens are always verified"),
    (
        "skip-access-token-clientid-check",
        "the audience is always compared; write each accepted one in `issuers.main.audience`",
    ),
    ("skip-access-token-issuer-check", "the issuer is always compared"),
];

/// Makes the draft.
pub(super) fn draft(texts: &[String]) -> Result<Draft, MigrateError> {
    let mut keys = Map::new();
    for text in texts {
        let read = crate::config::read_yaml("the configuration", text)
            .map_err(|reason| MigrateError::Unreadable { reason })?;
        if let Value::Object(read) = read {
            keys.extend(read);
        }
    }
    if !["discovery-url", "client-id", "resources", "upstream-url"]
        .iter()
        .any(|key| keys.contains_key(*key))
    {
        return Err(MigrateError::Nothing { program: "Gatekeeper" });
    }
    let mut draft = Draft::new("gatekeeper");
    provider(&mut keys, &mut draft);
    listeners(&mut keys, &mut draft);
    routes(&mut keys, &mut draft);
    for (key, remark) in WEAK {
        if keys.remove(key) == Some(Value::Bool(true)) {
            draft.weak(key, remark);
        }
    }
    if keys.remove("secure-cookie") == Some(Value::Bool(false)) {
        draft.weak("secure-cookie: false", "the session cookie went over plain http; here it is `Secure` whenever `public_url` is https");
    }
    if keys.remove("no-redirects") == Some(Value::Bool(true)) {
        for route in &mut draft.routes {
            route.keys.insert("sign_in".to_owned(), json!("challenge"));
        }
    }
    for (key, remedy) in LOST {
        if keys.remove(key).is_some_and(|value| value != Value::Bool(false)) {
            draft.lost(key, remedy);
        }
    }
    for (key, _) in keys.into_iter().filter(|(key, _)| !NOT_NEEDED.contains(&key.as_str())) {
        draft.lost(&key, "no equal is known; look for it in docs/reference/config.md, or omit it");
    }
    Ok(draft)
}

fn text(keys: &mut Map<String, Value>, key: &str) -> Option<String> {
    keys.remove(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn provider(keys: &mut Map<String, Value>, draft: &mut Draft) {
    let client = text(keys, "client-id").unwrap_or_else(|| "gateway".to_owned());
    if let Some(url) = text(keys, "discovery-url") {
        let url = url.trim_end_matches('/').trim_end_matches("/.well-known/openid-configuration");
        draft.issuer(url, &client);
        if url.starts_with("http:") {
            super::oauth2_proxy::plain_issuer(draft);
        }
    } else {
        draft.task("write the URL of your realm into `issuers.main.url`");
        draft.issuer("https://id.example/realms/main", &client);
    }
    let auth = match text(keys, "client-secret") {
        Some(_) => json!({ "secret": draft.secret("client-secret", "client-secret") }),
        None => json!("none"),
    };
    draft.main.insert("client_auth".to_owned(), auth);
    draft.audience(vec![client], "client-id");
    if let Some(scopes) = keys.remove("scopes").and_then(|scopes| scopes.as_array().cloned()) {
        let mut all = vec![json!("openid")];
        all.extend(scopes.into_iter().filter(|scope| *scope != json!("openid")));
        draft.main.insert("scopes".to_owned(), Value::Array(all));
    }
    if let Some(file) = text(keys, "openid-provider-ca") {
        draft.main.insert("ca_file".to_owned(), json!(file));
    }
}

fn listeners(keys: &mut Map<String, Value>, draft: &mut Draft) {
    let address = |written: &str| match written.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => written.to_owned(),
    };
    for key in ["listen", "listen-http"] {
        let Some(written) = text(keys, key) else { continue };
        if address(&written).parse::<std::net::SocketAddr>().is_err() {
            draft.lost(key, "it is no address and port; write `listen`");
        } else if draft.listen.is_empty() {
            draft.listen.push(address(&written));
        }
    }
    if let Some(written) = text(keys, "listen-admin").map(|written| address(&written))
        && written.parse::<std::net::SocketAddr>().is_ok()
    {
        draft.admin = Some(written);
    }
    if let Some(url) =
        text(keys, "redirection-url").and_then(|url| Url::parse(&url).ok()).filter(Url::has_host)
    {
        let origin = url.origin().ascii_serialization();
        draft.task(format!("register the redirect URI {origin}/oauth2/callback at the provider; it was /oauth/callback"));
        draft.public_url = Some(origin);
    }
    if let Some((certificate, key)) = text(keys, "tls-cert").zip(text(keys, "tls-private-key")) {
        draft.tls = Some(json!({ "certificate": certificate, "key": key }));
    }
    if let Some(domain) = text(keys, "cookie-domain") {
        drop(domain);
        draft.lost("cookie-domain", "a session belongs to the host of `public_url`; for sibling hosts read about `session.dangerous_cookie_domain`");
    }
    draft.session.insert("store".to_owned(), json!("cookie"));
    if let Some(limit) = text(keys, "access-token-duration") {
        drop(limit);
        draft.lost(
            "access-token-duration",
            "the provider decides; a session ends after `session.idle` and `session.lifetime`",
        );
    }
}

fn routes(keys: &mut Map<String, Value>, draft: &mut Draft) {
    let upstream = text(keys, "upstream-url").unwrap_or_default();
    let (target, path) = match origin(&upstream) {
        Some((target, path)) => (Some(target), path),
        None => {
            draft.task("write the upstream of the route");
            (Some("http://127.0.0.1:8080".to_owned()), "/".to_owned())
        }
    };
    let mut route = Route::new("/", target);
    if path != "/" {
        route
            .keys
            .insert("rewrite".to_owned(), json!({ "add_prefix": path.trim_end_matches('/') }));
    }
    if let Some(file) = text(keys, "upstream-ca") {
        route.keys.insert("upstream_tls".to_owned(), json!({ "ca_file": file }));
    }
    let mut claims = match_claims(keys, draft);
    let resources =
        keys.remove("resources").and_then(|all| all.as_array().cloned()).unwrap_or_default();
    // The longest path was matched first.
    let mut rules: Vec<(usize, Map<String, Value>)> = Vec::new();
    let mut whole = true;
    for resource in &resources {
        match rule(resource, &claims, draft) {
            Ok(rule) => rules.push(rule),
            // One that lets in every caller may be left out.
            Err(Unsaid) => whole &= resource["white-listed"] == json!(true),
        }
    }
    if keys.remove("enable-uma") == Some(Value::Bool(true)) {
        draft.lost("enable-uma", "permissions of UMA have no equal; write who is let in");
        whole = false;
    }
    rules.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let mut rules: Vec<Value> = rules.into_iter().map(|(_, rule)| Value::Object(rule)).collect();
    rules.dedup();
    let all_paths = |rule: &Value| rule.get("path").is_none() && rule.get("methods").is_none();
    if !rules.iter().any(all_paths) {
        if keys.remove("enable-default-deny") == Some(Value::Bool(true))
            || keys.remove("enable-default-deny-strict") == Some(Value::Bool(true))
        {
            let allow = if claims.is_empty() {
                json!("signed_in")
            } else {
                Value::Object(std::mem::take(&mut claims))
            };
            rules.push(json!({ "allow": allow }));
        } else {
            draft.weak("enable-default-deny", "it is off, so that every path without a resource was open to every caller; here such paths are refused: write a rule for each");
        }
    }
    if let Some(last) = rules.iter().position(all_paths) {
        rules.truncate(last + 1);
    }
    if rules.is_empty() {
        rules.push(json!({ "allow": "signed_in" }));
    }
    for key in ["enable-default-deny", "enable-default-deny-strict"] {
        keys.remove(key);
    }
    if !whole {
        draft.task("the one rule lets no caller in, since a resource is not carried over whole: write its rule, and replace the one by the others");
        route.closed = true;
    }
    route.rules = rules;
    draft.route("upstream-url", route);
}

/// Claims that every request had to have.
fn match_claims(keys: &mut Map<String, Value>, draft: &mut Draft) -> Map<String, Value> {
    let mut plain = Map::new();
    for (claim, value) in
        keys.remove("match-claims").and_then(|all| all.as_object().cloned()).unwrap_or_default()
    {
        let text = value.as_str().unwrap_or_default();
        let inner = text.strip_prefix('^').unwrap_or(text);
        let inner = inner.strip_suffix('$').unwrap_or(inner);
        if claim == "aud" || claim == "iss" {
            continue;
        }
        if !inner.is_empty()
            && inner
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@' | '/' | ' '))
        {
            if inner.len() + 2 != text.len() {
                draft.weak("match-claims", format!("the expression for `{claim}` was not anchored, so that it matched other values too; here the claim must equal it"));
            }
            plain.insert(claim, json!([inner]));
        } else {
            draft.lost("match-claims", format!("the expression for `{claim}` is no plain value; write `when: 'claims.{claim}.startsWith(\"…\")'`, or its values"));
            // Without it, the rules would let in more callers.
            plain.insert(claim, json!(["replace-me"]));
        }
    }
    if plain.is_empty() {
        plain
    } else {
        Map::from_iter([("claims".to_owned(), Value::Object(plain))])
    }
}

/// A resource that no rule can say.
struct Unsaid;

/// The rule of a resource, with the length of its path.
fn rule(
    resource: &Value,
    claims: &Map<String, Value>,
    draft: &mut Draft,
) -> Result<(usize, Map<String, Value>), Unsaid> {
    let uri = resource["uri"].as_str().unwrap_or("/*");
    let prefix = uri.trim_end_matches('*');
    let mut rule = Map::new();
    if !matches!(uri, "/*" | "/**") {
        let open = uri.ends_with('*');
        let text =
            if open { format!("{}/**", prefix.trim_end_matches('/')) } else { uri.to_owned() };
        let Some(pattern) = Pattern::new(&text) else {
            draft.lost("resources", format!("`{uri}` is no path pattern; write its rule by hand"));
            return Err(Unsaid);
        };
        if open && !prefix.ends_with('/') {
            let remedy = format!(
                "`{uri}` matched longer names too; write a rule for each, such as {}",
                pattern.text()
            );
            draft.weak("resources", remedy);
            if resource["white-listed"] != json!(true) {
                return Err(Unsaid);
            }
        }
        if !resource["headers"].is_null() {
            draft.lost(
                "resources",
                format!(
                    "`{uri}` asked for header fields, which no rule reads; write its rule by hand"
                ),
            );
            return Err(Unsaid);
        }
        rule.insert("path".to_owned(), pattern.text().into());
    }
    if let Some(methods) = resource["methods"].as_array() {
        let any = methods.iter().any(|method| method == "ANY");
        if !any && !methods.is_empty() {
            rule.insert("methods".to_owned(), Value::Array(methods.clone()));
        }
    }
    let allow = if resource["white-listed"] == json!(true) {
        json!("anyone")
    } else {
        let mut allow = claims.clone();
        let roles: Vec<&str> =
            resource["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let any = resource["require-any-role"] == json!(true);
        match roles.as_slice() {
            [] => {}
            [_] => drop(allow.insert("roles".to_owned(), json!(roles))),
            _ if any => drop(allow.insert("roles".to_owned(), json!(roles))),
            [first, others @ ..] => {
                // All of them were needed, and of a list any suffices.
                allow.insert("roles".to_owned(), json!([first]));
                let others: Vec<String> = others.iter().map(|role| has_role(role)).collect();
                allow.insert("when".to_owned(), others.join(" && ").into());
            }
        }
        if let Some(groups) = resource["groups"].as_array().filter(|groups| !groups.is_empty()) {
            allow.insert("groups".to_owned(), Value::Array(groups.clone()));
        }
        if allow.is_empty() { json!("signed_in") } else { Value::Object(allow) }
    };
    rule.insert("allow".to_owned(), allow);
    Ok((prefix.len(), rule))
}

/// A condition that the caller has a role.
fn has_role(role: &str) -> String {
    let quoted = |text: &str| json!(text).to_string();
    match role.split_once(':') {
        Some((client, role)) => {
            format!("{} in claims.resource_access[{}].roles", quoted(role), quoted(client))
        }
        None => format!("{} in claims.realm_access.roles", quoted(role)),
    }
}
