//! Replaces the configuration in use while requests continue.
//!
//! Files are polled, not watched: polling works on every file system, follows the symbolic links that Kubernetes exchanges, and
//! does not wake when another file in the directory is written.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};

use crate::{
    assemble::{self, Lasting},
    config::{Config, Loaded},
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
    loaded: Arc<Mutex<Loaded>>,
}

/// Cause of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The configuration may have changed.
    Configuration,
    /// A secret it names has changed: values derived from the old one are derived again.
    Secrets,
}

impl Reloader {
    pub(super) fn new(serving: Serving, lasting: Lasting, loaded: Arc<Mutex<Loaded>>) -> Self {
        Self { serving, lasting, loaded }
    }

    /// Reloads on SIGHUP, and when the file or a secret it names changes.
    pub(super) async fn watch(self, path: PathBuf) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
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
            let because = match now.secrets == seen.secrets {
                true => Because::Configuration,
                false => Because::Secrets,
            };
            self.reload(&path, because).await;
            seen = now;
        }
    }

    /// Reads the file again. A file with problems changes nothing.
    pub async fn reload(&self, path: &Path, because: Because) {
        let fresh = match Config::load(path) {
            Ok(fresh) => fresh,
            Err(problems) => return refused(&problems),
        };
        let mut loaded = self.loaded.lock().await;
        if let Err(error) = assemble::rotate_session_keys(&fresh.config, &self.lasting) {
            return refused(&error);
        }
        if fresh.hash == loaded.hash && because == Because::Configuration {
            return;
        }
        for key in needing_restart(&loaded.config, &fresh.config) {
            tracing::warn!(key, "this change takes effect after a restart");
        }
        let before = self.serving.app();
        let kept = (because == Because::Configuration).then_some((&loaded.config, &*before));
        match assemble::app(&fresh.config, &self.lasting, kept) {
            Ok(app) => {
                self.serving.replace(app);
                metric::reloaded("ok");
                metric::configured(&fresh.hash, Some(&loaded.hash));
                tracing::info!(config = fresh.hash, "configuration reloaded");
                *loaded = fresh;
            }
            Err(error) => refused(&error),
        }
    }

    async fn look(&self, path: &Path) -> Seen {
        let secrets = self.loaded.lock().await.config.secret_files();
        let mut stamps = Vec::with_capacity(secrets.len());
        for secret in &secrets {
            stamps.push(Stamp::of(secret).await);
        }
        Seen { configuration: Stamp::of(path).await, secrets: stamps }
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

/// Keys whose change needs a restart.
fn needing_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("listen", old.listen != new.listen),
        ("tls", old.tls != new.tls),
        ("admin", old.admin != new.admin),
        ("session", old.session != new.session),
        ("log", old.log != new.log),
        ("telemetry", old.telemetry != new.telemetry),
    ];
    changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

/// The files as they were at one poll.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    configuration: Stamp,
    secrets: Vec<Stamp>,
}

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
