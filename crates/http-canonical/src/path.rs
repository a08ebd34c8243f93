//! The path of a request in the one form that is sent, and the one that is compared ([RFC 3986 §6.2.2]).
//!
//! Unreserved bytes are decoded once, every other escape is written in upper case, and a form that two servers could read
//! differently is refused: dot segments in any encoding, encoded slashes and backslashes, `//`, control characters, double
//! encoding, ill-formed UTF-8. Parsing a canonical path gives the same path again. Nothing here repairs a path.
//!
//! [RFC 3986 §6.2.2]: https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::{
    double_encoding,
    escape::{hex, is_delimiter, is_unreserved, push_escape, with_plain_delimiters},
    oddities::Oddities,
    reading,
};

/// Ambiguous forms that a route accepts because its application needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// `%2F` and `%5C` stay, encoded; they never separate segments.
    pub encoded_slash: bool,
    /// `//` stays: an empty segment.
    pub double_slash: bool,
    /// `%252F` stays, and every other escape that would give a separator, a dot or the path's end when decoded twice. A reading
    /// with a dot segment is refused in any case, and so are a control character and a percent sign.
    pub double_encoded: bool,
}

impl Keep {
    /// All kept: used to choose the route, before the route's own setting is known.
    pub const ALL: Self = Self { encoded_slash: true, double_slash: true, double_encoded: true };
}

/// An absolute path in canonical form.
///
/// ```
/// use http_canonical::CanonicalPath;
///
/// let path: CanonicalPath = "/a%62c/%c3%a9".parse()?;
/// assert_eq!(path.as_str(), "/abc/%C3%A9");
/// assert!("/public/%2e%2e/admin".parse::<CanonicalPath>().is_err());
/// # Ok::<(), http_canonical::PathRefusal>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: String,
    /// The text that is compared, where it differs: see [`CanonicalPath::compared`].
    compared: Option<Box<str>>,
    oddities: Oddities,
    /// The other ways it can be read: see [`CanonicalPath::readings`].
    readings: Box<[String]>,
}

/// Reasons a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefusal {
    /// Does not begin with `/`.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// `#`, which is not allowed in a request target.
    #[error("the path holds a fragment (`#`)")]
    Fragment,
    /// `?` where only a path is allowed.
    #[error("the path holds a query (`?`)")]
    Query,
    /// A control character or a space, raw or encoded.
    #[error("the path holds a control character or a raw space")]
    Control,
    /// A raw byte above 0x7F.
    #[error("the path holds a raw non-ASCII byte; percent-encode it")]
    NonAscii,
    /// `%` without two hexadecimal digits after it.
    #[error("the path holds `%` without two hexadecimal digits")]
    BadEscape,
    /// A raw `\`.
    #[error("the path holds a backslash")]
    Backslash,
    /// `%2F` or `%5C` on a route that does not accept them.
    #[error("the path holds an encoded slash or backslash, which this route does not accept")]
    EncodedSlash,
    /// `//` on a route that does not accept it.
    #[error("the path holds `//`, which this route does not accept")]
    DoubleSlash,
    /// `.` or `..` as a segment, in any encoding, with or without `;` parameters.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// Decoding twice would give a separator, a dot or the path's end, on a route that does not accept it; or, on any route, a dot
    /// segment, a percent sign or a control character.
    #[error("the path is percent-encoded twice, which this route does not accept")]
    DoubleEncoding,
    /// The decoded path is not UTF-8.
    #[error("the path is not UTF-8 once decoded")]
    NotUtf8,
    /// Two servers could read it as two different paths, or it has too many readings to judge.
    #[error("the path can be read as two different paths")]
    Ambiguous,
}

impl PathRefusal {
    /// The code for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::Fragment => "path_fragment",
            Self::Query => "path_query",
            Self::Control => "path_control_character",
            Self::NonAscii => "path_non_ascii",
            Self::BadEscape => "path_bad_escape",
            Self::Backslash => "path_backslash",
            Self::EncodedSlash => "path_encoded_slash",
            Self::DoubleSlash => "path_double_slash",
            Self::DotSegment => "path_dot_segment",
            Self::DoubleEncoding => "path_double_encoding",
            Self::NotUtf8 => "path_not_utf8",
            Self::Ambiguous => "path_ambiguous",
        }
    }
}

/// Reasons a prefix cannot be removed from a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StripError {
    /// The path is not below the prefix.
    #[error("the path is not below the prefix")]
    NotBelow,
    /// The rest begins with `//`, which a server may take for an authority.
    #[error("without the prefix, the path would begin with `//`")]
    DoubleSlash,
    /// The rest is not a path; cannot happen for part of a canonical path.
    #[error(transparent)]
    Path(PathRefusal),
}

impl CanonicalPath {
    /// Parses the part of a request target before `?`.
    ///
    /// # Errors
    ///
    /// See [`PathRefusal`]; of the ambiguous forms, those in `keep` pass.
    pub fn parse(raw: &str, keep: Keep) -> Result<Self, PathRefusal> {
        let path = Self::parse_any(raw)?;
        path.check(keep)?;
        Ok(path)
    }

    /// Parses a path from a configuration: characters that a request must not hold raw (spaces, letters beyond ASCII) are
    /// escaped first.
    ///
    /// # Errors
    ///
    /// See [`PathRefusal`]; none of the ambiguous forms passes.
    pub fn from_written(text: &str) -> Result<Self, PathRefusal> {
        const RAW: &AsciiSet = &CONTROLS.add(b' ');
        utf8_percent_encode(text, RAW).to_string().parse()
    }

    fn parse_any(raw: &str) -> Result<Self, PathRefusal> {
        if !raw.starts_with('/') {
            return Err(PathRefusal::NotAbsolute);
        }
        let mut text = String::with_capacity(raw.len());
        let mut oddities = Oddities::default();
        let (mut non_ascii, mut delimiters) = (false, false);
        let mut bytes = raw.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => {
                    let value = match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                        (Some(high), Some(low)) => high << 4 | low,
                        _ => return Err(PathRefusal::BadEscape),
                    };
                    match value {
                        0..=0x1F | 0x7F => return Err(PathRefusal::Control),
                        b'/' => oddities.add(Oddities::SLASH),
                        b'\\' => oddities.add(Oddities::BACKSLASH),
                        b';' => oddities.add(Oddities::PARAMETERS),
                        b'?' | b'#' => oddities.add(Oddities::END),
                        0x80.. => non_ascii = true,
                        _ => {}
                    }
                    delimiters |= is_delimiter(value);
                    if is_unreserved(value) {
                        text.push(char::from(value));
                    } else {
                        push_escape(&mut text, value);
                    }
                }
                b'/' => {
                    if text.ends_with('/') {
                        oddities.add(Oddities::EMPTY);
                    }
                    text.push('/');
                }
                b';' => {
                    oddities.add(Oddities::PARAMETERS);
                    text.push(';');
                }
                b'#' => return Err(PathRefusal::Fragment),
                b'?' => return Err(PathRefusal::Query),
                b'\\' => return Err(PathRefusal::Backslash),
                0..=0x20 | 0x7F => return Err(PathRefusal::Control),
                0x80.. => return Err(PathRefusal::NonAscii),
                b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                    push_escape(&mut text, byte);
                }
                plain => text.push(char::from(plain)),
            }
        }
        if non_ascii && percent_decode_str(&text).decode_utf8().is_err() {
            return Err(PathRefusal::NotUtf8);
        }
        if !double_encoding::note(&text, &mut oddities) {
            return Err(PathRefusal::DoubleEncoding);
        }
        if has_dot_segment(&text, oddities) {
            return Err(PathRefusal::DotSegment);
        }
        let compared = delimiters.then(|| with_plain_delimiters(&text).into_boxed_str());
        let readings = reading::all(&text, oddities);
        let readings = readings.ok_or(PathRefusal::Ambiguous)?;
        let dots = |reading: &String| has_dot_segment(reading, Oddities::ANY);
        if oddities.has(Oddities::DOUBLE) && readings.iter().any(dots) {
            return Err(PathRefusal::DoubleEncoding);
        }
        Ok(Self { text, compared, oddities, readings })
    }

    /// Accepts this path for a route that keeps `keep` and refuses the other ambiguous forms.
    ///
    /// # Errors
    ///
    /// [`PathRefusal::EncodedSlash`], [`PathRefusal::DoubleSlash`] or [`PathRefusal::DoubleEncoding`].
    pub fn check(&self, keep: Keep) -> Result<(), PathRefusal> {
        if self.oddities.has(Oddities::DOUBLE) && !keep.double_encoded {
            return Err(PathRefusal::DoubleEncoding);
        }
        let slash = self.oddities.has(Oddities::SLASH) || self.oddities.has(Oddities::BACKSLASH);
        if slash && !keep.encoded_slash {
            return Err(PathRefusal::EncodedSlash);
        }
        if self.oddities.has(Oddities::EMPTY) && !keep.double_slash {
            return Err(PathRefusal::DoubleSlash);
        }
        Ok(())
    }

    /// The text that is sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text that routes and rules are compared with: the delimiters that a segment may hold (`@`, `:`, `;`, `!` and so
    /// on, [RFC 3986 §2.2]) are plain in it. Applications decode them before they route, so that `%40` and `@` are one path.
    ///
    /// ```
    /// use http_canonical::CanonicalPath;
    ///
    /// let path: CanonicalPath = "/user/alice%40example.com".parse()?;
    /// assert_eq!(path.as_str(), "/user/alice%40example.com");
    /// assert_eq!(path.compared(), "/user/alice@example.com");
    /// # Ok::<(), http_canonical::PathRefusal>(())
    /// ```
    ///
    /// [RFC 3986 §2.2]: https://www.rfc-editor.org/rfc/rfc3986#section-2.2
    pub fn compared(&self) -> &str {
        self.compared.as_deref().unwrap_or(&self.text)
    }

    /// The segments between slashes. An encoded slash never separates.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1)
    }

    /// Whether this is `prefix` or below it, by whole segments. A slash at the prefix's end does not count.
    pub fn has_prefix(&self, prefix: &Self) -> bool {
        is_below(self.compared(), prefix)
    }

    /// The path below `prefix`, absolute again.
    ///
    /// # Errors
    ///
    /// See [`StripError`].
    pub fn strip_prefix(&self, prefix: &Self) -> Result<Self, StripError> {
        if !self.has_prefix(prefix) {
            return Err(StripError::NotBelow);
        }
        // The prefix may be spelled otherwise in what is sent, but has as many segments.
        let segments = prefix.text.trim_end_matches('/').matches('/').count();
        let start =
            self.text.match_indices('/').nth(segments).map_or(self.text.len(), |(at, _)| at);
        let rest = self.text.get(start..).unwrap_or_default();
        if rest.starts_with("//") {
            return Err(StripError::DoubleSlash);
        }
        let text = if rest.is_empty() { "/" } else { rest };
        // Part of a canonical path is canonical too, but has its own readings.
        Self::parse_any(text).map_err(StripError::Path)
    }

    /// The other ways this path can be read; empty, and without an allocation, for nearly every path.
    ///
    /// Some servers decode `%2F`, `%5C` or a doubly encoded byte once more, end the path at `%3F` or `%23`, drop `;`
    /// parameters, or fold `//`, in any order.
    ///
    /// ```
    /// use http_canonical::{CanonicalPath, Keep};
    ///
    /// let path = CanonicalPath::parse("/files//a%2Fb", Keep::ALL)?;
    /// assert_eq!(path.readings(), ["/files//a/b", "/files/a%2Fb", "/files/a/b"]);
    /// let path = CanonicalPath::parse("/;x%2Fadmin", Keep::ALL)?;
    /// assert!(path.readings().iter().any(|reading| reading == "/admin"));
    /// # Ok::<(), http_canonical::PathRefusal>(())
    /// ```
    pub fn readings(&self) -> &[String] {
        &self.readings
    }
}

/// Whether a path, as the text that is compared, is `prefix` or below it, by whole segments. A slash at the prefix's end does
/// not count.
pub fn is_below(path: &str, prefix: &CanonicalPath) -> bool {
    let prefix = prefix.compared();
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Finds dot segments in every piece that some server could take for a segment.
fn has_dot_segment(text: &str, oddities: Oddities) -> bool {
    let ends = oddities.has(Oddities::END);
    let dots = |piece: &str| {
        let piece = if ends { reading::cut_at_end(piece) } else { piece };
        piece == "." || piece == ".."
    };
    let simple = |segment: &str| {
        if oddities.has(Oddities::PARAMETERS) {
            segment.split(';').flat_map(|piece| piece.split("%3B")).any(dots)
        } else {
            dots(segment)
        }
    };
    text.split('/').any(|segment| {
        if oddities.has(Oddities::SLASH) || oddities.has(Oddities::BACKSLASH) {
            segment.split("%2F").flat_map(|piece| piece.split("%5C")).any(simple)
        } else {
            simple(segment)
        }
    })
}

// === impl CanonicalPath ===

impl FromStr for CanonicalPath {
    type Err = PathRefusal;

    /// Parses, and keeps none of the ambiguous forms.
    fn from_str(raw: &str) -> Result<Self, PathRefusal> {
        Self::parse(raw, Keep::default())
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests;
