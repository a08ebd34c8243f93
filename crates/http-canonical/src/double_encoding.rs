//! Escapes of escapes in a path, such as `%252F`: a server that decodes twice reads another path.

use crate::{escape::hex, oddities::Oddities, reading};

/// Notes each `%25` whose next characters would form an escape once decoded. `false` for a path that no route accepts: decoded
/// twice it has a control character or a percent sign, or another escape of an escape, as `%252%2545` becomes `%252E`.
pub(super) fn note(text: &str, oddities: &mut Oddities) -> bool {
    if !find(text, oddities) {
        return false;
    }
    if !is_double(*oddities) {
        return true;
    }
    let mut third = Oddities::default();
    find(&reading::decode_twice(text), &mut third) && !is_double(third)
}

fn is_double(oddities: Oddities) -> bool {
    oddities.has(Oddities::TWICE) || oddities.has(Oddities::DOUBLE)
}

fn find(text: &str, oddities: &mut Oddities) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("%25") {
        let mut next = after.bytes();
        if let (Some(high), Some(low)) = (next.next().and_then(hex), next.next().and_then(hex)) {
            match high << 4 | low {
                b'%' | 0..=0x1F | 0x7F => return false,
                b'/' | b'\\' | b'.' | b';' | b'?' | b'#' => oddities.add(Oddities::DOUBLE),
                _ => oddities.add(Oddities::TWICE),
            }
        }
        rest = after;
    }
    true
}
