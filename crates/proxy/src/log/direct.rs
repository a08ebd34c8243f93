//! Lines that go to the log without an event: the audit line, of which every request has one.
//!
//! An event calls each field through the subscriber, which formats it. Here the line is written once, into a buffer that the
//! thread keeps, and handed to the log as it is.

use std::{cell::RefCell, sync::OnceLock};

use tracing::Level;

use super::{
    line::{self, Line},
    writer::Lines,
};

/// The largest buffer that a thread keeps.
const KEPT: usize = 16 * 1024;

/// The log of this process, once it takes lines without an event.
static DIRECT: OnceLock<Direct> = OnceLock::new();

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A log of JSON lines.
#[derive(Debug)]
pub(crate) struct Direct {
    lines: Lines,
    most: Level,
}

/// Lets lines of this level and the less detailed ones go here from now on.
pub(super) fn begin(lines: Lines, most: Level) {
    // A process has one subscriber, so this is the first call.
    let _ = DIRECT.set(Direct { lines, most });
}

/// The log, where lines need no event: it is JSON, and without debug lines.
pub(crate) fn direct() -> Option<&'static Direct> {
    DIRECT.get()
}

impl Direct {
    /// Writes a line, unless the log leaves out its level. `has_id`: the fields have the id of the request already.
    pub(crate) fn write(
        &self,
        level: Level,
        message: &str,
        has_id: bool,
        fields: impl FnOnce(&mut Line<'_>),
    ) {
        if level > self.most {
            return;
        }
        // Taken out, so that a field may itself write a line.
        let mut buffer = BUFFER.take();
        buffer.clear();
        line::compose(&mut buffer, (level, message), has_id, fields);
        self.lines.append(&buffer);
        if buffer.capacity() <= KEPT {
            BUFFER.set(buffer);
        }
    }
}
