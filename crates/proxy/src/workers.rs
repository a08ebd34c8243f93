//! Worker threads: each serves its share of the connections, on a runtime of its own.
//!
//! A connection stays on its worker, and so does every task that it begins and every connection to an upstream that it uses
//! (`PerWorker`): serving a request wakes no other thread. The rest runs in the background, on the runtime that started the
//! workers: accepting, reloads, the admin listener, requests to providers and what outlives a request (`in_background`).
//!
//! An accepted connection goes to the worker with the least load: its share of the open connections, and the part of the last
//! moments in which it was busy. Connections never move afterwards.

mod load;
mod per_worker;

#[cfg(test)]
mod tests;

use std::{
    cell::OnceCell,
    fmt, io,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::load::Loads;

pub(crate) use self::per_worker::PerWorker;

/// Time in which the workers drop what they still have.
const END: Duration = Duration::from_secs(1);
/// Most threads for blocking calls of all workers, and the least for one: file access and the resolver of names.
const BLOCKING: usize = 512;
const BLOCKING_LEAST: usize = 8;

thread_local! {
    static THIS: OnceCell<This> = const { OnceCell::new() };
}

/// Facts about the worker that runs on this thread.
struct This {
    number: usize,
    background: Handle,
}

/// The workers of a gateway; without any, connections are served on the runtime that accepts them. A clone has the same workers.
#[derive(Clone, Default)]
pub struct Workers {
    all: Option<Arc<All>>,
}

/// Stops the workers when dropped.
struct All {
    workers: Vec<Arc<Worker>>,
    loads: Mutex<Loads>,
    threads: TaskTracker,
    stop: CancellationToken,
    _stop: DropGuard,
}

/// One worker, as seen from other threads.
struct Worker {
    runtime: Handle,
    connections: AtomicUsize,
}

/// One connection of a worker, counted until this is dropped.
pub(crate) struct Assigned {
    runtime: Handle,
    worker: Option<Arc<Worker>>,
}

/// Load of one worker, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Open connections.
    pub connections: usize,
    /// Time since the start in which it did not wait.
    pub busy: Duration,
}

impl Workers {
    /// Starts so many workers; by default one for each core that the process may use, by its affinity and its quota. Must be called
    /// on the runtime for the background.
    ///
    /// # Errors
    ///
    /// The system gives no thread, or none of what a runtime needs.
    pub fn start(wanted: Option<usize>) -> io::Result<Self> {
        let number = wanted.unwrap_or_else(cores).max(1);
        let background = Handle::try_current().map_err(io::Error::other)?;
        let (threads, stop) = (TaskTracker::new(), CancellationToken::new());
        // From here on an error stops those that run already.
        let guard = stop.clone().drop_guard();
        let mut workers = Vec::with_capacity(number);
        for place in 0..number {
            let this = This { number: place, background: background.clone() };
            let (stop, running) = (stop.clone(), threads.token());
            let (made, runtime) = sync_channel(1);
            thread::Builder::new().name(format!("worker-{place}")).spawn(move || {
                let sent = match runtime_for(number) {
                    Ok(runtime) => made.send(Ok(runtime.handle().clone())).map(|()| runtime),
                    Err(error) => return drop(made.send(Err(error))),
                };
                if let Ok(runtime) = sent {
                    run(runtime, this, &stop);
                }
                drop(running);
            })?;
            let runtime = runtime.recv().map_err(io::Error::other)??;
            workers.push(Arc::new(Worker { runtime, connections: AtomicUsize::new(0) }));
        }
        threads.close();
        let loads = Mutex::new(Loads::new(number));
        Ok(Self { all: Some(Arc::new(All { workers, loads, threads, stop, _stop: guard })) })
    }

    /// Number of workers.
    pub fn count(&self) -> usize {
        self.workers().len()
    }

    /// Load of each worker.
    pub fn loads(&self) -> Vec<WorkerLoad> {
        self.workers().iter().map(|worker| worker.load()).collect()
    }

    /// Chooses the worker of a new connection. Must be called on a runtime.
    pub(crate) fn assign(&self) -> Assigned {
        let Some(all) = &self.all else {
            return Assigned { runtime: Handle::current(), worker: None };
        };
        let mut loads = all.loads.lock().unwrap_or_else(PoisonError::into_inner);
        match loads.least(&all.workers) {
            Some(worker) => {
                worker.connections.fetch_add(1, Ordering::Relaxed);
                let worker = Arc::clone(worker);
                Assigned { runtime: worker.runtime.clone(), worker: Some(worker) }
            }
            None => Assigned { runtime: Handle::current(), worker: None },
        }
    }

    /// Ends the workers, and what still runs on them.
    pub(crate) async fn stop(&self) {
        let Some(all) = &self.all else { return };
        all.stop.cancel();
        let _ = timeout(END, all.threads.wait()).await;
    }

    fn workers(&self) -> &[Arc<Worker>] {
        self.all.as_ref().map_or(&[], |all| &all.workers)
    }
}

impl Assigned {
    /// The runtime of the connection's tasks.
    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

impl Worker {
    fn load(&self) -> WorkerLoad {
        let busy = self.runtime.metrics().worker_total_busy_duration(0);
        WorkerLoad { connections: self.connections.load(Ordering::Relaxed), busy }
    }
}

/// Whether the caller runs on a worker.
pub(crate) fn on_worker() -> bool {
    THIS.with(|this| this.get().is_some())
}

/// Runs a task in the background: one that outlives the request that begins it, or serves several workers. Outside of a worker it
/// runs on the runtime of the caller.
pub(crate) fn in_background<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match THIS.with(|this| this.get().map(|this| this.background.clone())) {
        Some(background) => background.spawn(task),
        None => tokio::spawn(task),
    }
}

/// The runtime of one of so many workers.
fn runtime_for(workers: usize) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads((BLOCKING / workers).max(BLOCKING_LEAST))
        .build()
}

/// The life of a worker's thread.
fn run(runtime: Runtime, this: This, stop: &CancellationToken) {
    THIS.with(|cell| {
        // The thread is new: it has none yet.
        let _ = cell.set(this);
    });
    runtime.block_on(stop.cancelled());
    // A blocking call may go on; its thread ends with the process.
    runtime.shutdown_background();
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

// === impl Workers ===

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workers").field(&self.count()).finish()
    }
}

// === impl Assigned ===

impl fmt::Debug for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assigned")
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
