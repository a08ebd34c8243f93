//! The algorithms that an issuer announces for its tokens (`id_token_signing_alg_values_supported`,
//! OpenID Connect Discovery 1.0 §3), as far as they exist here.
//!
//! They travel with the keys: a reader takes both in one snapshot, and a change of either is another
//! generation.

use super::KeysUnavailable;
use crate::algorithm::Algorithm;
use crate::foreign_text::quoted;
use crate::refusal::TokenRefusal;

/// How many names a reason repeats.
const NAMED: usize = 8;

/// What an issuer says it signs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It does not say.
    #[default]
    Nothing,
    /// These.
    Algorithms(Vec<Algorithm>),
    /// Only names that are no algorithm here, cut and escaped.
    Unsupported(Vec<String>),
}

impl Announced {
    /// From the names in the metadata. Names that are no algorithm here count for nothing beside one
    /// that is.
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

    /// Why no token of the issuer can be judged by what it announces.
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
