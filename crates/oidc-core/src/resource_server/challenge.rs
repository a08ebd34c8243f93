//! `WWW-Authenticate`: what a client must send (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1).
//!
//! Texts that came with the request are cut and limited to the characters of RFC 6750 §3. Problems
//! between this service and the issuer are not disclosed.

use std::time::Duration;

use ::http::{HeaderValue, StatusCode};
use url::Url;

use super::rejected::Rejected;
use crate::dpop::ProofRefusal;
use crate::refusal::TokenRefusal;
use crate::verify::{InvalidRequest, PresentationRefusal};

/// Length limit of a description, in characters.
const DESCRIPTION_LIMIT: usize = 240;

/// The scheme of a challenge: that of the request, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

/// Values shared by all challenges of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Challenges {
    pub(super) realm: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) resource_metadata: Option<Url>,
    /// The algorithms of proofs, if proofs are accepted.
    pub(super) dpop: Option<String>,
}

impl Challenges {
    /// 401 without an error: the request has no credentials (RFC 6750 §3.1).
    pub(super) fn no_credentials(&self) -> Rejected {
        let detail = "send an access token in the Authorization header";
        let mut rejected = Rejected::new(StatusCode::UNAUTHORIZED, "no_credentials", detail)
            .with_challenge(self.challenge(Scheme::Bearer, None, &self.scopes));
        if self.dpop.is_some() {
            let dpop = self.challenge(Scheme::Dpop, None, &self.scopes);
            rejected = rejected.with_challenge(dpop);
        }
        rejected
    }

    /// 400: the request is malformed.
    pub(super) fn invalid_request(&self, error: &InvalidRequest) -> Rejected {
        let detail = description(&error.to_string());
        let challenge = self.challenge(Scheme::Bearer, Some(("invalid_request", &detail)), &[]);
        Rejected::new(StatusCode::BAD_REQUEST, "invalid_request", detail).with_challenge(challenge)
    }

    /// 401, or 503 when the token could not be checked, or 500 when only a change of a configuration
    /// would allow that.
    pub(super) fn refused(
        &self,
        scheme: Scheme,
        refusal: &PresentationRefusal,
        nonce: Option<String>,
    ) -> Rejected {
        if let PresentationRefusal::Token(TokenRefusal::IssuerMisconfigured(_)) = refusal {
            let detail =
                "tokens cannot be verified: this service and its issuer do not fit each other";
            return Rejected::new(StatusCode::INTERNAL_SERVER_ERROR, refusal.code(), detail);
        }
        if refusal.is_unavailable() {
            let detail = match refusal {
                PresentationRefusal::Proof(_) => {
                    "proofs cannot be checked now; try again later with a new one"
                }
                _ => {
                    "tokens cannot be verified now, as the issuer is not available; try again later"
                }
            };
            let pause = refusal.retry_after().unwrap_or(Duration::from_secs(1));
            return Rejected::new(StatusCode::SERVICE_UNAVAILABLE, refusal.code(), detail)
                .with_retry_after(pause);
        }
        let error = match refusal {
            PresentationRefusal::Proof(ProofRefusal::NonceNeeded) => "use_dpop_nonce",
            // RFC 9449 §7.1: the token does not match, so the error is about the token.
            PresentationRefusal::Proof(ProofRefusal::WrongKey) => "invalid_token",
            PresentationRefusal::Proof(_) => "invalid_dpop_proof",
            _ => "invalid_token",
        };
        let scheme = match refusal {
            PresentationRefusal::ProofMissing => Scheme::Dpop,
            _ => scheme,
        };
        let detail = description(&refusal.to_string());
        let challenge = self.challenge(scheme, Some((error, &detail)), &[]);
        Rejected::new(StatusCode::UNAUTHORIZED, refusal.code(), detail)
            .with_challenge(challenge)
            .with_nonce(nonce.filter(|_| scheme == Scheme::Dpop))
    }

    /// 403: the token is valid but lacks a requirement (RFC 6750 §3.1). `scopes`: the missing ones.
    pub(super) fn insufficient(&self, scheme: Scheme, detail: &str, scopes: &[String]) -> Rejected {
        let detail = description(detail);
        let challenge = self.challenge(scheme, Some(("insufficient_scope", &detail)), scopes);
        Rejected::new(StatusCode::FORBIDDEN, "insufficient_scope", detail).with_challenge(challenge)
    }

    fn challenge(
        &self,
        scheme: Scheme,
        error: Option<(&str, &str)>,
        scopes: &[String],
    ) -> HeaderValue {
        let mut attributes = Vec::new();
        let mut add = |name: &str, value: &str| {
            attributes.push(format!("{name}=\"{}\"", plain(value)));
        };
        if let Some(realm) = &self.realm {
            add("realm", realm);
        }
        if let Some((code, text)) = error {
            add("error", code);
            add("error_description", text);
        }
        if !scopes.is_empty() {
            add("scope", &scopes.join(" "));
        }
        if let (Scheme::Dpop, Some(algorithms)) = (scheme, &self.dpop) {
            add("algs", algorithms);
        }
        if let Some(url) = &self.resource_metadata {
            add("resource_metadata", url.as_str());
        }
        let name = match scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Dpop => "DPoP",
        };
        let text = format!("{name} {}", attributes.join(", "));
        // Only characters that are valid in a header are left.
        HeaderValue::try_from(text.trim_end()).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

fn description(text: &str) -> String {
    plain(&text.chars().take(DESCRIPTION_LIMIT).collect::<String>())
}

/// The characters that RFC 6750 §3 allows in a value: printable ASCII without `"` and `\`.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}
