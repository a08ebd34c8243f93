//! Upstreams as routes, and the callers that they let in.

#![expect(clippy::indexing_slicing, reason = "indexing JSON answers null for what is absent")]

use serde_json::{Map, Value, json};
use url::Url;

use super::super::draft::{Draft, NO_ADDRESS, Route, for_path, origin};
use super::super::options::Options;
use super::super::patterns::Pattern;

/// Names the host of an issuer that is reached by plain http.
pub(in super::super) fn plain_issuer(draft: &mut Draft) {
    let url = draft.main.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
    let Some(host) = url.as_ref().and_then(Url::host_str) else { return };
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return;
    }
    let host = host.to_owned();
    draft.weak("oidc_issuer_url", "the provider is reached by plain http, so that tokens and the client's secret can be read on the way; use https");
    draft.main.insert("dangerous_allow_http".to_owned(), json!([host]));
}

/// The callers that every route lets in.
pub(super) fn allow(options: &mut Options, draft: &mut Draft) -> Value {
    let domains = options.all("email_domains");
    let everyone = domains.iter().any(|domain| domain == "*");
    let listed = !options.all("authenticated_emails_file").is_empty();
    if listed {
        draft.lost(
            "authenticated_emails_file",
            "list its addresses in `allow: { emails: […] }`, where one stands that no user has",
        );
    }
    let mut groups = options.all("allowed_groups");
    groups.extend(options.all("gitlab_groups"));
    groups.extend(options.all("keycloak_groups"));
    let roles = options.all("allowed_roles");
    let named: Vec<Map<String, Value>> = [("groups", groups), ("roles", roles)]
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| Map::from_iter([(key.to_owned(), json!(values))]))
        .collect();
    let (below, domains): (Vec<String>, Vec<String>) = domains
        .iter()
        .map(|domain| domain.to_lowercase())
        .partition(|domain| domain.starts_with('.') || domain.starts_with("*."));
    if !everyone && !below.is_empty() {
        let remark = format!(
            "`{}` stands for every subdomain; write each in `email_domains`",
            below.join(", ")
        );
        draft.lost("email_domains", remark);
    }
    let people: Vec<(&str, Value)> = if draft.restricted {
        vec![("emails", json!([NO_ADDRESS]))]
    } else if everyone {
        Vec::new()
    } else {
        let mut people = Vec::new();
        if !domains.is_empty() {
            people.push(("email_domains", json!(domains)));
        }
        if listed || domains.is_empty() {
            people.push(("emails", json!([NO_ADDRESS])));
        }
        people
    };
    if everyone && named.is_empty() && !draft.restricted {
        draft.weak("email_domains: *", "every account of the provider is let in; name roles, groups or `email_domains` in the rules");
    }
    if !everyone && domains.is_empty() && below.is_empty() && !listed {
        draft.task("neither `email_domains` nor `authenticated_emails_file` is set; write who is let in, where one address stands that no user has");
    }
    let mut all: Vec<Value> = Vec::new();
    for requirement in if named.is_empty() { vec![Map::new()] } else { named } {
        if people.is_empty() {
            all.push(Value::Object(requirement.clone()));
        }
        for (key, value) in &people {
            let mut both = requirement.clone();
            both.insert((*key).to_owned(), value.clone());
            all.push(Value::Object(both));
        }
    }
    match all.as_slice() {
        [Value::Object(only)] if only.is_empty() => json!("signed_in"),
        [only] => only.clone(),
        _ => Value::Array(all),
    }
}

/// A route for each upstream.
pub(super) fn routes(options: &mut Options, alpha: &Value, allow: &Value, draft: &mut Draft) {
    let rule = json!({ "allow": allow });
    let mut keys = Map::new();
    if ["pass_access_token", "pass_authorization_header", "set_authorization_header"]
        .map(|name| options.is_on(name))
        .contains(&true)
    {
        keys.insert("identity".to_owned(), json!({ "access_token": true }));
        draft.task("the upstream gets the access token in `Authorization: Bearer`, and neither `X-Forwarded-Access-Token` nor the ID token");
    }
    if options.is_on("force_json_errors") {
        keys.insert("sign_in".to_owned(), json!("challenge"));
    }
    if options.switch("pass_host_header") == Some(false) {
        keys.insert("upstream_host".to_owned(), json!("upstream"));
    }
    if let Some(limit) = options.one("upstream_timeout")
        && humantime::parse_duration(&limit).is_ok_and(|limit| !limit.is_zero())
    {
        keys.insert("timeouts".to_owned(), json!({ "response_head": limit }));
    }
    for url in options.all("upstreams") {
        if url.starts_with("file:") {
            draft.lost("upstreams", "files are not served; put a web server behind the route");
            continue;
        }
        let (upstream, path) = match origin(&url) {
            Some((upstream, path)) => (Some(upstream), path),
            None if url.starts_with("static:") => (None, "/".to_owned()),
            None => {
                draft.lost(
                    "upstreams",
                    "one is neither `http://host:port` nor `unix:`; write its route by hand",
                );
                continue;
            }
        };
        let exact = path.len() > 1 && !path.ends_with('/');
        let mut rule = rule.clone();
        if exact && let Some(pattern) = Pattern::new(&path) {
            // Without a slash at its end it was this path alone.
            rule = for_path(&rule, pattern.text());
            draft.task(format!("{path} was that path alone; those below it are refused now: remove `path` from its rule to open them"));
        }
        draft.route(
            "upstreams",
            Route { rules: vec![rule], keys: keys.clone(), ..Route::new(&path, upstream) },
        );
    }
    for upstream in alpha["upstreamConfig"]["upstreams"].as_array().into_iter().flatten() {
        alpha_route(upstream, &rule, &keys, draft);
    }
    if draft.routes.is_empty() {
        draft.route("upstreams", Route { rules: vec![rule], ..Route::new("/", None) });
    }
}

fn alpha_route(upstream: &Value, rule: &Value, keys: &Map<String, Value>, draft: &mut Draft) {
    let option = "upstreamConfig.upstreams";
    let path = upstream["path"].as_str().unwrap_or("/");
    let mut keys = keys.clone();
    let prefix = match path.strip_prefix('^') {
        None => path.to_owned(),
        Some(_) => match Pattern::of_regex(path) {
            Some(pattern) if pattern.is_open() && pattern.text().matches('*').count() == 2 => {
                pattern.literal().to_owned()
            }
            _ => {
                return draft.lost(
                    option,
                    "one has a regular expression for a path; write its route by hand",
                );
            }
        },
    };
    match upstream["rewriteTarget"].as_str() {
        None | Some("") => {}
        Some("/$1") if path.ends_with("/(.*)$") || path.ends_with("/(.*)") => {
            keys.insert("rewrite".to_owned(), json!({ "strip_prefix": prefix }));
        }
        Some(_) => return draft.lost(option, "one has a `rewriteTarget` that is no removed prefix; write its route with `rewrite` by hand"),
    }
    if upstream["passHostHeader"] == json!(false) {
        keys.insert("upstream_host".to_owned(), json!("upstream"));
    }
    if upstream["insecureSkipTLSVerify"] == json!(true) {
        draft.weak("insecureSkipTLSVerify", "certificates are always verified; write `upstream_tls: { ca_file: … }` or `pin` on the route");
    }
    if let Some(limit) = upstream["timeout"].as_str()
        && humantime::parse_duration(limit).is_ok_and(|limit| !limit.is_zero())
    {
        keys.insert("timeouts".to_owned(), json!({ "response_head": limit }));
    }
    let target = if upstream["static"] == json!(true) {
        None
    } else {
        match upstream["uri"].as_str().and_then(origin) {
            Some((target, path)) => {
                if path != "/" && path.trim_end_matches('/') != prefix.trim_end_matches('/') {
                    draft.task(format!("the upstream of {prefix} had a path of its own; write `rewrite: {{ add_prefix: … }}` there"));
                }
                Some(target)
            }
            None => {
                return draft.lost(
                    option,
                    "one is neither `http://host:port` nor `unix:`; write its route by hand",
                );
            }
        }
    };
    let mut rule = rule.clone();
    if !path.starts_with('^') && path.len() > 1 && !path.ends_with('/') {
        rule = for_path(&rule, &prefix);
    }
    draft.route(option, Route { rules: vec![rule], keys, ..Route::new(&prefix, target) });
}

/// Rules for the paths that needed no sign-in.
pub(super) fn skipped(options: &mut Options, draft: &mut Draft) {
    for (option, written) in [
        ("skip_auth_routes", options.all("skip_auth_routes")),
        ("skip_auth_regex", options.all("skip_auth_regex")),
    ] {
        for entry in written {
            let (method, regex) = match entry.split_once('=') {
                Some((method, regex))
                    if method.chars().all(|c| c.is_ascii_uppercase() || c == '!') =>
                {
                    (method, regex)
                }
                _ => ("", entry.as_str()),
            };
            if method.ends_with('!') || regex.starts_with('=') {
                draft.lost(
                    option,
                    format!(
                        "`{entry}` skips all but some paths; write a rule for each of the others"
                    ),
                );
                continue;
            }
            let methods: Vec<String> =
                if method.is_empty() { Vec::new() } else { vec![method.to_owned()] };
            match Pattern::of_regex(regex) {
                Some(pattern) => {
                    if pattern.narrower {
                        draft.weak(option, format!("`{regex}` matched more than it says; only {} is open here", pattern.text()));
                    }
                    draft.open(option, &methods, &pattern);
                }
                None if !regex.starts_with('^') => draft.weak(option, format!("`{regex}` is not anchored, so that it opened every path that contains it; no path is open here: write `{{ path: …, allow: anyone }}`")),
                None => draft.lost(option, format!("`{regex}` is no path pattern; write `{{ path: …, allow: anyone }}` for each path")),
            }
        }
    }
}
