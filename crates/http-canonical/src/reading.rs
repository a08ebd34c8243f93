//! Other readings of a canonical path.
//!
//! A route may keep `%2F` or `//`, and `;`, `%3F` or an escaped percent sign are part of many file names. Some servers decode
//! such forms once more, before they look for the query too, drop `;` parameters, or fold `//`, and each does so in its own
//! order. Every reading of a path must give the same route and the same rule as the path, or the request is refused. No server
//! can then serve another path than the one that was judged.

use crate::{
    escape::{is_delimiter, is_unreserved, push_escape, rewritten, with_plain_delimiters},
    oddities::Oddities,
};

type Rewrite = fn(&str) -> String;

/// Rewrites that a server may apply to a path, each with the form that must occur in the path. Any of them may create `//`.
const REWRITES: [(Oddities, Rewrite); 8] = [
    (Oddities::SLASH, |text| text.replace("%2F", "/")),
    (Oddities::BACKSLASH, |text| text.replace("%5C", "/")),
    (Oddities::TWICE, decode_twice),
    (Oddities::PARAMETERS, drop_parameters),
    (Oddities::PARAMETERS, |text| text.replace("%3B", ";")),
    (Oddities::END, |text| cut_at(text, "%3F").to_owned()),
    (Oddities::END, |text| cut_at(text, "%23").to_owned()),
    (Oddities::ANY, fold_slashes),
];

/// The most readings of one path; with more, the path is refused.
const LIMIT: usize = 64;

/// Every text that some sequence of rewrites makes of a path, in any order and until nothing changes, as it is compared. `None`:
/// too many.
pub(super) fn all(text: &str, oddities: Oddities) -> Option<Box<[String]>> {
    if oddities == Oddities::default() {
        return Some(Box::default());
    }
    // Decoded twice, it may have any of the other forms.
    let oddities = if oddities.has(Oddities::DOUBLE) { Oddities::ANY } else { oddities };
    let mut found = vec![with_escaped_semicolons(text)];
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
    let mut readings: Vec<String> = Vec::with_capacity(found.len());
    for reading in found.iter().map(|text| with_plain_delimiters(text)) {
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    }
    readings.remove(0);
    Some(readings.into())
}

/// The text with plain delimiters, but `%3B` as it was: servers that drop parameters before they decode keep what follows it.
fn with_escaped_semicolons(text: &str) -> String {
    rewritten(text, "%", |out, byte| {
        let plain = is_delimiter(byte) && byte != b';';
        if plain {
            out.push(char::from(byte));
        }
        plain
    })
}

/// `%25XX` as seen by a server that decodes twice.
pub(super) fn decode_twice(text: &str) -> String {
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
        out.push_str(segment.split(';').next().unwrap_or_default());
    }
    out
}

/// Ends the path at `%3F` and at `%23`, like a server that decodes before it looks for the query and a fragment.
pub(super) fn cut_at_end(text: &str) -> &str {
    cut_at(cut_at(text, "%3F"), "%23")
}

/// Ends the path at one of them, like a server that looks for that one only.
fn cut_at<'t>(text: &'t str, mark: &str) -> &'t str {
    text.split(mark).next().unwrap_or(text)
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
