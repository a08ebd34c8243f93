//! Stores sessions in a file, for one gateway. They survive a restart and a `kill -9`.
//!
//! A record is sealed at rest and stored under the SHA-256 of its ticket, so that the file alone opens no session. Creating,
//! replacing and ending are on disk before they return. Work on the file happens on blocking threads, never on the ones that
//! serve requests.

mod entries;
mod opening;
mod tables;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use async_trait::async_trait;
use oidc_core::token::Algorithm;
use redb::Database;

use self::{
    opening::open,
    tables::{Entry, Reader, Writer, writing},
};
use super::encoding;
use crate::{
    digest::Digest,
    record::{Limits, Record, Summary, Which},
    seal::Keys,
    store::{Ended, EntryStore, Seen, SessionStore, StoreError},
    ticket::{SessionId, Ticket},
};

/// Number of logins whose state the file keeps, which bounds what unknown callers can make it grow by. The state of more logins
/// travels in the browser's cookie.
const LOGINS: u64 = 10_000;

/// Reasons the session file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The directory cannot be made or read.
    #[error("cannot use the directory of session file {}: {source}", path.display())]
    Directory {
        /// the session file
        path: PathBuf,
        /// the cause
        source: io::Error,
    },
    /// The file cannot be made, read or written.
    #[error("cannot open session file {}: {source}", path.display())]
    File {
        /// the session file
        path: PathBuf,
        /// the cause
        source: io::Error,
    },
    /// Another process has opened it.
    #[error(
        "session file {} is in use by another process; stop it, or set `session.store.embedded.path` to another file",
        path.display()
    )]
    InUse {
        /// the session file
        path: PathBuf,
    },
    /// It is not a session file, or is damaged.
    #[error(
        "invalid session file {}: {source}; move it away to start without sessions",
        path.display()
    )]
    Damaged {
        /// the session file
        path: PathBuf,
        /// the cause
        source: redb::Error,
    },
}

/// Keeps sessions in a file ([redb](https://docs.rs/redb)).
#[derive(Clone)]
pub struct EmbeddedStore {
    file: Arc<SessionFile>,
}

struct SessionFile {
    path: PathBuf,
    keys: Arc<Keys>,
    /// Locked exclusively only to reopen the file after an I/O error.
    database: RwLock<Opened>,
}

struct Opened {
    /// Number of times the file was opened.
    times: u64,
    /// `None` when it could not be opened again, or is closed for another process.
    database: Option<Database>,
    /// Whether another process has the file now.
    released: bool,
}

impl EmbeddedStore {
    /// Opens the file, or creates it (0600, its directory 0700). Blocks; for the start of the program.
    pub fn open(path: &Path, keys: Arc<Keys>) -> Result<Self, EmbeddedError> {
        let database =
            RwLock::new(Opened { times: 1, database: Some(open(path)?), released: false });
        Ok(Self { file: Arc::new(SessionFile { path: path.to_owned(), keys, database }) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SessionFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || work(&file)).await.map_err(unavailable)?
    }
}

#[async_trait]
impl SessionStore for EmbeddedStore {
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError> {
        let ticket = Ticket::random();
        let (digest, record) = (ticket.digest(), record.clone());
        self.blocking(move |file| {
            let entry = file.entry(&digest, &record)?;
            file.write(|writer| writer.insert(&digest, &entry))
        })
        .await?;
        Ok(ticket)
    }

    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError> {
        let digest = ticket.digest();
        self.blocking(move |file| {
            let found = file.read(|reader| reader.sealed(&digest))?;
            Ok(found.and_then(|(sealed, last_seen)| file.record(&digest, &sealed, last_seen)))
        })
        .await
    }

    async fn replace(
        &self,
        ticket: &Ticket,
        record: &Record,
    ) -> Result<Option<Ticket>, StoreError> {
        let (digest, record) = (ticket.digest(), record.clone());
        let kept = self
            .blocking(move |file| {
                let entry = file.entry(&digest, &record)?;
                file.write(|writer| {
                    let known = writer.remove(&digest)?.is_some();
                    if known {
                        writer.insert(&digest, &entry)?;
                    }
                    Ok(known)
                })
            })
            .await?;
        Ok(kept.then(|| ticket.clone()))
    }

    async fn touch(&self, seen: &[Seen]) -> Result<(), StoreError> {
        let seen = seen.to_vec();
        self.blocking(move |file| {
            file.write(|writer| seen.iter().try_for_each(|seen| writer.touch(&seen.id, seen.at)))
        })
        .await
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        Some(self)
    }

    async fn end(&self, id: &SessionId) -> Result<(), StoreError> {
        let id = id.clone();
        self.blocking(move |file| file.write(|writer| writer.remove_id(&id))).await
    }

    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        let holder = which.digest();
        self.blocking(move |file| {
            // Callers that name no session cost no write.
            if file.read(|reader| reader.holds(&holder))? {
                file.write(|writer| file.end_held(writer, &holder, signed_with))
            } else {
                Ok(Ended::default())
            }
        })
        .await
    }

    async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError> {
        self.blocking(move |file| {
            let found = file.read(|reader| reader.all(limit))?;
            let records = found
                .into_iter()
                .filter_map(|(digest, sealed, last_seen)| file.record(&digest, &sealed, last_seen));
            Ok(records.map(|record| Summary::from(&record)).collect())
        })
        .await
    }

    async fn count(&self) -> Result<Option<usize>, StoreError> {
        self.blocking(|file| file.read(Reader::count).map(Some)).await
    }

    async fn sweep(&self, limits: &Limits, now: SystemTime) -> Result<usize, StoreError> {
        let limits = *limits;
        self.blocking(move |file| {
            let (over, logins) =
                file.read(|reader| Ok((reader.over(&limits, now)?, reader.logins_over(now)?)))?;
            if over.is_empty() && logins.is_empty() {
                return Ok(0);
            }
            file.write(|writer| {
                over.iter().try_for_each(|digest| writer.remove(digest).map(drop))?;
                logins.iter().try_for_each(|key| writer.forget_login(key))
            })?;
            Ok(over.len())
        })
        .await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.blocking(|file| file.read(|_| Ok(()))).await
    }

    async fn keep_login(
        &self,
        key: &Digest,
        sealed: &[u8],
        until: SystemTime,
    ) -> Result<bool, StoreError> {
        let (key, sealed) = (*key, sealed.to_vec());
        self.blocking(move |file| {
            file.write(|writer| writer.keep_login(&key, &sealed, until, LOGINS))
        })
        .await
    }

    async fn login(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let key = *key;
        self.blocking(move |file| file.read(|reader| reader.login(&key))).await
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.blocking(|file| {
            let mut opened = file.database.write().unwrap_or_else(PoisonError::into_inner);
            opened.released = true;
            opened.database = None;
            Ok(())
        })
        .await
    }

    async fn add(
        &self,
        counter: &Digest,
        amount: u64,
        until: SystemTime,
    ) -> Result<Option<u64>, StoreError> {
        let counter = *counter;
        self.blocking(move |file| file.write(|writer| writer.add(&counter, amount, until)))
            .await
            .map(Some)
    }

    async fn forget_login(&self, key: &Digest) -> Result<(), StoreError> {
        let key = *key;
        self.blocking(move |file| file.write(|writer| writer.forget_login(&key))).await
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl SessionFile {
    fn entry(&self, digest: &Digest, record: &Record) -> Result<Entry, StoreError> {
        let sealed = encoding::seal(&self.keys, digest, record).map_err(unavailable)?;
        Ok(Entry::new(record, sealed))
    }

    /// Opens a sealed record. Logs and returns `None` if that fails.
    fn record(&self, digest: &Digest, sealed: &[u8], last_seen: SystemTime) -> Option<Record> {
        let record = encoding::open(&self.keys, digest, sealed, last_seen);
        if record.is_none() {
            tracing::warn!(
                path = %self.path.display(),
                "skipped a session record that does not open: it is damaged, or its key is gone"
            );
        }
        record
    }

    /// Ends the sessions that are held by `holder`. A record that does not open counts as one without an algorithm.
    fn end_held(
        &self,
        writer: &mut Writer<'_>,
        holder: &Digest,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, redb::Error> {
        let mut ended = Ended::default();
        for digest in writer.held(holder)? {
            let record = match signed_with {
                Some(_) => writer
                    .sealed(&digest)?
                    .and_then(|(sealed, last_seen)| self.record(&digest, &sealed, last_seen)),
                None => None,
            };
            match record.filter(|record| !record.ended_by(signed_with)) {
                Some(spared) => ended.spared.push(spared.id),
                None => ended.ids.extend(writer.remove(&digest)?),
            }
        }
        Ok(ended)
    }

    fn read<T>(&self, work: impl Fn(&Reader) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        self.with(|database| work(&Reader::begin(database)?))
    }

    fn write<T>(
        &self,
        work: impl Fn(&mut Writer<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with(|database| writing(database, &work))
    }

    /// Works on the file. After an I/O error (a full disk) redb requires that the file is reopened, which is done once.
    fn with<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let (times, first) = {
            let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
            (opened.times, opened.database.as_ref().map(&work))
        };
        match first {
            Some(Err(redb::Error::PreviousIo)) | None => {}
            Some(done) => return done.map_err(unavailable),
        }
        let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have reopened it meanwhile.
        if opened.times == times && !opened.released {
            // Closed first, because an open file is locked.
            opened.database = None;
            opened.database = Some(open(&self.path).map_err(unavailable)?);
            opened.times += 1;
        }
        match opened.database.as_ref().map(work) {
            Some(done) => done.map_err(unavailable),
            None => Err(StoreError::Unavailable { reason: "session file is closed".to_owned() }),
        }
    }
}

fn unavailable(error: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
