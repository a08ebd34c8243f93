//! How servers behind the gateway might read a path that is canonical and yet not plain.
//!
//! A route may keep `%2F` or `//`, and `;` or an escaped percent sign are part of many file names. Some servers decode such
//! things once more, drop `;` parameters, or fold `//`. The route and the rule chosen for a path must be those chosen for each
//! of its readings too, or the request is refused: then no server can be talked into another place than the one judged.

use super::path::{CanonicalPath, Oddities, hex, is_unreserved, push_escape};

type Rewrite = fn(&str) -> String;

/// The rewrites a server may make, in the order it would make them.
const REWRITES: [(Oddities, Rewrite); 4] = [
    (Oddities::TWICE, decode_twice),
    (Oddities::PARAMETERS, drop_parameters),
    (Oddities::SLASH, |text| text.replace("%2F", "/")),
    (Oddities::BACKSLASH, |text| text.replace("%5C", "/")),
];

impl CanonicalPath {
    /// The other ways this path can be read; empty, without an allocation, for nearly every path.
    ///
    /// ```
    /// use doorward::canonical::{CanonicalPath, Keep};
    ///
    /// let path = CanonicalPath::parse("/files//a%2Fb", Keep::ALL)?;
    /// let readings: Vec<_> = path.readings().iter().map(ToString::to_string).collect();
    /// assert_eq!(readings, ["/files/a%2Fb", "/files//a/b", "/files/a/b"]);
    /// # Ok::<(), doorward::canonical::PathRefusal>(())
    /// ```
    pub fn readings(&self) -> Vec<Self> {
        let mut found: Vec<String> = Vec::new();
        if self.oddities == Oddities::default() {
            return Vec::new();
        }
        for mask in 0..1_u8 << REWRITES.len() {
            let chosen = || REWRITES.iter().enumerate().filter(|(place, _)| mask & 1 << place != 0);
            if chosen().any(|(_, (oddity, _))| !self.oddities.has(*oddity)) {
                continue;
            }
            let text =
                chosen().fold(self.as_str().to_owned(), |text, (_, (_, rewrite))| rewrite(&text));
            let folded = fold_slashes(&text);
            for reading in [text, folded] {
                if reading != self.as_str() && !found.contains(&reading) {
                    found.push(reading);
                }
            }
        }
        found.into_iter().map(Self::reading).collect()
    }
}

/// `%25XX` as a server sees it that decodes twice.
fn decode_twice(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%25") {
        out.push_str(before);
        let mut digits = after.bytes();
        match (digits.next().and_then(hex), digits.next().and_then(hex), after.get(2..)) {
            (Some(high), Some(low), Some(left)) => {
                let byte = high << 4 | low;
                if is_unreserved(byte) {
                    out.push(char::from(byte));
                } else {
                    push_escape(&mut out, byte);
                }
                rest = left;
            }
            _ => {
                out.push_str("%25");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
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

fn fold_slashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    out
}
