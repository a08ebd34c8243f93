//! Cost of a token that is in memory, which every call to a service pays.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so by panicking")]

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use m2m::{AccessToken, CachedTokens, TokenError, TokenSource};
use oidc_core::{Clock, SystemClock};

#[derive(Debug)]
struct Issuer;

#[async_trait::async_trait]
impl TokenSource for Issuer {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let token = "x".repeat(1200).into();
        Ok(AccessToken::bearer(token, Some(SystemClock.now() + Duration::from_secs(3600)))?)
    }
}

/// The output of a future that is ready at the first poll.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn in_memory(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tokens = CachedTokens::new(Issuer);
    runtime.block_on(tokens.token()).unwrap();
    let shared: Arc<dyn TokenSource> = Arc::new(tokens.clone());

    let mut group = c.benchmark_group("a token in memory");
    group.bench_function("current", |b| b.iter(|| black_box(tokens.current())));
    group.bench_function("current, of a dyn TokenSource", |b| {
        b.iter(|| black_box(shared.current()));
    });
    group.bench_function("token().await", |b| {
        b.iter(|| black_box(at_once(tokens.token()).unwrap()))
    });
    group.bench_function("its Authorization header", |b| {
        b.iter(|| black_box(tokens.current().map(|token| token.authorization())));
    });
    group.bench_function("of which the two clocks", |b| {
        b.iter(|| black_box::<(SystemTime, _)>((SystemClock.now(), tokio::time::Instant::now())));
    });
    group.finish();
}

criterion_group!(benches, in_memory);
criterion_main!(benches);
