//! Errors as the message of an exception.

use std::error::Error;

/// Writes an error and its causes in one line, each text once: many errors already repeat their cause.
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !line.contains(&more) {
            line = format!("{line}: {more}");
        }
        cause = inner.source();
    }
    line
}
