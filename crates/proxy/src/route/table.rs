//! Finds the most specific route by looking it up, so that a request costs the same with two routes and with five thousand.
//!
//! A lookup is made for each parent of the host and for each prefix of the path, no deeper than the deepest route.

use std::collections::HashMap;

use http_canonical::CanonicalPath;

use crate::config::HostPattern;

/// Places of routes in their list, by host and path.
#[derive(Debug, Default)]
pub(super) struct Table {
    exact: HashMap<String, Paths>,
    below: HashMap<String, Paths>,
}

/// Places of the routes of one host pattern, by path prefix.
#[derive(Debug, Default)]
struct Paths {
    /// Prefixes as [`is_below`](http_canonical::is_below) compares them, without a slash at the end.
    places: HashMap<String, usize>,
    /// Slashes in the longest prefix.
    depth: usize,
}

impl Table {
    /// The places of routes with these hosts and prefixes, in their order. Of two with the same host and prefix the first counts.
    pub(super) fn new<'r>(
        routes: impl Iterator<Item = (&'r HostPattern, &'r CanonicalPath)>,
    ) -> Self {
        let mut table = Self::default();
        for (place, (host, prefix)) in routes.enumerate() {
            let paths = match host {
                HostPattern::Exact(name) => table.exact.entry(name.clone()),
                HostPattern::Below(parent) => table.below.entry(parent.clone()),
            };
            paths.or_default().add(prefix, place);
        }
        table
    }

    /// The place of the route that owns a host and one reading of a path.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<usize> {
        let exact = self.exact.get(host).and_then(|paths| paths.find(path));
        exact.or_else(|| self.patterns_of(host).find_map(|paths| paths.find(path)))
    }

    /// Whether some route answers to a host.
    pub(super) fn has_host(&self, host: &str) -> bool {
        self.exact.contains_key(host) || self.patterns_of(host).next().is_some()
    }

    /// The wildcards that a host matches, the longest first.
    fn patterns_of(&self, host: &str) -> impl Iterator<Item = &Paths> {
        let host = if self.below.is_empty() { "" } else { host };
        host.match_indices('.')
            .filter(|(dot, _)| *dot > 0)
            .filter_map(|(dot, _)| self.below.get(host.get(dot + 1..)?))
    }
}

impl Paths {
    fn add(&mut self, prefix: &CanonicalPath, place: usize) {
        let prefix = prefix.compared();
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        self.depth = self.depth.max(prefix.matches('/').count());
        self.places.entry(prefix.to_owned()).or_insert(place);
    }

    fn find(&self, path: &str) -> Option<usize> {
        let deepest = path.match_indices('/').nth(self.depth);
        let mut prefix = deepest.map_or(Some(path), |(slash, _)| path.get(..slash));
        while let Some(tried) = prefix {
            if let Some(place) = self.places.get(tried) {
                return Some(*place);
            }
            prefix = tried.rsplit_once('/').map(|(before, _)| before);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http_canonical::is_below;

    use super::*;

    const HOSTS: [&str; 5] =
        ["platform.example", "*.example", "*.apps.example", "x.apps.example", "[::1]"];
    const PREFIXES: [&str; 7] =
        ["/", "/app", "/app/hub", "/app/hub/", "/apple", "/a%40b", "/a@b/c"];

    /// A table finds what the first match in a list finds that is sorted as [`Routes`](crate::route::Routes) sorts it.
    #[test]
    fn a_table_finds_the_first_route_that_matches() {
        // Half of the combinations, so that a host lacks some of the prefixes.
        let mut routes: Vec<(HostPattern, CanonicalPath)> = HOSTS
            .iter()
            .flat_map(|host| PREFIXES.iter().map(move |prefix| (*host, *prefix)))
            .enumerate()
            .filter(|(n, _)| n % 3 != 0)
            .map(|(_, (host, prefix))| (host.parse().unwrap(), prefix.parse().unwrap()))
            .collect();
        routes.sort_by_key(|(host, prefix)| {
            std::cmp::Reverse((host.specificity(), prefix.compared().len()))
        });
        let table = Table::new(routes.iter().map(|(host, prefix)| (host, prefix)));
        let hosts = [
            "platform.example",
            "other.example",
            "x.apps.example",
            "y.apps.example",
            "z.y.apps.example",
            "example",
            "apps.example",
            "evil",
            "[::1]",
            "xexample",
            ".example",
        ];
        let paths = [
            "",
            "/",
            "/app",
            "/app/",
            "/app/x",
            "/app//x",
            "/app/hub",
            "/app/hub/",
            "/app/hub/x/y/z",
            "/apple",
            "/apples",
            "/a@b",
            "/a@b/c",
            "/a@b/c/",
            "/a@bc",
            "/x",
            "//",
            "no-slash",
        ];
        for host in hosts {
            let known = routes.iter().any(|(pattern, _)| pattern.matches(host));
            assert_eq!(table.has_host(host), known, "{host}");
            for path in paths {
                let first = routes
                    .iter()
                    .position(|(own, prefix)| own.matches(host) && is_below(path, prefix));
                assert_eq!(table.find(host, path), first, "{host}{path}");
            }
        }
    }

    #[test]
    fn a_long_path_is_looked_up_no_deeper_than_the_routes() {
        let (host, prefix): (HostPattern, CanonicalPath) =
            ("platform.example".parse().unwrap(), "/app/hub".parse().unwrap());
        let table = Table::new([(&host, &prefix)].into_iter());
        let path = format!("/app/hub{}", "/x".repeat(4_000));
        assert_eq!(table.find("platform.example", &path), Some(0));
        assert_eq!(table.exact["platform.example"].depth, 2);
    }
}
