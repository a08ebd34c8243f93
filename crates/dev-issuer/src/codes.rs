//! Authorization codes: valid once, for one minute. A code that is used again invalidates the tokens it
//! was exchanged for ([RFC 6749 §4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)).

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::identifiers::random_handle;
use crate::pkce::Challenge;
use crate::scope::Scope;
use crate::shared::Shared;

const LIFETIME: Duration = Duration::from_secs(60);

/// The grant behind a code.
#[derive(Clone, Debug)]
pub(crate) struct CodeGrant {
    pub(crate) client: String,
    pub(crate) redirect_uri: String,
    pub(crate) code_challenge: Challenge,
    pub(crate) nonce: Option<String>,
    pub(crate) scope: Scope,
    pub(crate) session: String,
    /// Thumbprint of the key that the proof sent with the code must be signed with (RFC 9449 §10).
    pub(crate) key: Option<String>,
    /// `access_type=offline`, as Google names it.
    pub(crate) offline: bool,
}

#[derive(Debug)]
pub(crate) enum CodeRefusal {
    /// Never issued, or expired.
    Unknown,
    /// Used before. Carries the grant, so that the caller can end the client's part of the session.
    Reused(Box<CodeGrant>),
}

#[derive(Debug, Default)]
pub(crate) struct Codes(Shared<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    grant: CodeGrant,
    issued: SystemTime,
    used: bool,
}

impl Codes {
    pub(crate) fn issue(&self, grant: CodeGrant, now: SystemTime) -> String {
        let code = random_handle();
        let mut codes = self.0.lock();
        codes.retain(|_, entry| is_young(entry.issued, now));
        codes.insert(code.clone(), Entry { grant, issued: now, used: false });
        code
    }

    /// Uses the code up, even if the request fails afterwards.
    pub(crate) fn redeem(&self, code: &str, now: SystemTime) -> Result<CodeGrant, CodeRefusal> {
        let mut codes = self.0.lock();
        let entry = codes
            .get_mut(code)
            .filter(|entry| is_young(entry.issued, now))
            .ok_or(CodeRefusal::Unknown)?;
        if entry.used {
            return Err(CodeRefusal::Reused(Box::new(entry.grant.clone())));
        }
        entry.used = true;
        Ok(entry.grant.clone())
    }
}

fn is_young(issued: SystemTime, now: SystemTime) -> bool {
    now.duration_since(issued).unwrap_or_default() < LIFETIME
}
