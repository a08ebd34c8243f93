use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::*;

/// Workers that have begun to wait.
async fn started(number: usize) -> Workers {
    let workers = Workers::start(Some(number)).unwrap();
    for worker in workers.workers() {
        worker.runtime.spawn(yield_now()).await.unwrap();
    }
    workers
}

/// Number of the worker that serves a connection.
async fn number(assigned: &Assigned) -> usize {
    let number = async { THIS.with(|this| this.get().unwrap().number) };
    assigned.runtime().spawn(number).await.unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn connections(workers: &Workers) -> Vec<usize> {
    workers.loads().iter().map(|load| load.connections).collect()
}

/// Waits until worker 1 gets more connections than worker 0, which has one, and gives it ten.
async fn ten_go_to_the_other(workers: &Workers) {
    until("a busy worker gets connections", || {
        let _three = [workers.assign(), workers.assign(), workers.assign()];
        connections(workers) == [1, 3]
    })
    .await;
    let _ten: Vec<_> = (0..10).map(|_| workers.assign()).collect();
    assert_eq!(connections(workers), [1, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_share_connections_evenly() {
    let workers = started(3).await;
    let mut open: Vec<_> = (0..12).map(|_| workers.assign()).collect();
    assert_eq!(connections(&workers), [4, 4, 4]);
    open.retain(|one| !Arc::ptr_eq(one.worker.as_ref().unwrap(), &workers.workers()[1]));
    assert_eq!(connections(&workers), [4, 0, 4]);
    open.extend((0..4).map(|_| workers.assign()));
    assert_eq!(connections(&workers), [4, 4, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_worker_gets_no_more_connections() {
    let workers = started(2).await;
    let heavy = workers.assign();
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    assert_eq!(number(&heavy).await, 0);
    heavy.runtime().spawn(async move {
        while !end.load(SeqCst) {
            (0..10_000).for_each(|_| spin_loop());
            yield_now().await;
        }
    });
    ten_go_to_the_other(&workers).await;
    over.store(true, SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_return_counts_as_busy() {
    let workers = started(2).await;
    let heavy = workers.assign();
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    assert_eq!(number(&heavy).await, 0);
    heavy.runtime().spawn(async move {
        while !end.load(SeqCst) {
            spin_loop();
        }
    });
    ten_go_to_the_other(&workers).await;
    over.store(true, SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_has_its_own_value() {
    let workers = started(2).await;
    let made = AtomicUsize::new(0);
    let values = Arc::new(PerWorker::new(2, || made.fetch_add(1, SeqCst)));
    assert_eq!(*values.own(), 0, "other threads share the first");
    let both = [workers.assign(), workers.assign()];
    for (place, assigned) in both.iter().enumerate() {
        let values = Arc::clone(&values);
        let own = assigned.runtime().spawn(async move { *values.own() }).await.unwrap();
        assert_eq!(own, place + 1);
    }
    assert_eq!(values.iter().sum::<usize>(), 3);
    let few = Arc::new(PerWorker::new(1, || 7));
    let second = both[1].runtime();
    assert_eq!(second.spawn(async move { *few.own() }).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_worker_can_run_in_the_background() {
    let workers = started(1).await;
    let runtime = workers.assign().runtime();
    let at = runtime.spawn(async {
        let other = super::in_background(async { on_worker() }).await.unwrap();
        (on_worker(), other)
    });
    let (here, other) = at.await.unwrap();
    assert!(here && !other);
    assert!(!on_worker());
    assert!(!super::in_background(async { on_worker() }).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_with_their_tasks() {
    /// Notes its end.
    struct Noting(Arc<AtomicBool>);
    impl Drop for Noting {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    for dropped in [false, true] {
        let ended = Arc::new(AtomicBool::new(false));
        let workers = started(2).await;
        let noting = Noting(Arc::clone(&ended));
        workers.assign().runtime().spawn(async move {
            let _noting = noting;
            std::future::pending::<()>().await;
        });
        match dropped {
            false => workers.stop().await,
            true => drop(workers),
        }
        until("a task outlives its worker", || ended.load(SeqCst)).await;
    }
}

#[tokio::test]
async fn without_workers_the_accepting_runtime_serves() {
    let workers = Workers::default();
    let served = workers.assign().runtime().spawn(async { on_worker() });
    assert!(!served.await.unwrap());
    assert_eq!((workers.count(), workers.loads()), (0, Vec::new()));
    workers.stop().await;
}

#[test]
fn by_default_there_is_a_worker_for_each_core() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(Workers::start(None).unwrap().count(), cores);
    assert_eq!(Workers::start(Some(5)).unwrap().count(), 5);
}
