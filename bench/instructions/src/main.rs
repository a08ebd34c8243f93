//! Requests through the gateway and its stages, in one process, for a program that counts instructions.
//!
//! `bench/instructions.py` runs it under callgrind, which counts only inside [`counted_region`] and writes its counters each time
//! that function returns. Every case runs [`REPEATS`] times, after runs that are not counted; the name of each case is printed
//! with the number of requests in one run. The client and the upstream have threads of their own, which are not counted.
//!
//! A word on the command line limits the cases to those whose name contains it; `--large` makes the growth cases as large as
//! the reference says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark talks to a terminal, and may fail there"
)]

mod growth;
mod parts;
mod peers;
mod stages;
mod whole;

use std::hint::black_box;

/// Counted runs of each case.
const REPEATS: usize = 3;

/// The binary has the allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The only function whose instructions are counted, with all that it calls.
#[inline(never)]
fn counted_region(run: &mut dyn FnMut()) -> u8 {
    run();
    black_box(1)
}

/// The cases to run.
struct Cases {
    filter: Option<String>,
    /// Sizes of the growth cases.
    large: bool,
}

impl Cases {
    fn of_arguments() -> Self {
        let arguments = || std::env::args().skip(1);
        Self {
            filter: arguments().find(|argument| !argument.starts_with("--")),
            large: arguments().any(|argument| argument == "--large"),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }

    /// Counts `run`, which makes `count` requests of what `prepare` made.
    fn count<T>(
        &self,
        name: &str,
        count: usize,
        mut prepare: impl FnMut() -> T,
        mut run: impl FnMut(T),
    ) {
        if !self.wants(name) {
            return;
        }
        for _ in 0..REPEATS {
            run(prepare());
        }
        for _ in 0..REPEATS {
            let mut prepared = Some(prepare());
            black_box(counted_region(&mut || run(prepared.take().unwrap())));
        }
        println!("{name} {count}");
    }
}

fn main() {
    let cases = Cases::of_arguments();
    oidc_core::http::reqwest::install_crypto_provider();
    let parts = parts::Parts::new();
    let _inside = parts.runtime.enter();
    let metrics = doorward::commands::serve::recorder().unwrap();
    let log = doorward::log::Log::start(&parts.config.log).unwrap();
    whole::count(&cases, &parts);
    stages::count(&cases, &parts);
    growth::count(&cases, &parts);
    drop((metrics, log));
}
