//! Replaces the configuration in use while requests continue.
//!
//! Files are polled, not watched: polling works on every file system, follows the symbolic links that Kubernetes exchanges, and
//! does not wake when another file in the directory is written.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{signal::unix::Signal, sync::Mutex};

use super::service_manager::ServiceManager;
use crate::{
    assemble::{self, Before, Lasting},
    config::{Config, Contents, ListenAddr, Loaded, SocketMode},
    gateway::Serving,
    metric,
};

/// Interval between two polls of the files.
const LOOK: Duration = Duration::from_secs(2);

/// Time for which a changed file must stay the same, because editors write in several steps.
const SETTLED: Duration = Duration::from_millis(200);

/// Replaces the configuration in use.
#[derive(Debug, Clone)]
pub struct Reloader {
    serving: Serving,
    lasting: Lasting,
    applied: Arc<Mutex<Applied>>,
    /// The configuration that the process started with: some keys are read then only.
    started: Arc<Config>,
}

/// The configuration in use.
#[derive(Debug)]
pub struct Applied {
    loaded: Loaded,
    /// The files that it names, as they were when it was applied.
    contents: Contents,
    /// The included files and their folders, as the last file that was read has them, which may have been refused.
    included: BTreeSet<PathBuf>,
}

impl Applied {
    /// A configuration that is about to be applied. Its files are read before that: one that changes meanwhile differs at the next
    /// look, and is applied again.
    pub(super) fn new(loaded: Loaded) -> Self {
        let contents = Contents::of(&loaded.config);
        let included = loaded.included.clone();
        Self { loaded, contents, included }
    }

    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }
}

impl Reloader {
    pub(super) fn new(serving: Serving, lasting: Lasting, applied: Applied) -> Self {
        let started = Arc::new(applied.loaded.config.clone());
        Self { serving, lasting, applied: Arc::new(Mutex::new(applied)), started }
    }

    /// Reloads on SIGHUP, and when the file, one that it includes or one that it names changes.
    pub(super) async fn watch(
        self,
        path: PathBuf,
        mut hangup: Signal,
        manager: Arc<ServiceManager>,
    ) {
        let mut look = tokio::time::interval(LOOK);
        let mut seen = self.look(&path).await;
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = look.tick() => false,
            };
            let now = self.look(&path).await;
            if !asked && (now == seen || !self.settled(&path, &now).await) {
                continue;
            }
            manager.reloading();
            self.reload(&path).await;
            manager.ready();
            // The new configuration may name other files.
            seen = if asked { self.look(&path).await } else { now };
        }
    }

    /// Reads the file again, and the files that it names. One with problems changes nothing, and nor does one that is as before.
    pub async fn reload(&self, path: &Path) {
        let fresh = match Config::load(path) {
            Ok(fresh) => Applied::new(fresh),
            Err(problems) => {
                refused(&problems);
                self.applied.lock().await.included = problems.included;
                return;
            }
        };
        let mut applied = self.applied.lock().await;
        applied.included.clone_from(&fresh.included);
        let changed = fresh.contents.changed_since(&applied.contents);
        let hash = &fresh.loaded.hash;
        if *hash == applied.loaded.hash && changed.is_empty() {
            tracing::info!(config = hash, "configuration unchanged");
            return;
        }
        let app = self.serving.app();
        let before = Before { config: &applied.loaded.config, app: &app, changed: &changed };
        match assemble::app(&fresh.loaded.config, &self.lasting, Some(before)) {
            Ok(app) => {
                self.serving.replace(app);
                self.lasting.drain.set_times(fresh.loaded.config.shutdown);
                metric::reloaded("ok");
                metric::configured(hash, Some(&applied.loaded.hash));
                tracing::info!(config = hash, "configuration reloaded");
                let waiting = needing_restart(&self.started, &fresh.loaded.config);
                if !waiting.is_empty() {
                    tracing::warn!(
                        keys = waiting.join(", "),
                        "changes of these keys take effect after a restart"
                    );
                }
                *applied = fresh;
            }
            Err(error) => refused(&error),
        }
    }

    async fn look(&self, path: &Path) -> Seen {
        let files = {
            let applied = self.applied.lock().await;
            applied.loaded.config.files().into_iter().chain(applied.included.clone())
        };
        let mut stamps = vec![Stamp::of(path).await];
        for file in files {
            stamps.push(Stamp::of(&file).await);
        }
        Seen(stamps)
    }

    async fn settled(&self, path: &Path, now: &Seen) -> bool {
        tokio::time::sleep(SETTLED).await;
        self.look(path).await == *now
    }
}

fn refused(problem: &dyn std::fmt::Display) {
    metric::reloaded("refused");
    tracing::error!(reason = %problem, "invalid configuration refused; the previous one stays in use");
}

/// Keys that the process reads at its start only, and whose values are others now.
fn needing_restart(started: &Config, new: &Config) -> Vec<&'static str> {
    let (old_session, session) = (&started.session, &new.session);
    let changed = [
        ("listen", started.listen != new.listen),
        ("tls", started.tls != new.tls),
        ("limits", started.limits != new.limits),
        ("runtime", started.runtime != new.runtime),
        ("admin", started.admin != new.admin),
        ("session.store", old_session.store != session.store),
        ("session.idle", old_session.idle != session.idle),
        ("session.lifetime", old_session.lifetime != session.lifetime),
        ("session.key", old_session.key.is_empty() != session.key.is_empty()),
        ("proxy_protocol", started.proxy_protocol != new.proxy_protocol),
        ("redirect", started.redirect != new.redirect),
        ("ext_authz", started.ext_authz != new.ext_authz),
        ("hand_over", started.hand_over != new.hand_over),
        ("outbound.listen", address(started) != address(new)),
        ("log", started.log != new.log),
        ("telemetry", started.telemetry != new.telemetry),
    ];
    changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

/// The address of the local listener, and the permissions of its socket.
fn address(config: &Config) -> Option<(&ListenAddr, Option<SocketMode>)> {
    config.outbound.as_ref().map(|outbound| (&outbound.listen, outbound.mode))
}

/// The files as they were at one poll.
#[derive(Debug, PartialEq, Eq)]
struct Seen(Vec<Stamp>);

/// Distinguishes versions of a file without reading it. Editors and Kubernetes replace files rather than write to them, so the
/// file behind the name counts, not the name.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, Option<SystemTime>)>);

impl Stamp {
    async fn of(path: &Path) -> Self {
        let metadata = tokio::fs::metadata(path).await.ok();
        Self(metadata.map(|file| (file.ino(), file.len(), file.modified().ok())))
    }
}
