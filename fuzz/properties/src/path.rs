//! Canonical paths: one form, whatever the spelling.

use http_canonical::{CanonicalPath, Keep, PathPattern, is_below};

const KEEPS: [Keep; 4] = [
    Keep { encoded_slash: false, double_slash: false, double_encoded: false },
    Keep { encoded_slash: true, double_slash: false, double_encoded: false },
    Keep { encoded_slash: false, double_slash: true, double_encoded: false },
    Keep::ALL,
];

/// A path as a request target or a configuration writes it.
pub fn path(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    if let Ok(written) = CanonicalPath::from_written(raw) {
        again(&written, Keep::default());
    }
    let Ok(path) = CanonicalPath::parse(raw, Keep::ALL) else {
        assert!(KEEPS.iter().all(|keep| CanonicalPath::parse(raw, *keep).is_err()));
        return;
    };
    again(&path, Keep::ALL);
    for keep in KEEPS {
        let parsed = CanonicalPath::parse(raw, keep);
        assert_eq!(parsed.as_ref().map(|_| ()).map_err(|error| *error), path.check(keep));
        assert!(parsed.is_err() || parsed.as_ref() == Ok(&path), "a setting changes the path");
    }
    let text = path.as_str();
    assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!text.contains(['?', '#', '\\', '"', '<', '>', '`', '{', '|', '}', '^']));
    assert!(path.segments().all(|segment| segment != "." && segment != ".."));
    assert_eq!(
        path.readings().is_empty(),
        !has_other_readings(&path),
        "{path} {:?}",
        path.readings()
    );
    for reading in path.readings() {
        let segments: Vec<&str> = reading.split('/').collect();
        assert!(!segments.contains(&".") && !segments.contains(&".."), "{path} reads {reading}");
    }
    compared_alike(&path);
    stripped(&path);
    patterned(raw);
}

/// Parsing the canonical text gives the same path.
fn again(path: &CanonicalPath, keep: Keep) {
    assert_eq!(CanonicalPath::parse(path.as_str(), keep).as_ref(), Ok(path));
}

/// Whether some form in the path has a second reading at all.
fn has_other_readings(path: &CanonicalPath) -> bool {
    let text = path.compared();
    let twice = text.match_indices("%25").any(|(at, _)| {
        let digits = text.as_bytes().get(at + 3..at + 5);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    twice || ["%2F", "%5C", ";", "//", "%3F", "%23"].iter().any(|form| text.contains(form))
}

/// The text that is compared is the same for each spelling of a delimiter, and a path by itself.
fn compared_alike(path: &CanonicalPath) {
    let compared = CanonicalPath::parse(path.compared(), Keep::ALL);
    let compared = compared.unwrap_or_else(|error| panic!("{} {error}", path.compared()));
    assert_eq!(compared.compared(), path.compared());
    assert_eq!(compared.as_str(), path.compared());
    // `%3B` is compared as `;`, but some servers drop parameters before they decode it.
    if !path.as_str().contains("%3B") {
        assert_eq!(compared.readings(), path.readings());
    }
}

/// Each prefix of a path can be removed, and what is left is what follows it.
fn stripped(path: &CanonicalPath) {
    assert!(path.has_prefix(path) && is_below(path.compared(), path));
    let ends = path.as_str().match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).take(8);
    for end in ends {
        let Ok(prefix) = CanonicalPath::parse(&path.as_str()[..end], Keep::ALL) else { continue };
        if prefix.as_str().ends_with('/') {
            continue;
        }
        assert!(path.has_prefix(&prefix), "{prefix} of {path}");
        if let Ok(rest) = path.strip_prefix(&prefix) {
            assert_eq!(format!("{prefix}{rest}"), path.as_str());
            again(&rest, Keep::ALL);
        }
    }
}

/// A pattern is written as it is read.
fn patterned(raw: &str) {
    let Ok(pattern) = raw.parse::<PathPattern>() else { return };
    assert_eq!(pattern.as_str().parse::<PathPattern>().as_ref(), Ok(&pattern));
    assert!(pattern.can_match_below("/") && pattern.can_match_below(pattern.as_str()));
}
