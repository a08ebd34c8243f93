//! Passes lines from all threads to one reader, many at a time, from a thread of its own.
//!
//! A request only appends to memory. The writing thread wakes once for all lines of a moment, not once for each, so that an
//! audit line for every request costs little. A reader that is too slow loses lines, which are counted; it never delays a
//! request.

use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Most bytes that wait for the reader.
const LIMIT: usize = 4 * 1024 * 1024;

/// Time for which the writing thread gathers lines.
const GATHER: Duration = Duration::from_millis(50);

/// Takes lines; every clone feeds the same reader.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

/// The writing thread. Dropping it writes the remaining lines.
#[derive(Debug)]
pub(super) struct Writing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    ended: bool,
}

impl Writing {
    /// Starts to write to a reader.
    pub(super) fn to(mut reader: impl Write + Send + 'static) -> io::Result<(Self, Lines)> {
        let shared = Arc::new(Shared::default());
        let source = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            let mut lines = Vec::new();
            while source.gather(&mut lines) {
                // Ignored: without a reader there is no place to report the error.
                let _ = reader.write_all(&lines).and_then(|()| reader.flush());
                lines.clear();
            }
        })?;
        let lines = Lines(Arc::clone(&shared));
        Ok((Self { shared, thread: Some(thread) }, lines))
    }

    /// Number of lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.shared.waiting().ended = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ends by itself; one that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, lets more gather, and takes them all; `false` when there will be no more.
    fn gather(&self, lines: &mut Vec<u8>) -> bool {
        let quiet = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.ended;
        let woken = self.news.wait_while(self.waiting(), quiet);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
        let running = |waiting: &mut Waiting| !waiting.ended;
        let gathered = self.news.wait_timeout_while(self.waiting(), GATHER, running);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.lines, lines);
        !lines.is_empty()
    }
}

impl Lines {
    /// Appends a whole line, or drops it where the reader is too slow.
    pub(super) fn append(&self, line: &[u8]) {
        let mut waiting = self.0.waiting();
        if waiting.lines.len() + line.len() > LIMIT {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if first {
            self.0.news.notify_one();
        }
    }
}

// === impl Write ===

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.append(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that hands on what it gets, and stops reading while `open` is locked.
    struct Reader {
        got: mpsc::Sender<Vec<u8>>,
        open: Arc<Mutex<()>>,
    }

    impl Write for Reader {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _open = self.open.lock().unwrap();
            self.got.send(octets.to_vec()).map_err(io::Error::other)?;
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writing() -> (Writing, Lines, mpsc::Receiver<Vec<u8>>, Arc<Mutex<()>>) {
        let (got, read) = mpsc::channel();
        let open = Arc::new(Mutex::new(()));
        let (writing, lines) = Writing::to(Reader { got, open: Arc::clone(&open) }).unwrap();
        (writing, lines, read, open)
    }

    #[test]
    fn lines_of_all_threads_arrive_whole() {
        let (writing, lines, read, _) = writing();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let mut lines = lines.clone();
                scope.spawn(move || {
                    (0..100).for_each(|_| lines.write_all(b"a whole line\n").unwrap())
                });
            }
        });
        drop(writing);
        let text: Vec<u8> = read.try_iter().flatten().collect();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 800);
        assert!(text.lines().all(|line| line == "a whole line"));
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_never_the_writer() {
        let (writing, mut lines, _read, open) = writing();
        let stopped = open.lock().unwrap();
        let line = vec![b'x'; 64 * 1024];
        for _ in 0..200 {
            lines.write_all(&line).unwrap();
        }
        assert!(writing.dropped() > 0);
        drop(stopped);
    }
}
