//! Target of a browser after signing in or out: always a page of the same origin.
//!
//! A target is read as every known browser might read it (bytes stripped, backslashes as slashes, decoded once or twice more,
//! dot segments removed). If any reading leaves the origin, the target is not followed.

use percent_encoding::percent_decode_str;
use url::Url;

/// Replaces every target that is not followed.
pub const HOME: &str = "/";

/// The longest target that is kept, in bytes.
const LIMIT: usize = 2000;

/// The path and query of a target on the own origin, or [`HOME`].
///
/// ```
/// use doorward::endpoints::return_to::sanitize;
/// assert_eq!(sanitize("/search?q=https://elsewhere.test/", "https://own.example"), "/search?q=https://elsewhere.test/");
/// assert_eq!(sanitize("https://own.example/lab", "https://own.example"), "/lab");
/// assert_eq!(sanitize("//elsewhere.test", "https://own.example"), "/");
/// ```
pub fn sanitize(target: &str, origin: &str) -> String {
    let local = match target.strip_prefix(origin) {
        Some("") => return HOME.to_owned(),
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return HOME.to_owned(),
        None => target,
    };
    if is_local(local, origin) { local.to_owned() } else { HOME.to_owned() }
}

fn is_local(target: &str, origin: &str) -> bool {
    if target.len() > LIMIT || !target.starts_with('/') {
        return false;
    }
    // The URL of a real page contains no bytes that a browser strips or reads differently.
    if target.bytes().any(|octet| !octet.is_ascii_graphic() || octet == b'\\') {
        return false;
    }
    let path = target.split(['?', '#']).next().unwrap_or(target);
    let once = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let twice = percent_decode_str(&once).decode_utf8_lossy().into_owned();
    [target, path, &once, &twice].into_iter().all(|reading| stays(reading, origin))
}

/// Whether one reading of a target stays on the origin, as it is and as a browser may clean it.
fn stays(reading: &str, origin: &str) -> bool {
    let tidy: String = reading
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .map(|c| if c == '\\' { '/' } else { c })
        .collect();
    if without_dot_segments(&tidy).starts_with("//") || tidy.starts_with("//") {
        return false;
    }
    let Ok(base) = Url::parse(origin) else { return false };
    [reading, tidy.as_str()].into_iter().all(|text| {
        base.join(text).is_ok_and(|url| {
            url.origin() == base.origin()
                && url.username().is_empty()
                && !url.path().starts_with("//")
        })
    })
}

fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}
