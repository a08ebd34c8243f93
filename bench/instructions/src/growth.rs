//! The same request in a small gateway and in a large one.

use doorward::config::{AccessRule, Config, RouteConfig};

use crate::{
    Cases,
    parts::{Parts, browser, program},
    peers::Client,
    whole::send,
};

/// Requests in a counted run.
const COUNT: usize = 100;

/// Sizes of the large gateway.
struct Sizes {
    routes: usize,
    rules: usize,
    sessions: usize,
    tokens: usize,
}

impl Sizes {
    /// Those that are made in seconds under callgrind.
    const QUICK: Self = Self { routes: 5_000, rules: 200, sessions: 1_000, tokens: 1_000 };
    const LARGE: Self = Self { sessions: 100_000, tokens: 100_000, ..Self::QUICK };
}

pub(crate) fn count(cases: &Cases, parts: &Parts) {
    let sizes = if cases.large { Sizes::LARGE } else { Sizes::QUICK };
    let open = program("/open/data", "X-Nothing: 1");
    for (name, routes) in [("growth-routes-small", 2), ("growth-routes-large", sizes.routes)] {
        if cases.wants(name) {
            let client = Client::new(parts.serve(&with_routes(&parts.config, routes)));
            send(cases, parts, name, COUNT, &client, || vec![open.clone(); COUNT]);
        }
    }
    for (name, rules) in [("growth-rules-small", 1), ("growth-rules-large", sizes.rules)] {
        if cases.wants(name) {
            let client = Client::new(parts.serve(&with_rules(&parts.config, rules)));
            send(cases, parts, name, COUNT, &client, || vec![open.clone(); COUNT]);
        }
    }
    for (name, sessions) in
        [("growth-sessions-small", 1), ("growth-sessions-large", sizes.sessions)]
    {
        if cases.wants(name) {
            let tickets: Vec<String> = (0..sessions).map(|_| parts.ticket()).collect();
            let heads = || {
                tickets
                    .iter()
                    .rev()
                    .cycle()
                    .take(COUNT)
                    .map(|ticket| browser("/closed/data", ticket))
                    .collect()
            };
            let client = Client::new(parts.serve(&parts.config));
            send(cases, parts, name, COUNT, &client, heads);
        }
    }
    for (name, tokens) in [("growth-tokens-small", 1), ("growth-tokens-large", sizes.tokens)] {
        if cases.wants(name) {
            let heads: Vec<String> = (0..tokens)
                .map(|n| {
                    program("/closed/data", &format!("Authorization: Bearer {}", parts.token(n)))
                })
                .collect();
            let client = Client::new(parts.serve(&parts.config));
            parts.runtime.block_on(client.send(heads.clone()));
            let again = || heads.iter().rev().cycle().take(COUNT).cloned().collect();
            send(cases, parts, name, COUNT, &client, again);
        }
    }
}

/// Routes beside the two of the configuration: every second one has a host of its own.
fn with_routes(config: &Config, count: usize) -> Config {
    let mut config = config.clone();
    let model = config.routes.values().next().unwrap().clone();
    for n in config.routes.len()..count {
        let mut route: RouteConfig = model.clone();
        route.matches.path = format!("/models/team-{}/model-{n}", n % 50);
        if n % 2 == 0 {
            route.matches.host = Some(format!("app-{n}.example").parse().unwrap());
        }
        config.routes.insert(format!("model-{n}"), route);
    }
    config
}

/// Rules before the one of the route `open`, each for a path of its own.
fn with_rules(config: &Config, count: usize) -> Config {
    let mut config = config.clone();
    let route = config.routes.get_mut("open").unwrap();
    let last = route.access.last().unwrap().clone();
    route.access = (1..count)
        .map(|n| AccessRule {
            path: Some(format!("/open/part-{n}/**").parse().unwrap()),
            ..last.clone()
        })
        .chain([last.clone()])
        .collect();
    config
}
