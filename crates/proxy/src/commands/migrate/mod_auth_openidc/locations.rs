//! `<Location>` sections as rules.

use serde_json::{Map, Value, json};

use super::super::draft::{Draft, Route, origin};
use super::super::patterns::Pattern;

/// A section, and what it asks of callers.
#[derive(Default)]
pub(super) struct Location {
    pub(super) path: Option<String>,
    pub(super) openid: bool,
    pub(super) bearer: bool,
    pub(super) open: bool,
    pub(super) requirements: Vec<Map<String, Value>>,
    pub(super) all: bool,
    pub(super) challenge: bool,
}

/// Reads the words of a `Require`.
pub(super) fn require(words: &[String], location: &mut Location, draft: &mut Draft) {
    let mut requirement = Map::new();
    let kind = words.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let values = words.get(1..).unwrap_or_default();
    match kind.as_str() {
        "valid-user" => {}
        "all" if values.first().is_some_and(|word| word == "granted") => {
            location.open = true;
            return;
        }
        "all" => {
            requirement.insert("users".to_owned(), json!(["replace-me"]));
            draft.lost(
                "Require all denied",
                "leave the path out of the routes; one rule names a user that does not exist",
            );
        }
        "user" => drop(requirement.insert("users".to_owned(), json!(values))),
        "claim" => {
            for value in values {
                let plain = value.split_once(':').filter(|_| !value.contains('~'));
                let Some((claim, value)) = plain else {
                    draft.lost("Require claim", "an expression (`~`) is no plain value; write `when: 'claims.NAME.startsWith(\"…\")'`; one rule names a user that does not exist");
                    requirement.insert("users".to_owned(), json!(["replace-me"]));
                    continue;
                };
                let mut one = Map::new();
                match claim {
                    "realm_access.roles" | "roles" => {
                        drop(one.insert("roles".to_owned(), json!([value])))
                    }
                    "groups" => drop(one.insert("groups".to_owned(), json!([value]))),
                    "scope" => drop(one.insert("scopes".to_owned(), json!([value]))),
                    other => drop(one.insert("claims".to_owned(), json!({ other: [value] }))),
                }
                // Of several values on one line any suffices.
                location.requirements.push(one);
            }
            if requirement.is_empty() {
                return;
            }
        }
        _ => {
            draft.lost(
                "Require",
                format!("`{kind}` is no condition here; one rule names a user that does not exist"),
            );
            requirement.insert("users".to_owned(), json!(["replace-me"]));
        }
    }
    location.requirements.push(requirement);
}

/// The value of `allow` for a section.
fn allow(location: &Location, draft: &mut Draft) -> Value {
    if location.open {
        return json!("anyone");
    }
    let mut requirements = location.requirements.clone();
    requirements.dedup();
    if location.all && requirements.len() > 1 {
        let mut both = Map::new();
        for requirement in &requirements {
            for (key, value) in requirement {
                if both.insert(key.clone(), value.clone()).is_some() {
                    draft.lost("RequireAll", format!("two values of `{key}` were both needed, and one is in the rule; write the other in `when`"));
                    both.insert("users".to_owned(), json!(["replace-me"]));
                }
            }
        }
        requirements = vec![both];
    }
    // `valid-user` among alternatives lets every user in.
    if requirements.iter().any(Map::is_empty) {
        return json!("signed_in");
    }
    match requirements.as_slice() {
        [] => json!("signed_in"),
        [only] => json!(only),
        _ => json!(requirements),
    }
}

/// Adds a route for each `ProxyPass`, with the rules of its sections.
pub(super) fn routes(proxied: Vec<(String, String)>, locations: &[Location], draft: &mut Draft) {
    for (path, target) in &proxied {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let Some((upstream, there)) = origin(target) else {
            draft.lost("ProxyPass", "one target is neither `http://host:port` nor `https://host:port`; write its route by hand");
            continue;
        };
        let mut route = Route::new(path, Some(upstream));
        let there = there.trim_end_matches('/');
        if there != path.trim_end_matches('/') {
            let mut rewrite = Map::new();
            if path != "/" {
                rewrite.insert("strip_prefix".to_owned(), json!(path));
            }
            if !there.is_empty() {
                rewrite.insert("add_prefix".to_owned(), json!(there));
            }
            if !rewrite.is_empty() {
                route.keys.insert("rewrite".to_owned(), Value::Object(rewrite));
            }
        }
        rules(&mut route, locations, draft);
        draft.route("ProxyPass", route);
    }
    if proxied.is_empty() {
        draft.task("Apache served the pages itself; it stays behind the gateway, or asks it: write `upstream`, or use forward-auth");
        let mut route = Route::new("/", None);
        rules(&mut route, locations, draft);
        draft.route("Location", route);
    }
}

/// The rules of the sections that apply to a route, the longest path first.
fn rules(route: &mut Route, locations: &[Location], draft: &mut Draft) {
    let prefix = route.path.trim_end_matches('/').to_owned();
    let mut applying: Vec<(String, &Location)> = Vec::new();
    for location in locations {
        let Some(path) = &location.path else { continue };
        let path = path.trim_end_matches('/').to_owned();
        let below = |path: &str, prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if below(&path, &prefix) || below(&prefix, &path) {
            applying.push((path, location));
        }
    }
    applying.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    let mut covered = false;
    for (path, location) in applying {
        if !location.openid
            && !location.bearer
            && !location.open
            && location.requirements.is_empty()
        {
            continue;
        }
        let allow = allow(location, draft);
        if location.challenge {
            route.keys.insert("sign_in".to_owned(), json!("challenge"));
        }
        if path.len() <= prefix.len() {
            if !covered {
                route.rules.push(json!({ "allow": allow }));
            }
            covered = true;
        } else {
            let rule = json!({ "path": format!("{path}/**"), "allow": allow });
            if Pattern::new(&format!("{path}/**")).is_some()
                && route.rules.iter().all(|other| other["path"] != rule["path"])
            {
                route.rules.push(rule);
            }
        }
    }
    if !covered {
        draft.weak("ProxyPass", format!("no section protected all of {}, so that Apache let every caller in there; here users must sign in", route.path));
        route.rules.push(json!({ "allow": "signed_in" }));
    }
}
