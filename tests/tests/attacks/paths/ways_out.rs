//! Spellings that lead out of a place for some servers, and the ways in which servers read a path.

use std::collections::BTreeSet;

/// Ways out of `B`, a public place, to `S`, a closed place beside it; both are in `U`.
pub(crate) const WAYS_OUT: &[&str] = &[
    // Dot segments, plain and encoded, in pieces and whole.
    "B/../S",
    "B/x/../../S",
    "B/./../S",
    "B/%2e%2e/S",
    "B/%2E%2E/S",
    "B/.%2e/S",
    "B/%2e./S",
    "B/x/%2e%2e/%2e%2e/S",
    "B/../S?x=/public/a",
    "B/..",
    "B/../",
    "B/%2e%2e",
    "U/./S",
    "U/%2e/S",
    "U/S/../public/a",
    "U/S/%2e%2e/public/a",
    // Encoded separators.
    "B/..%2fS",
    "B/..%2FS",
    "B/..%5cS",
    "B/..%5CS",
    "B%2f..%2fS",
    "B%2f%2e%2e%2fS",
    "B/%2e%2e%2fS",
    "B/%2e%2e%5cS",
    "B/x%2f..%2f..%2fS",
    "B%5c..%5cS",
    "U/S%2f..%2fpublic/a",
    "U%2fS",
    "U/%2fS",
    "U/%5cS",
    // Encoded twice and more.
    "B/%252e%252e/S",
    "B/%252e%252e%252fS",
    "B/..%252fS",
    "B/..%255cS",
    "B/%25252e%25252e/S",
    "B/%25%32%65%25%32%65/S",
    "B/..%25%32%66S",
    "B/%%32%65%%32%65/S",
    "B/.%%32e/S",
    // Parameters.
    "B/..;/S",
    "B/..;x=y/S",
    "B;/../S",
    "B/;/../S",
    "B/.;/../S",
    "B/x;/..;/..;/S",
    "B/%2e%2e;/S",
    "B/..%3b/S",
    "B/..%3B%2fS",
    "B/..%253b/S",
    "B/..;%2fS",
    "U/S/..;/public/a",
    "U/S;/../public/a",
    "U/;/S",
    // Empty segments.
    "/B/../S",
    "B//../S",
    "B/x//../../S",
    "U//S",
    "//S",
    "///U/S",
    "//HOST/U/S",
    // Backslashes as they are.
    "B\\..\\S",
    "B/..\\S",
    "B/x\\..\\..\\S",
    "U/\\S",
    "\\U/S",
    // Control characters and spaces.
    "B/..%00/S",
    "B/%00../S",
    "B%00/../S",
    "B/..%0a/S",
    "B/.%09./S",
    "B/..%0d%0a/S",
    "B/..%7f/S",
    "B/\u{b}../S",
    "B/..\t/S",
    // Invalid escapes, and bytes that are not UTF-8.
    "B/%/../S",
    "B/%2/../S",
    "B/%u002e%u002e/S",
    "B/%2e%2e%/S",
    "B/..%c0%afS",
    "B/%c0%ae%c0%ae/S",
    "B/..%c1%9cS",
    "B/..%e0%80%afS",
    "B/%f8%80%80%80%ae%2e/S",
    // Encoded fragments and queries.
    "U/S#B",
    "U/S#/../public/a",
    "B#/../S",
    "B/a#/../../S",
    "B%23/../S",
    "B%3f/../S",
    "B/..%23/S",
    "B/..%3fS",
    // Other forms of target.
    "http://HOST/U/S",
    "http://HOSTB/../S",
    "https://elsewhere.test/U/S",
    "*",
    "HOST",
    "U/S%20",
    "S",
    "",
    // Another case is another place.
    "U/SB",
];

/// A way out with `B`, `U` and `S` replaced.
pub(crate) fn spelled(way: &str, within: &str, secret: &str) -> String {
    // The stage fills in `HOST`.
    let way = way.replace("HOST", "\u{1}").replace('B', &format!("{within}/public"));
    let way = way.replace('U', within).replace('S', secret).replace('\u{1}', "HOST");
    if within.is_empty() { way.replacen("//HOST//", "//HOST/", 1) } else { way }
}

/// Every path that a server might read from this target.
pub(crate) fn readings(target: &str) -> BTreeSet<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let steps: [fn(&str) -> String; 6] =
        [decoded, without_parameters, with_slashes, folded, without_dots, cut_at_nul];
    let mut found = BTreeSet::from([path.clone()]);
    let mut fresh = vec![path];
    for _ in 0..5 {
        let next: Vec<String> =
            fresh.iter().flat_map(|path| steps.iter().map(move |step| step(path))).collect();
        fresh = next.into_iter().filter(|path| found.insert(path.clone())).collect();
    }
    found
}

fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn without_parameters(path: &str) -> String {
    let names: Vec<&str> =
        path.split('/').map(|part| part.split(';').next().unwrap_or_default()).collect();
    names.join("/")
}

fn with_slashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn folded(path: &str) -> String {
    let mut out = path.to_owned();
    while out.contains("//") {
        out = out.replace("//", "/");
    }
    out
}

pub(crate) fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

fn cut_at_nul(path: &str) -> String {
    path.split('\0').next().unwrap_or_default().to_owned()
}

/// Whether a path is a place or below it.
pub(crate) fn below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
