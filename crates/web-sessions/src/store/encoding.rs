//! A record as bytes, for sealing.
//!
//! [`Secret`] cannot be serialized on purpose. Only this module turns a session's secrets into plain bytes. The bytes are wiped
//! when dropped and go nowhere but into [`Keys`](crate::seal::Keys).

use std::{sync::Arc, time::SystemTime};

use oidc_core::Secret;
use oidc_core::token::Algorithm;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    digest::Digest,
    moment::{from_nanos, nanos},
    record::Record,
    seal::{Keys, Purpose, SealError},
    ticket::SessionId,
};
use access_policy::Known;

/// [`Record`] with its secrets in plain text and its times in nanoseconds. The names are short because each byte counts in the
/// cookie store.
#[derive(Serialize)]
struct Bare<'r> {
    i: &'r SessionId,
    k: &'r Known,
    s: Option<&'r str>,
    c: u64,
    l: u64,
    r: u64,
    a: &'r str,
    e: u64,
    f: Option<&'r str>,
    t: Option<&'r str>,
    g: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    j: Option<Algorithm>,
}

/// The same, owned. Unknown members are ignored, so that an older version reads the records of a newer one.
#[derive(Deserialize)]
struct Read {
    i: SessionId,
    k: Known,
    s: Option<String>,
    c: u64,
    l: u64,
    r: u64,
    a: String,
    e: u64,
    f: Option<String>,
    t: Option<String>,
    g: u64,
    /// Missing in the records of older versions; text, because a newer version may know more algorithms.
    j: Option<String>,
}

/// The bytes of a record.
pub(super) fn encode(record: &Record) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let bare = Bare {
        i: &record.id,
        k: &record.known,
        s: record.provider_session.as_deref(),
        c: nanos(record.created_at),
        l: nanos(record.last_seen),
        r: nanos(record.renewed_at),
        a: record.access_token.expose(),
        e: nanos(record.access_expires_at),
        f: record.refresh_token.as_ref().map(Secret::expose),
        t: record.id_token.as_ref().map(Secret::expose),
        g: record.generation,
        j: record.id_token_algorithm,
    };
    // Large enough that the buffer is not reallocated, which would leave secrets behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *bytes, &bare)?;
    Ok(bytes)
}

/// Reads the bytes that [`encode`] made.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, serde_json::Error> {
    let read: Read = serde_json::from_slice(bytes)?;
    Ok(Record {
        id: read.i,
        known: Arc::new(read.k),
        provider_session: read.s,
        created_at: from_nanos(read.c),
        last_seen: from_nanos(read.l),
        renewed_at: from_nanos(read.r),
        access_token: Secret::from(read.a),
        access_expires_at: from_nanos(read.e),
        refresh_token: read.f.map(Secret::from),
        id_token: read.t.map(Secret::from),
        id_token_algorithm: read.j.and_then(|name| name.parse().ok()),
        generation: read.g,
    })
}

/// Seals a record for a store that keeps it under this digest of its ticket.
pub(super) fn seal(keys: &Keys, digest: &Digest, record: &Record) -> Result<Vec<u8>, NotSealed> {
    let plaintext = encode(record)?;
    Ok(keys.seal_bytes(Purpose::Record, digest, &plaintext)?)
}

/// The record that [`seal`] sealed, with the later of its time of last use and this one. `None` if it does not open.
pub(super) fn open(
    keys: &Keys,
    digest: &Digest,
    sealed: &[u8],
    last_seen: SystemTime,
) -> Option<Record> {
    let plaintext = keys.open_bytes(Purpose::Record, digest, sealed)?;
    let record = decode(&plaintext).ok()?;
    Some(Record { last_seen: last_seen.max(record.last_seen), ..record })
}

/// A record could not be sealed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) enum NotSealed {
    /// It has no JSON form.
    Encoding(#[from] serde_json::Error),
    /// The cryptographic library failed.
    Sealing(#[from] SealError),
}

#[cfg(test)]
mod tests;
