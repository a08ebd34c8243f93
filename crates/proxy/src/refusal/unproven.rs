//! Bound tokens whose sender does not prove to hold the key.

use oidc_core::dpop::ProofRefusal;
use oidc_core::verify::PresentationRefusal;

use super::Refusal;

/// A valid token whose sender does not prove to hold its key, and what the client needs to try again.
#[derive(Debug)]
pub struct Unproven {
    /// The reason.
    pub reason: PresentationRefusal,
    /// The algorithms that DPoP proofs may be signed with, separated by spaces.
    pub algorithms: String,
    /// The nonce that the next proof must have, where one is required.
    pub nonce: Option<String>,
}

impl Unproven {
    /// Whether a proof of the scheme `DPoP` is what is missing or invalid.
    pub(crate) fn is_about_dpop(&self) -> bool {
        matches!(
            self.reason,
            PresentationRefusal::ProofMissing
                | PresentationRefusal::NotBound
                | PresentationRefusal::Proof(_)
        )
    }

    /// `error` of the challenge (RFC 6750 §3.1, RFC 9449 §7.1, §9).
    pub(crate) fn error(&self) -> &'static str {
        match &self.reason {
            PresentationRefusal::Proof(ProofRefusal::NonceNeeded) => "use_dpop_nonce",
            PresentationRefusal::Proof(_) => "invalid_dpop_proof",
            _ => "invalid_token",
        }
    }
}

// === impl Refusal ===

impl From<PresentationRefusal> for Refusal {
    fn from(refusal: PresentationRefusal) -> Self {
        match refusal {
            PresentationRefusal::Token(refusal) => refusal.into(),
            reason => Self::Unproven(Box::new(Unproven {
                reason,
                algorithms: String::new(),
                nonce: None,
            })),
        }
    }
}
