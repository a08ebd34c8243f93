//! The time of a line, as RFC 3339 writes it.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Length of `2026-11-30T12:00:00`.
const TO_THE_SECOND: usize = 19;

thread_local! {
    /// The last second and its text: lines of one second share it.
    static LAST: Cell<Option<(u64, [u8; TO_THE_SECOND])>> = const { Cell::new(None) };
}

/// Writes the present time, in pieces.
pub(super) fn write<E>(write: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    write_time(now(), write)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log line's time is read where it is written, and decides nothing"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn write_time<E>(at: SystemTime, mut write: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Some(second) = second(since.as_secs()) else {
        return write(&OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default());
    };
    write(std::str::from_utf8(&second).unwrap_or_default())?;
    let mut fraction = *b".000000000";
    let mut rest = since.subsec_nanos();
    for digit in fraction.iter_mut().skip(1).rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // Zeros at the end are not written, nor a point without digits.
    let mut kept = fraction.as_slice();
    while let [before @ .., b'0' | b'.'] = kept {
        kept = before;
    }
    write(std::str::from_utf8(kept).unwrap_or_default())?;
    write("Z")
}

/// The text up to the second; `None` outside the years that RFC 3339 can write.
fn second(unix: u64) -> Option<[u8; TO_THE_SECOND]> {
    if let Some((last, text)) = LAST.get()
        && last == unix
    {
        return Some(text);
    }
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(unix).ok()?).ok()?;
    let text = at.format(&Rfc3339).ok()?;
    let text = text.strip_suffix('Z')?.as_bytes().try_into().ok()?;
    LAST.set(Some((unix, text)));
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(at: SystemTime) -> String {
        let mut text = String::new();
        write_time(at, |piece| {
            text.push_str(piece);
            Ok::<(), ()>(())
        })
        .unwrap();
        text
    }

    #[test]
    fn a_time_is_written_as_rfc_3339_has_it() {
        let nanoseconds = [0, 1, 10, 123, 1_000, 500_000_000, 120_034_500, 999_999_999];
        for second in
            [0, 1, 951_782_399, 951_782_400, 1_796_083_199, 1_796_083_200, 253_402_300_799]
        {
            for nanosecond in nanoseconds {
                let at = UNIX_EPOCH + Duration::new(second, nanosecond);
                let expected = OffsetDateTime::from(at).format(&Rfc3339).unwrap();
                assert_eq!(written(at), expected);
            }
        }
        assert_eq!(written(UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(written(UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01.5Z");
    }
}
