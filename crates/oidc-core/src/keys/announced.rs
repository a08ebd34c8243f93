//! The supported algorithms that an issuer announces for its tokens
//! (`id_token_signing_alg_values_supported`, OpenID Connect Discovery 1.0 §3).
//!
//! They are stored with the keys: a reader takes both in one snapshot, and a change of either makes
//! a new generation.

use crate::foreign_text::quoted;
use crate::issuer::Issuer;
use crate::misconfigured::IssuerMisconfigured;
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

    pub(super) fn check(&self, algorithm: Algorithm, issuer: &Issuer) -> Result<(), TokenRefusal> {
        match self {
            _ if self.allows(algorithm) => Ok(()),
            Self::Unsupported(names) => {
                Err(TokenRefusal::IssuerMisconfigured(unsupported(names, issuer)))
            }
            Self::Algorithms(announced) => Err(TokenRefusal::not_among(algorithm, announced)),
            Self::Nothing => Err(TokenRefusal::not_among(algorithm, &Algorithm::ALL)),
        }
    }

    /// The mistake of an issuer that announces only unsupported algorithms.
    pub(super) fn mistake(&self, issuer: &Issuer) -> Option<Box<IssuerMisconfigured>> {
        match self {
            Self::Unsupported(names) => Some(unsupported(names, issuer)),
            Self::Nothing | Self::Algorithms(_) => None,
        }
    }
}

fn unsupported(names: &[String], issuer: &Issuer) -> Box<IssuerMisconfigured> {
    let accepted = Algorithm::ALL.map(Algorithm::as_str).join(", ");
    Box::new(IssuerMisconfigured {
        issuer: issuer.clone(),
        member: "id_token_signing_alg_values_supported",
        problem: format!(
            "it announces only {} for its tokens, and accepted here are {accepted}",
            names.join(", ")
        ),
        remedy: "have it sign with an accepted algorithm, or name the one it signs with (algorithms)",
    })
}
