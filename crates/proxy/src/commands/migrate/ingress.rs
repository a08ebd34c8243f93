//! Ingress objects of Kubernetes whose annotations have ingress-nginx ask an oauth2-proxy or another gateway.

#![expect(clippy::indexing_slicing, reason = "indexing JSON answers null for what is absent")]

use serde_json::{Map, Value, json};
use url::Url;

use super::draft::{Draft, NO_ADDRESS, Route, for_path, no_caller};
use super::patterns::Pattern;
use super::{MigrateError, manifests};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Annotations without an equal, each with the remedy.
const LOST: [(&str, &str); 14] = [
    ("auth-cache-key", "decisions are not cached, they cost no request; omit it"),
    ("auth-proxy-set-headers", "write `identity: { set: … }` on the route"),
    ("auth-realm", "passwords belong to the provider; make the users there"),
    ("auth-secret", "passwords belong to the provider; make the users there"),
    ("auth-snippet", "what nginx does there has no equal; say it in `access`"),
    (
        "auth-tls-secret",
        "client certificates are no sign-in here; keep them at the listener in front",
    ),
    ("auth-type", "passwords belong to the provider; make the users there"),
    ("canary", "upstreams are not weighted; keep the canary behind a Service"),
    ("configuration-snippet", "what nginx does there has no equal; look for the key of the route"),
    ("cors-allow-origin", "write `cors: { origins: […] }` on the route"),
    ("enable-cors", "write `cors: { origins: […] }` on the route"),
    ("limit-rps", "write `limits: { per_user: { requests_per_second: … } }` on the route"),
    ("server-snippet", "what nginx does there has no equal; look for the key of the route"),
    ("permanent-redirect", "redirects are the application's; keep it in front"),
];

const NOT_NEEDED: [&str; 16] = [
    "auth-method",
    "auth-response-headers",
    "auth-signin",
    "auth-signin-redirect-param",
    "backend-protocol",
    "force-ssl-redirect",
    "proxy-body-size",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-connect-timeout",
    "proxy-http-version",
    "proxy-request-buffering",
    "proxy-send-timeout",
    "ssl-redirect",
    "websocket-services",
];

/// Makes the draft.
pub(super) fn draft(texts: &[String]) -> Result<Draft, MigrateError> {
    let mut draft = Draft::new("ingress");
    let mut found = false;
    for text in texts {
        for read in manifests::read("the manifest", text)? {
            let items = read["items"].as_array().cloned().unwrap_or_else(|| vec![read]);
            for item in items.iter().filter(|item| item["kind"] == "Ingress") {
                found = true;
                ingress(item, &mut draft);
            }
        }
    }
    if !found {
        return Err(MigrateError::Nothing { program: "Ingress (no object of that kind)" });
    }
    if draft.public_url.is_none() {
        let host = draft.routes.iter().find_map(|route| route.host.clone());
        draft.public_url =
            host.filter(|host| !host.contains('*')).map(|host| format!("https://{host}"));
    }
    draft.session.insert("store".to_owned(), json!("cookie"));
    draft.task("the manifest does not name the provider: write its URL, the client and its secret into `issuers.main`");
    draft.issuer("https://id.example/realms/main", "gateway");
    let secret = draft.secret("the client's secret", "client-secret");
    draft.main.insert("client_auth".to_owned(), json!({ "secret": secret }));
    Ok(draft)
}

fn ingress(item: &Value, draft: &mut Draft) {
    let mut annotations: Map<String, Value> =
        item["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.retain(|key, _| key.starts_with(PREFIX));
    let mut annotations: Map<String, Value> = annotations
        .into_iter()
        .map(|(key, value)| (key.trim_start_matches(PREFIX).to_owned(), value))
        .collect();
    let namespace = item["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    let name = item["metadata"]["name"].as_str().unwrap_or("ingress").to_owned();
    let mut allow = allow(&mut annotations, &name, draft);
    if restricts(&annotations) {
        draft.task(format!("Ingress {name} refused callers by other means than sign-in: write who is let in, where one address stands that no user has"));
        allow = no_caller();
    }
    let mut keys = Map::new();
    if let Some(size) = text(&annotations, "proxy-body-size").and_then(|size| body(&size)) {
        keys.insert("limits".to_owned(), json!({ "body": size }));
    }
    if let Some(seconds) =
        annotations.remove("proxy-read-timeout").and_then(|value| seconds(&value))
    {
        keys.insert(
            "timeouts".to_owned(),
            json!({ "response_head": format!("{seconds}s"), "idle": format!("{seconds}s") }),
        );
    }
    if let Some(host) = annotations.remove("upstream-vhost").as_ref().and_then(Value::as_str) {
        keys.insert("upstream_host".to_owned(), json!(host));
    }
    let scheme = match text(&annotations, "backend-protocol")
        .unwrap_or_default()
        .to_uppercase()
        .as_str()
    {
        "HTTPS" => {
            draft.weak("backend-protocol: HTTPS", "nginx does not verify the certificate unless told; here it is verified: write `upstream_tls: { ca_file: … }` or `pin`");
            "https"
        }
        "GRPC" => "h2c",
        "GRPCS" => "h2",
        _ => "http",
    };
    if annotations.get("proxy-ssl-verify").and_then(Value::as_str) == Some("off") {
        annotations.remove("proxy-ssl-verify");
        draft.weak("proxy-ssl-verify: off", "certificates are always verified; write `upstream_tls: { ca_file: … }` or `pin` on the route");
    }
    if annotations.remove("whitelist-source-range").is_some() {
        draft.lost(
            "whitelist-source-range",
            "an address proves no identity; keep the filter in front of the gateway",
        );
    }
    let rewrite =
        annotations.remove("rewrite-target").and_then(|value| value.as_str().map(str::to_owned));
    let regex =
        annotations.remove("use-regex").is_some_and(|value| value == "true" || value == true);
    for rule in item["spec"]["rules"].as_array().into_iter().flatten() {
        let host = rule["host"].as_str().map(str::to_owned);
        if host.is_none() {
            draft.task("a rule of the Ingress has no host, and served every host; its route serves the host of `public_url`");
        }
        for path in rule["http"]["paths"].as_array().into_iter().flatten() {
            let mut keys = keys.clone();
            let written = path["path"].as_str().unwrap_or("/");
            let Some(prefix) = prefix(
                written,
                regex || written.contains(['(', '*', '$']),
                rewrite.as_deref(),
                &mut keys,
                draft,
            ) else {
                continue;
            };
            let service = &path["backend"]["service"];
            let (target, port) = match service["name"].as_str() {
                Some(target) => (target, &service["port"]["number"]),
                // The form of networking.k8s.io/v1beta1.
                None => match path["backend"]["serviceName"].as_str() {
                    Some(target) => (target, &path["backend"]["servicePort"]),
                    None => {
                        draft.lost("backend", "one is no Service; write its route by hand");
                        continue;
                    }
                },
            };
            let port = port.as_u64().unwrap_or_else(|| {
                draft.task(format!("the port of Service {target} has a name; write its number into the upstream, where 80 stands"));
                80
            });
            let mut rule = json!({ "allow": allow });
            if path["pathType"] == "Exact" && prefix != "/" {
                rule = for_path(&rule, &prefix);
            }
            let upstream = Some(format!("{scheme}://{target}.{namespace}.svc:{port}"));
            let route = Route {
                host: host.clone(),
                rules: vec![rule],
                keys,
                ..Route::new(&prefix, upstream)
            };
            draft.route(&format!("Ingress {name}"), route);
        }
    }
    if item["spec"].get("defaultBackend").is_some() {
        draft.lost("defaultBackend", "write a route with `path: /` for it");
    }
    annotations.remove("allowlist-source-range");
    annotations.remove("denylist-source-range");
    for (annotation, remedy) in LOST {
        if annotations.remove(annotation).is_some() {
            draft.lost(annotation, remedy);
        }
    }
    for (annotation, _) in
        annotations.iter().filter(|(name, _)| !NOT_NEEDED.contains(&name.as_str()))
    {
        draft.lost(
            annotation,
            "no equal is known; look for it in docs/reference/config.md, or omit it",
        );
    }
}

fn text(annotations: &Map<String, Value>, name: &str) -> Option<String> {
    annotations.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn seconds(value: &Value) -> Option<u64> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim_end_matches('s').parse().ok());
    number.filter(|seconds| (1..=30 * 24 * 3600).contains(seconds))
}

/// A size of nginx; 0 is none.
fn body(size: &str) -> Option<String> {
    let (number, unit) = match size.trim().to_ascii_lowercase() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), "KiB"),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), "MiB"),
        text if text.ends_with('g') => (text.trim_end_matches('g').to_owned(), "GiB"),
        text => (text, "B"),
    };
    number.parse::<u32>().ok().filter(|number| *number > 0).map(|number| format!("{number}{unit}"))
}

/// Annotations that refuse callers for reasons that no rule has.
const RESTRICTS: [&str; 7] = [
    "auth-secret",
    "auth-snippet",
    "auth-tls-secret",
    "auth-type",
    "denylist-source-range",
    "whitelist-source-range",
    "allowlist-source-range",
];

/// Words of nginx that refuse callers.
const REFUSES: [&str; 6] = ["auth_", "deny", "if ", "if(", "limit_except", "return"];

fn restricts(annotations: &Map<String, Value>) -> bool {
    let refuses = |name: &str| {
        let text = text(annotations, name).unwrap_or_default();
        REFUSES.iter().any(|word| text.contains(word))
    };
    RESTRICTS.iter().any(|name| annotations.contains_key(*name))
        || ["configuration-snippet", "server-snippet"].into_iter().any(refuses)
}

/// The callers that an Ingress lets in: those of the gateway that it asks, which has rules of its own.
fn allow(annotations: &mut Map<String, Value>, name: &str, draft: &mut Draft) -> Value {
    let Some(url) = annotations.remove("auth-url") else {
        draft.weak(&format!("Ingress {name}"), "it has no `auth-url`, so that every caller reached it; here users must sign in: write `allow: anyone` where no sign-in is wanted");
        return json!("signed_in");
    };
    draft.task("`auth-url` asks a gateway that has rules of its own: run `doorward migrate oauth2-proxy` on its configuration, and write its `issuers` and the callers of its rules where one address stands that no user has");
    // The URL may hold variables of nginx, which no parser of URLs takes in the host.
    let url = url.as_str().unwrap_or_default().replace(['$', '{', '}'], "x");
    let Ok(url) = Url::parse(&url) else {
        draft.lost("auth-url", "it is no URL; write who is let in");
        return no_caller();
    };
    let mut requirement = Map::from_iter([("emails".to_owned(), json!([NO_ADDRESS]))]);
    for (key, value) in url.query_pairs() {
        let values: Vec<&str> =
            value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        let condition = match &*key {
            "allowed_groups" => "groups",
            "allowed_email_domains" => "email_domains",
            "allowed_emails" => {
                draft.lost(
                    "auth-url",
                    format!("write its `allowed_emails` in `emails`: {}", values.join(", ")),
                );
                continue;
            }
            other => {
                draft.lost(
                    "auth-url",
                    format!("its parameter `{other}` is no condition here; write it in `access`"),
                );
                continue;
            }
        };
        if !values.is_empty() {
            requirement.insert(condition.to_owned(), json!(values));
        }
    }
    Value::Object(requirement)
}

/// The prefix of a path, and its rewrite.
fn prefix(
    written: &str,
    regex: bool,
    rewrite: Option<&str>,
    keys: &mut Map<String, Value>,
    draft: &mut Draft,
) -> Option<String> {
    let by_hand =
        "one path or `rewrite-target` is no removed prefix; write its route with `rewrite` by hand";
    if !regex {
        match rewrite {
            None => {}
            Some("/") if written == "/" => {}
            Some("/") => {
                // nginx sent every path below it to `/`, which few applications want.
                draft.task(format!("`rewrite-target: /` sent every path below {written} to `/`; here the prefix is removed"));
                keys.insert(
                    "rewrite".to_owned(),
                    json!({ "strip_prefix": written.trim_end_matches('/') }),
                );
            }
            Some(_) => {
                draft.lost("rewrite-target", by_hand);
                return None;
            }
        }
        return Some(written.to_owned());
    }
    let anchored = format!("^{}", written.trim_start_matches('^'));
    let Some(pattern) = Pattern::of_regex(&anchored)
        .filter(Pattern::is_open)
        .filter(|pattern| !pattern.literal().contains('*'))
    else {
        draft.lost("path", by_hand);
        return None;
    };
    let prefix =
        if pattern.literal().is_empty() { "/".to_owned() } else { pattern.literal().to_owned() };
    match rewrite {
        None => {}
        Some("/$1" | "/$2") if prefix != "/" => {
            keys.insert("rewrite".to_owned(), json!({ "strip_prefix": prefix }));
        }
        Some("/$1" | "/$2") => {}
        Some(_) => {
            draft.lost("rewrite-target", by_hand);
            return None;
        }
    }
    Some(prefix)
}
