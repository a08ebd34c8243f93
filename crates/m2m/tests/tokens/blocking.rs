//! Tokens for threads.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use m2m::blocking::{BlockingTokenError, Tokens};
use oidc_core::blocking::BlockingError;
use tokio::runtime::Runtime;

use crate::job::Job;

/// The provider runs in a runtime of its own; the threads of the test have none.
fn started() -> (Runtime, Job) {
    let runtime = Runtime::new().unwrap();
    let job = runtime.block_on(Job::start());
    (runtime, job)
}

#[test]
fn twenty_threads_on_a_cold_cache_make_one_request() {
    let (_runtime, job) = started();
    let tokens = Tokens::new(job.tokens.clone());
    let ready = Arc::new(Barrier::new(20));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let (tokens, ready) = (tokens.clone(), Arc::clone(&ready));
            thread::spawn(move || {
                ready.wait();
                tokens.token()
            })
        })
        .collect();
    let tokens: Vec<_> = threads.into_iter().map(|it| it.join().unwrap().unwrap()).collect();
    assert!(tokens.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(job.asked(), 1);
}

#[test]
fn a_thread_without_a_runtime_has_its_token_refreshed_ahead() {
    let (runtime, job) = started();
    let tokens = Tokens::new(job.tokens.clone());
    let first = tokens.token().unwrap();
    job.clock.advance(Duration::from_secs(277));
    assert_eq!(tokens.token().unwrap(), first, "no caller waits for a refresh");
    runtime.block_on(job.until(|tokens| tokens.current().filter(|token| *token != first)));
    assert_eq!(job.asked(), 2);
}

#[test]
fn a_rejected_token_is_renewed() {
    let (_runtime, job) = started();
    let tokens = Tokens::new(job.tokens.clone());
    let first = tokens.token().unwrap();
    assert_ne!(tokens.token_after(&first).unwrap(), first);
}

#[test]
fn a_runtime_is_not_held_up() {
    let (runtime, job) = started();
    let tokens = Tokens::new(job.tokens.clone());
    let refused = runtime.block_on(async { tokens.token() }).unwrap_err();
    assert!(matches!(refused, BlockingTokenError::NotRun(BlockingError::InsideRuntime)));
    let token = tokens.token().unwrap();
    assert_eq!(runtime.block_on(async { tokens.token() }).unwrap(), token);
}
