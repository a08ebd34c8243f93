//! Routes and rules: a server that reads a path in its own way serves nothing that another route or rule decides about.

use std::sync::LazyLock;

use access_policy::{AccessRequest, Caller, Decision};
use http_canonical::{CanonicalMethod, CanonicalPath, Keep};

use crate::{
    gateway::{Config, Routes, routes},
    input::{Dice, seed},
};

/// Routes without upstreams, as for forward-auth. The table [`SITE`] has the same content.
const FILE: &str = r"
public_url: https://platform.example
trusted_proxies: 10.0.0.0/8
issuers: { main: { url: https://id.example, client_id: hub, client_auth: none } }
session: { key: { env: SESSION_KEY } }
routes:
  home: { match: { path: / }, access: [ { path: /open/**, allow: anyone }, { allow: signed_in } ] }
  admin: { match: { path: /admin }, access: [ { allow: signed_in } ] }
  cafe: { match: { path: /caf%C3%A9 }, access: [ { allow: signed_in } ] }
  mail: { match: { path: /a@b }, access: [ { path: '/a@b/x:y', allow: signed_in }, { allow: anyone } ] }
  files:
    match: { path: /files }
    paths: { encoded_slash: keep, double_slash: keep }
    access:
      - { path: /files/secret/**, allow: signed_in }
      - { path: /files/*/x, allow: signed_in }
      - { path: /files/a%20b, allow: signed_in }
      - { path: /files/m;v, allow: signed_in }
      - { path: /files/n%23o, allow: signed_in }
      - { allow: anyone }
  private: { match: { path: /files/private }, access: [ { allow: signed_in } ] }
";

/// Name, prefix, and the paths of the rules, with every character plain.
type Site = [(&'static str, &'static str, &'static [&'static str]); 6];

const SITE: Site = [
    ("private", "/files/private", &["/**"]),
    (
        "files",
        "/files",
        &["/files/secret/**", "/files/*/x", "/files/a b", "/files/m;v", "/files/n#o", "/**"],
    ),
    ("admin", "/admin", &["/**"]),
    ("cafe", "/café", &["/**"]),
    ("mail", "/a@b", &["/a@b/x:y", "/**"]),
    ("home", "/", &["/open/**", "/**"]),
];

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let loaded = Config::parse("site.yaml", FILE).unwrap_or_else(|problems| panic!("{problems}"));
    routes(&loaded.config).unwrap()
});

/// The path of a request.
pub fn route(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let Ok(path) = CanonicalPath::parse(raw, Keep::ALL) else { return };
    let host = "platform.example".parse().unwrap();
    let Ok(route) = ROUTES.choose(&host, &path) else { return };
    let (get, anonymous) = (CanonicalMethod::GET, Caller::Anonymous);
    let request = AccessRequest::new(&get, &path);
    let rule = match route.policy.decide(&request, &anonymous) {
        Decision::Allow { rule, .. } | Decision::SignIn { rule } => Some(rule),
        Decision::Deny { rule, .. } => rule,
        Decision::Ambiguous { .. } => return,
    };
    let explained = route.policy.explain(&request, &anonymous);
    let decided = explained.last().filter(|step| step.applies).map(|step| step.rule);
    assert_eq!(decided, rule, "another rule is explained");
    let mut dice = Dice(seed(data));
    for server in 0..32 {
        let steps = Steps::nth(server, &mut dice);
        let served = steps.serve(path.as_str());
        let judged = judge(&served);
        let expected = (route.name.as_str(), rule);
        assert_eq!(judged, expected, "{path} is served as {served:?} by {steps:?}");
    }
}

/// The route and the rule of a path as a server reads it, by the table.
fn judge(served: &[Vec<u8>]) -> (&'static str, Option<usize>) {
    let (name, _, rules) = SITE
        .into_iter()
        .find(|(_, prefix, _)| {
            let prefix = segments(prefix.as_bytes());
            served.len() >= prefix.len()
                && served.iter().zip(&prefix).all(|(one, other)| one == other)
        })
        .unwrap();
    (name, rules.iter().position(|rule| applies(rule, served)).map(|place| place + 1))
}

fn applies(rule: &str, served: &[Vec<u8>]) -> bool {
    let pattern = segments(rule.as_bytes());
    let mut left = served.iter();
    for own in &pattern {
        match &own[..] {
            b"**" => return true,
            b"*" => match left.next() {
                Some(segment) if !segment.is_empty() => {}
                _ => return false,
            },
            literal if left.next().is_some_and(|segment| segment == literal) => {}
            _ => return false,
        }
    }
    left.next().is_none()
}

/// The segments of a path; one slash at the end adds none.
fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

/// Steps of a server on a path before it looks for the resource.
#[derive(Debug)]
struct Steps(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Decodes each `%XX` once.
    Decode,
    /// Takes a backslash for a slash.
    Backslash,
    /// Drops what follows `;` in a segment.
    Parameters,
    /// Ends the path at `?` or `#`.
    End,
    /// Folds `//`.
    Fold,
    /// Removes `.` and `..`.
    Dots,
    /// Splits at slashes. Decoding after this makes no segments.
    Split,
}

impl Steps {
    /// Well-known servers first, then random ones that decode at most twice.
    fn nth(server: usize, dice: &mut Dice) -> Self {
        use Step::*;
        let known: &[Step] = match server {
            // Segment by segment, as most frameworks.
            0 => &[Split, Decode],
            // WSGI, CGI and PHP: decoded before the application splits it.
            1 => &[Decode, Split],
            // nginx
            2 => &[Decode, Fold, Dots, Split],
            // Servlet containers
            3 => &[Parameters, Decode, Dots, Fold, Split],
            4 => &[Decode, Parameters, Fold, Dots, Split],
            // IIS and file servers on Windows
            5 => &[Decode, Backslash, Dots, Fold, Split],
            6 => &[Decode, Decode, Backslash, Dots, Fold, Split],
            7 => &[Decode, End, Split],
            _ => {
                const ANY: [Step; 7] = [Decode, Backslash, Parameters, End, Fold, Dots, Split];
                let mut steps: Vec<Step> = Vec::new();
                let mut decoded = 0;
                for _ in 0..8 {
                    let step = ANY[dice.below(ANY.len())];
                    decoded += usize::from(step == Decode);
                    if decoded <= 2 && !steps.contains(&Split) {
                        steps.push(step);
                    }
                }
                if !steps.contains(&Split) {
                    steps.push(Split);
                }
                if !steps.contains(&Decode) {
                    steps.push(Decode);
                }
                return Self(steps);
            }
        };
        Self(known.to_vec())
    }

    fn serve(&self, path: &str) -> Vec<Vec<u8>> {
        let mut text = path.as_bytes().to_vec();
        let mut found: Option<Vec<Vec<u8>>> = None;
        for step in &self.0 {
            match (step, &mut found) {
                (Step::Decode, Some(found)) => {
                    found.iter_mut().for_each(|segment| *segment = decode(segment));
                }
                (Step::Split, _) => found = Some(segments(&text)),
                (_, Some(_)) => {}
                (Step::Decode, None) => text = decode(&text),
                (Step::Backslash, None) => {
                    text.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
                }
                (Step::Parameters, None) => {
                    text = each_segment(&text, |segment| {
                        segment.split(|byte| *byte == b';').next().unwrap_or_default()
                    })
                }
                (Step::End, None) => {
                    let end = text.iter().position(|byte| matches!(byte, b'?' | b'#'));
                    text.truncate(end.unwrap_or(text.len()));
                }
                (Step::Fold, None) => text.dedup_by(|one, other| *one == b'/' && *other == b'/'),
                (Step::Dots, None) => text = without_dots(&text),
            }
        }
        found.unwrap_or_default()
    }
}

fn decode(text: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(text).collect()
}

fn each_segment(text: &[u8], change: impl Fn(&[u8]) -> &[u8]) -> Vec<u8> {
    text.split(|byte| *byte == b'/').map(change).collect::<Vec<_>>().join(&b'/')
}

fn without_dots(text: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in text.split(|byte| *byte == b'/') {
        match segment {
            b"." => {}
            b".." if kept.len() > 1 => drop(kept.pop()),
            b".." => {}
            other => kept.push(other),
        }
    }
    kept.join(&b'/')
}
