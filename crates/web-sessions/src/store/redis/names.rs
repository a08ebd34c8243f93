//! Names of keys.
//!
//! The digest of a ticket is the hash tag of all keys of its session, so that a cluster keeps them in one slot and a script may
//! change them together. No key holds a ticket, because keys show in `MONITOR`, in the slow log and in dumps.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{digest::Digest, ticket::SessionId};

/// Length of a digest's text.
const DIGEST_LEN: usize = 43;

/// Names keys under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The record of a session, a hash. Only keys with [`tracked`](Self::tracked) or
    /// [`tracked_entries`](Self::tracked_entries) cause invalidations.
    pub(super) fn session(&self, digest: &Digest) -> String {
        self.tagged("s", digest)
    }

    /// The start of all keys of records.
    pub(super) fn tracked(&self) -> String {
        format!("{}s:", self.prefix)
    }

    /// The digest in the name of a record's key.
    pub(super) fn digest_of(&self, key: &[u8]) -> Option<Digest> {
        let rest = key.strip_prefix(self.tracked().as_bytes())?;
        digest(rest.strip_prefix(b"{")?.strip_suffix(b"}")?)
    }

    /// An entry, a hash.
    pub(super) fn entry(&self, name: &Digest) -> String {
        self.tagged("k", name)
    }

    /// The start of all keys of entries.
    pub(super) fn tracked_entries(&self) -> String {
        format!("{}k:", self.prefix)
    }

    /// The digest in the name of an entry's key.
    pub(super) fn entry_of(&self, key: &[u8]) -> Option<Digest> {
        let rest = key.strip_prefix(self.tracked_entries().as_bytes())?;
        digest(rest.strip_prefix(b"{")?.strip_suffix(b"}")?)
    }

    /// The time that is kept beside an entry. Not among the tracked keys, or each use would make every process read it again.
    pub(super) fn stamp(&self, name: &Digest) -> String {
        format!("{}n:{}", self.prefix, text(name))
    }

    /// The entries under an index.
    pub(super) fn listed(&self, index: &Digest) -> String {
        format!("{}x:{}", self.prefix, text(index))
    }

    /// The turn at refreshing.
    pub(super) fn turn(&self, digest: &Digest) -> String {
        self.tagged("l", digest)
    }

    /// Time of last use. Not among the tracked keys, or each use would make every process read the record again.
    pub(super) fn last_seen(&self, digest: &Digest) -> String {
        self.tagged("u", digest)
    }

    /// Digest of the session with this name.
    pub(super) fn id(&self, id: &SessionId) -> String {
        format!("{}i:{id}", self.prefix)
    }

    /// The sessions of a provider session or of a subject.
    pub(super) fn index(&self, which: &Digest) -> String {
        format!("{}w:{}", self.prefix, text(which))
    }

    /// All sessions.
    pub(super) fn all(&self) -> String {
        format!("{}all", self.prefix)
    }

    /// The stream of ended sessions.
    pub(super) fn ended(&self) -> String {
        format!("{}e", self.prefix)
    }

    /// State of a login in progress.
    pub(super) fn login(&self, key: &Digest) -> String {
        format!("{}a:{}", self.prefix, text(key))
    }

    /// The logins in progress.
    pub(super) fn logins(&self) -> String {
        format!("{}logins", self.prefix)
    }

    /// Something that counts once.
    pub(super) fn use_of(&self, name: &Digest) -> String {
        format!("{}j:{}", self.prefix, text(name))
    }

    /// Something that is counted.
    pub(super) fn counter(&self, name: &Digest) -> String {
        format!("{}n:{}", self.prefix, text(name))
    }

    /// The used proofs of one key.
    pub(super) fn proofs(&self, key: &str) -> String {
        format!("{}p:{key}", self.prefix)
    }

    /// Sign-outs of a provider session or of a subject.
    pub(super) fn sign_outs(&self, which: &Digest) -> String {
        format!("{}o:{}", self.prefix, text(which))
    }

    fn tagged(&self, kind: &str, digest: &Digest) -> String {
        format!("{}{kind}:{{{}}}", self.prefix, text(digest))
    }
}

/// The text of a digest.
pub(super) fn text(digest: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(digest)
}

/// A digest from its text.
pub(super) fn digest(text: &[u8]) -> Option<Digest> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// The entry of a session in an index: digest, then name.
pub(super) fn member(digest: &Digest, id: &SessionId) -> String {
    format!("{}{id}", text(digest))
}

/// The reverse of [`member`].
pub(super) fn from_member(member: &str) -> Option<(Digest, SessionId)> {
    let (start, id) = member.split_at_checked(DIGEST_LEN)?;
    Some((digest(start.as_bytes())?, SessionId::from_name(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_the_digest_and_never_the_ticket() {
        let ticket = crate::ticket::Ticket::random();
        let (names, digest) = (Names::new("doorward:"), ticket.digest());
        let key = names.session(&digest);
        assert!(key.starts_with("doorward:s:{") && key.ends_with('}') && key.len() == 56);
        assert!(!key.contains(ticket.expose()));
        assert_eq!(names.digest_of(key.as_bytes()), Some(digest));
        for other in ["", "doorward:s:", "doorward:s:{}", "doorward:u:{AA}", "s:{AA}"] {
            assert_eq!(names.digest_of(other.as_bytes()), None, "{other}");
        }
        let id = SessionId::random();
        assert_eq!(from_member(&member(&digest, &id)), Some((digest, id)));
        assert_eq!(from_member("short"), None);
    }
}
