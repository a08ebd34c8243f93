//! Other readings of a canonical path.
//!
//! A route may keep `%2F` or `//`, and `;`, `%3F` or an escaped percent sign are part of many file names. Some servers decode
//! such forms once more, before they look for the query too, drop `;` parameters, or fold `//`, and each does so in its own
//! order. Every reading of a path must give the same route and the same rule as the path, or the request is refused. No server
//! can then serve another path than the one that was judged.

use crate::{
    escape::{is_delimiter, is_unreserved, push_escape, rewritten},
    oddities::Oddities,
};

type Rewrite = fn(&str) -> String;

/// Rewrites that a server may apply to a path, each with the form that must occur in the path. Any of them may create `//`.
const REWRITES: [(Oddities, Rewrite); 6] = [
    (Oddities::SLASH, |text| text.replace("%2F", "/")),
    (Oddities::BACKSLASH, |text| text.replace("%5C", "/")),
    (Oddities::TWICE, decode_twice),
    (Oddities::PARAMETERS, drop_parameters),
    (Oddities::END, |text| cut_at_end(text).to_owned()),
    (Oddities::ANY, fold_slashes),
];

/// The most readings of one path; with more, the path is refused. Six rewrites that matter at most once each give fewer.
const LIMIT: usize = 64;

/// Every text that some sequence of rewrites makes of `text`, in any order and until nothing changes. `None`: too many.
pub(super) fn all(text: &str, oddities: Oddities) -> Option<Box<[String]>> {
    if oddities == Oddities::default() {
        return Some(Box::default());
    }
    let mut found = vec![text.to_owned()];
    let mut next = 0;
    while let Some(from) = found.get(next).cloned() {
        for (oddity, rewrite) in REWRITES {
            if !oddities.has(oddity) {
                continue;
            }
            let reading = rewrite(&from);
            if !found.contains(&reading) {
                found.push(reading);
            }
        }
        if found.len() > LIMIT {
            return None;
        }
        next += 1;
    }
    found.remove(0);
    Some(found.into())
}

/// `%25XX` as seen by a server that decodes twice.
fn decode_twice(text: &str) -> String {
    rewritten(text, "%25", |out, byte| {
        if is_unreserved(byte) || is_delimiter(byte) {
            out.push(char::from(byte));
        } else {
            push_escape(out, byte);
        }
        true
    })
}

fn drop_parameters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (place, segment) in text.split('/').enumerate() {
        if place > 0 {
            out.push('/');
        }
        let name = segment.split(';').next().unwrap_or_default();
        out.push_str(name.split("%3B").next().unwrap_or_default());
    }
    out
}

/// Ends the path at `%3F` or `%23`, like a server that decodes before it looks for the query or a fragment.
pub(super) fn cut_at_end(text: &str) -> &str {
    let end = ["%3F", "%23"].into_iter().filter_map(|mark| text.find(mark)).min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

fn fold_slashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    out
}
