//! `<Location>` sections as rules.

use serde_json::{Map, Value, json};

use super::super::draft::{Draft, NO_ADDRESS, Route, no_caller, origin};
use super::super::patterns::Pattern;
use super::sections::Sites;

/// A section, and what it asks of callers.
#[derive(Default)]
pub(super) struct Location {
    /// None for an expression that no pattern says.
    pub(super) path: Option<String>,
    pub(super) site: usize,
    pub(super) of_files: bool,
    pub(super) openid: bool,
    pub(super) bearer: bool,
    pub(super) challenge: bool,
    /// Set when its requirements cannot be read: it lets no caller in.
    pub(super) unread: bool,
    /// Number of its lists of requirements.
    pub(super) lists: usize,
    pub(super) open: bool,
    pub(super) context: Option<Context>,
    pub(super) requirements: Vec<Map<String, Value>>,
}

/// The list in which a `Require` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Plain,
    Any,
    All,
}

impl Location {
    /// Whether it says who is let in, and so replaces earlier sections.
    fn decides(&self) -> bool {
        let asks = self.openid || self.bearer;
        let says = self.open || self.unread || !self.requirements.is_empty();
        if self.of_files { asks } else { asks || says }
    }
}

/// A requirement that no caller meets.
fn nothing() -> Map<String, Value> {
    Map::from_iter([("emails".to_owned(), json!([NO_ADDRESS]))])
}

/// Reads the words of a `Require`.
pub(super) fn require(
    words: &[String],
    context: Context,
    location: &mut Location,
    draft: &mut Draft,
) {
    location.unread |= location.context.is_some_and(|first| first != context);
    location.context = Some(context);
    let kind = words.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let values = words.get(1..).unwrap_or_default();
    let requirement = match kind.as_str() {
        "valid-user" => Map::new(),
        "all" if values.first().is_some_and(|word| word == "granted") => {
            // Among others that must all hold, it changes nothing.
            location.open |= context != Context::All;
            return;
        }
        "all" => {
            draft.lost(
                "Require all denied",
                "leave the path out of the routes; its rule names an address that no user has",
            );
            nothing()
        }
        "user" => Map::from_iter([("users".to_owned(), json!(values))]),
        "claim" => {
            // Of several values on one line any suffices.
            location.unread |= context == Context::All && values.len() > 1;
            location.requirements.extend(values.iter().map(|value| claim(value, draft)));
            return;
        }
        _ => {
            draft.lost(
                "Require",
                format!(
                    "`{kind}` is no condition here; its rule names an address that no user has"
                ),
            );
            nothing()
        }
    };
    location.requirements.push(requirement);
}

/// `NAME:VALUE` of `Require claim`.
fn claim(written: &str, draft: &mut Draft) -> Map<String, Value> {
    let Some((claim, value)) = written.split_once(':').filter(|_| !written.contains('~')) else {
        draft.lost("Require claim", "an expression (`~`) is no plain value; write `when: 'claims.NAME.startsWith(\"…\")'`; its rule names an address that no user has");
        return nothing();
    };
    let (key, value) = match claim {
        "realm_access.roles" | "roles" => ("roles", json!([value])),
        "groups" => ("groups", json!([value])),
        "scope" => ("scopes", json!([value])),
        other => ("claims", json!({ other: [value] })),
    };
    Map::from_iter([(key.to_owned(), value)])
}

/// The value of `allow` for a section.
fn allow(location: &Location, draft: &mut Draft) -> Value {
    if location.unread {
        draft.lost("Require", "its list holds another one, `RequireNone`, or a section such as `<Limit>`; write the rule by hand, where one address stands that no user has");
        return no_caller();
    }
    if location.open {
        return json!("anyone");
    }
    let mut requirements = location.requirements.clone();
    requirements.dedup();
    if location.context == Some(Context::All) && requirements.len() > 1 {
        requirements = vec![all_of(&requirements, draft)];
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

/// One requirement of several that must all hold.
fn all_of(requirements: &[Map<String, Value>], draft: &mut Draft) -> Map<String, Value> {
    let mut both = Map::new();
    for (key, value) in requirements.iter().flatten() {
        let other = both.get_mut(key).and_then(Value::as_object_mut);
        if let (Some(other), Some(more)) = (other, value.as_object())
            && !more.keys().any(|name| other.contains_key(name))
        {
            other.extend(more.clone());
        } else if both.insert(key.clone(), value.clone()).is_some() {
            draft.lost("RequireAll", format!("two values of `{key}` were both needed, and one is in the rule; write the other in `when`, and remove the address that no user has"));
            both.insert("emails".to_owned(), json!([NO_ADDRESS]));
        }
    }
    both
}

/// Adds a route for each `ProxyPass`, with the rules of its sections.
pub(super) fn routes(sites: &Sites, draft: &mut Draft) {
    let several = sites
        .proxied
        .iter()
        .any(|(site, ..)| Some(site) != sites.proxied.first().map(|(site, ..)| site));
    for (site, path, target) in &sites.proxied {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let Some((upstream, there)) = origin(target) else {
            draft.lost("ProxyPass", "one target is neither `http://host:port` nor `https://host:port`; write its route by hand");
            continue;
        };
        let mut route = Route::new(path, Some(upstream));
        if several {
            route.host = sites.names.get(*site).cloned().flatten();
            if route.host.is_none() {
                draft.lost(
                    "ProxyPass",
                    "one stands in a virtual host without `ServerName`; write its route by hand",
                );
                continue;
            }
        }
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
        rules(&mut route, *site, sites, draft);
        draft.route("ProxyPass", route);
    }
    if sites.proxied.is_empty() {
        draft.task("Apache served the pages itself; it stays behind the gateway, or asks it: write `upstream`, or use forward-auth");
        let mut route = Route::new("/", None);
        let site = sites.locations.iter().map(|location| location.site).max().unwrap_or_default();
        rules(&mut route, site, sites, draft);
        draft.route("Location", route);
    }
}

/// The sections of a site that decide, as Apache merges them: those of virtual hosts after the others, and each replaces the
/// earlier ones at and below its path.
fn deciding(site: usize, sites: &Sites) -> Vec<&Location> {
    let mut all: Vec<&Location> = sites
        .locations
        .iter()
        .filter(|location| location.decides() && (location.site == 0 || location.site == site))
        .collect();
    // Sections of files come before all others.
    all.sort_by_key(|location| (!location.of_files, location.site));
    let replaced = |at: usize, path: &str| {
        let later = all.get(at + 1..).unwrap_or_default();
        later.iter().filter_map(|other| other.path.as_deref()).any(|other| below(path, other))
    };
    let stays = |(at, location): (usize, &&Location)| {
        !location.path.as_deref().is_some_and(|path| replaced(at, path))
    };
    let kept: Vec<bool> = all.iter().enumerate().map(stays).collect();
    all.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(location, _)| location).collect()
}

fn below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.trim_end_matches('/')
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The rules of the sections that apply to a route, the longest path first.
fn rules(route: &mut Route, site: usize, sites: &Sites, draft: &mut Draft) {
    let prefix = route.path.trim_end_matches('/').to_owned();
    let deciding = deciding(site, sites);
    // An expression that opens paths may be left out.
    if deciding.iter().any(|location| location.path.is_none() && !location.open) {
        draft.task("the one rule lets no caller in, since a LocationMatch is not carried over: write its rule, and replace the one by the others");
        route.closed = true;
    }
    let mut applying: Vec<(&str, &Location)> = deciding
        .into_iter()
        .filter_map(|location| Some((location.path.as_deref()?.trim_end_matches('/'), location)))
        .filter(|(path, _)| below(path, &prefix) || below(&prefix, path))
        .collect();
    applying.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    let mut covered = false;
    for (path, location) in applying {
        if covered {
            continue;
        }
        let allow = allow(location, draft);
        if location.challenge {
            route.keys.insert("sign_in".to_owned(), json!("challenge"));
        }
        if path.len() <= prefix.len() {
            route.rules.push(json!({ "allow": allow }));
            covered = true;
        } else if Pattern::new(&format!("{path}/**")).is_some() {
            route.rules.push(json!({ "path": format!("{path}/**"), "allow": allow }));
        } else {
            draft.lost("Location", format!("`{path}` is no path of a rule; write its rule by hand, and replace the one that lets no caller in"));
            route.closed = true;
        }
    }
    if !covered {
        draft.weak("ProxyPass", format!("no section protected all of {}, so that Apache let every caller in there; here users must sign in", route.path));
        route.rules.push(json!({ "allow": "signed_in" }));
    }
}
