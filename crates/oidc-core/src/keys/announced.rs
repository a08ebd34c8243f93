//! The supported algorithms that an issuer announces for its tokens
//! (`id_token_signing_alg_values_supported`, OpenID Connect Discovery 1.0 §3).
//!
//! They are stored with the keys: a reader takes both in one snapshot, and a change of either makes
//! a new generation.

use super::KeysUnavailable;
use crate::foreign_text::quoted;
use crate::refusal::TokenRefusal;
use crate::token::Algorithm;

/// Limit on the names in a reason.
const NAMED: usize = 8;

/// The algorithms an issuer announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It announces none.
    #[default]
    Nothing,
    /// Supported algorithms.
    Algorithms(Vec<Algorithm>),
    /// Only unsupported names, cut and escaped.
    Unsupported(Vec<String>),
}

impl Announced {
    /// From the names in the metadata. Unsupported names are ignored if at least one is supported.
    pub(super) fn of(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::Nothing;
        }
        let mut known: Vec<Algorithm> = names.iter().filter_map(|name| name.parse().ok()).collect();
        known.sort_unstable();
        known.dedup();
        match known.is_empty() {
            true => Self::Unsupported(names.iter().take(NAMED).map(|name| quoted(name)).collect()),
            false => Self::Algorithms(known),
        }
    }

    /// Whether tokens may be signed with `algorithm`.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Nothing => true,
            Self::Algorithms(announced) => announced.contains(&algorithm),
            Self::Unsupported(_) => false,
        }
    }

    pub(super) fn check(&self, algorithm: Algorithm) -> Result<(), TokenRefusal> {
        match self {
            _ if self.allows(algorithm) => Ok(()),
            Self::Unsupported(_) => Err(self.unsupported().into()),
            Self::Algorithms(announced) => Err(TokenRefusal::not_among(algorithm, announced)),
            Self::Nothing => Err(TokenRefusal::not_among(algorithm, &Algorithm::ALL)),
        }
    }

    /// The error for an issuer that announces only unsupported algorithms.
    pub(super) fn unsupported(&self) -> KeysUnavailable {
        let names = match self {
            Self::Unsupported(names) => names.join(", "),
            Self::Nothing | Self::Algorithms(_) => String::new(),
        };
        let accepted = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        let reason = format!(
            "it announces only {names} for its tokens (id_token_signing_alg_values_supported), and none of \
             these is accepted here; have it sign with one of {accepted}, or name the one it signs with \
             (algorithms)"
        );
        KeysUnavailable { reason, retry_after: None }
    }
}
