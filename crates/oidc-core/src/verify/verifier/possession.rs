//! Checks that the sender may use a valid token: possession is proved, by a certificate
//! (RFC 8705 §3) or by DPoP (RFC 9449 §7.1), at each request.

use std::sync::Arc;
use std::time::Duration;

use super::{Verifier, is_bound};
use crate::dpop::{
    DpopChecker, DpopPolicy, ProofRefusal, ProvenRequest, ReplayMemory, UncountedProof,
};
use crate::observer::Event;
use crate::refusal::TokenRefusal;
use crate::token::{AccessToken, Confirmation, InvalidClaims};
use crate::verify::{PresentationRefusal, Presented, Scheme, Unverified, Verified};

/// A presented token that is not remembered, or whose sender must prove to hold its key; [`Verifier::recall_presented`]
/// returns it for [`Verifier::verify_presented`].
#[derive(Debug)]
pub struct Unproven<'p, 'r> {
    presented: &'p Presented<'r>,
    found: Result<Arc<Verified<AccessToken>>, Unverified<'r>>,
}

impl Verifier {
    /// Accepts tokens that are bound to the key of DPoP proofs (RFC 9449), by [`Verifier::presented`].
    #[must_use]
    pub fn with_dpop(self, policy: DpopPolicy) -> Self {
        let memory = Arc::new(policy.local_memory());
        self.with_dpop_memory(policy, memory)
    }

    /// Like [`Self::with_dpop`], with another memory of used proofs than this process's own: one
    /// that all processes behind an address share, so that a proof is valid once among them.
    ///
    /// ```
    /// # fn run(verifier: oidc_core::Verifier) {
    /// use std::sync::Arc;
    /// use oidc_core::dpop::{DpopPolicy, LocalReplayMemory};
    ///
    /// let memory = Arc::new(LocalReplayMemory::new(100_000));
    /// let verifier = verifier.with_dpop_memory(DpopPolicy::default(), memory);
    /// # }
    /// ```
    #[must_use]
    pub fn with_dpop_memory(mut self, policy: DpopPolicy, memory: Arc<dyn ReplayMemory>) -> Self {
        self.dpop = Some(Arc::new(DpopChecker::new(policy, memory)));
        self
    }

    /// The nonce that the next DPoP proof must have, for the header `DPoP-Nonce` (RFC 9449 §9);
    /// `None` if none is required. It changes at intervals: call this for each answer.
    pub fn dpop_nonce(&self) -> Option<String> {
        self.dpop.as_ref()?.nonce(self.judge.clock.now())
    }

    /// The algorithms that DPoP proofs may be signed with, separated by spaces, for the challenge
    /// (RFC 9449 §7.1); `None` if proofs are not accepted.
    pub fn dpop_algorithms(&self) -> Option<String> {
        Some(self.dpop.as_ref()?.algorithms())
    }

    /// Verifies a token and that its sender may use it. The verified token is remembered; its proof
    /// of possession is checked at each call.
    ///
    /// ```no_run
    /// # async fn run(verifier: oidc_core::Verifier, request: http::request::Parts, client_certificate: Option<Vec<u8>>)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use oidc_core::dpop::DpopPolicy;
    /// use oidc_core::verify::Presented;
    ///
    /// let verifier = verifier.with_dpop(DpopPolicy::default());
    /// // The address as the client sees it: not what the request says of its host.
    /// let url = "https://api.example".parse::<url::Url>()?.join(request.uri.path())?;
    /// let presented = Presented::from_headers(&request.headers, &request.method, Some(&url))?;
    /// let mut presented = presented.ok_or("no token")?;
    /// if let Some(certificate) = &client_certificate {
    ///     presented = presented.with_certificate(certificate);
    /// }
    /// let token = verifier.presented(&presented).await?;
    /// println!("{} may use it", token.subject());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Reason the token is not accepted from this sender; [`PresentationRefusal::is_unavailable`]
    /// says whether it could not be checked now.
    pub async fn presented(
        &self,
        presented: &Presented<'_>,
    ) -> Result<Arc<Verified<AccessToken>>, PresentationRefusal> {
        match self.recall_presented(presented) {
            Ok(verified) => Ok(verified),
            Err(unproven) => self.prove(unproven, self.dpop.as_deref()).await,
        }
    }

    /// A presented token that was verified before and needs no proof of its sender; else a value for
    /// [`Verifier::verify_presented`]. Never waits.
    ///
    /// # Errors
    /// An [`Unproven`] does not mean that the token is not accepted.
    pub fn recall_presented<'p, 'r>(
        &self,
        presented: &'p Presented<'r>,
    ) -> Result<Arc<Verified<AccessToken>>, Unproven<'p, 'r>> {
        let found = self.look_up(presented.token());
        match found {
            Ok(verified) if !is_bound(&verified) && matches!(presented.scheme, Scheme::Bearer) => {
                Ok(verified)
            }
            found => Err(Unproven { presented, found }),
        }
    }

    /// [`Verifier::presented`] for what [`Verifier::recall_presented`] did not find, with a checker of DPoP proofs that other
    /// verifiers use too.
    ///
    /// # Errors
    /// Those of [`Verifier::presented`].
    pub async fn verify_presented(
        &self,
        unproven: Unproven<'_, '_>,
        checker: &DpopChecker,
    ) -> Result<Arc<Verified<AccessToken>>, PresentationRefusal> {
        self.prove(unproven, Some(checker)).await
    }

    async fn prove(
        &self,
        Unproven { presented, found }: Unproven<'_, '_>,
        checker: Option<&DpopChecker>,
    ) -> Result<Arc<Verified<AccessToken>>, PresentationRefusal> {
        let token = match found {
            Ok(verified) => verified,
            Err(unverified) => self.learn(unverified).await?,
        };
        if let Some(uncounted) = self.check_possession_by(presented, &token, checker)? {
            self.check_counted(uncounted.count().await, &token)?;
        }
        Ok(token)
    }

    /// Verifies a token whose sender has proved at an earlier time to hold the key that it is bound to: a stream that its
    /// request opened is still open. Never for the token of a request.
    ///
    /// # Errors
    /// [`TokenRefusal`] with the first check that failed.
    pub async fn dangerous_without_possession(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        match self.look_up(token) {
            Ok(verified) => Ok(verified),
            Err(unverified) => self.learn(unverified).await,
        }
    }

    /// Checks that the sender may use a valid token. A returned proof must still be counted.
    #[cfg(feature = "blocking")]
    pub(crate) fn check_possession(
        &self,
        presented: &Presented<'_>,
        token: &Verified<AccessToken>,
    ) -> Result<Option<UncountedProof>, PresentationRefusal> {
        self.check_possession_by(presented, token, self.dpop.as_deref())
    }

    fn check_possession_by(
        &self,
        presented: &Presented<'_>,
        token: &Verified<AccessToken>,
        checker: Option<&DpopChecker>,
    ) -> Result<Option<UncountedProof>, PresentationRefusal> {
        self.possession(presented, token, checker).inspect_err(|refusal| {
            self.observe_unproved(token, refusal.code());
        })
    }

    /// The outcome of [`UncountedProof::count`]; a refusal is reported to the observer.
    pub(crate) fn check_counted(
        &self,
        counted: Result<(), ProofRefusal>,
        token: &Verified<AccessToken>,
    ) -> Result<(), PresentationRefusal> {
        counted.map_err(|refusal| {
            self.observe_unproved(token, refusal.code());
            refusal.into()
        })
    }

    fn possession(
        &self,
        presented: &Presented<'_>,
        token: &AccessToken,
        checker: Option<&DpopChecker>,
    ) -> Result<Option<UncountedProof>, PresentationRefusal> {
        let bound = token.confirmation().map_err(|error| match error {
            InvalidClaims::Claim { claim, reason } => TokenRefusal::InvalidClaim { claim, reason },
            InvalidClaims::Malformed { reason } => {
                TokenRefusal::Malformed { part: "payload", reason }
            }
        })?;
        let (jkt, x5t_s256) = match &bound {
            Some(bound) => (bound.jkt(), bound.x5t_s256()),
            None => (None, None),
        };
        match (x5t_s256, presented.certificate) {
            (None, _) => {}
            (Some(_), None) => return Err(PresentationRefusal::CertificateMissing),
            (Some(own), Some(certificate)) => {
                if !Confirmation::is_certificate(own, certificate) {
                    return Err(PresentationRefusal::WrongCertificate);
                }
            }
        }
        match (jkt, &presented.scheme) {
            (None, Scheme::Bearer) => {}
            (Some(_), Scheme::Bearer) if checker.is_none() => {
                return Err(PresentationRefusal::DpopNotAccepted);
            }
            (Some(_), Scheme::Bearer) => return Err(PresentationRefusal::ProofMissing),
            (None, Scheme::Dpop { .. }) => return Err(PresentationRefusal::NotBound),
            (Some(jkt), Scheme::Dpop { proof, method, uri }) => {
                let checker = checker.ok_or(PresentationRefusal::DpopNotAccepted)?;
                let request = ProvenRequest { method, uri, access_token: presented.token(), jkt };
                return Ok(Some(checker.check(
                    proof.clone()?,
                    &request,
                    self.judge.clock.now(),
                )?));
            }
        }
        Ok(None)
    }

    /// Reports to the observer that the sender of a valid token may not use it.
    pub(super) fn observe_unproved(&self, token: &Verified<AccessToken>, code: &'static str) {
        if let Some(observer) = &self.judge.observer {
            let issuer = Some(token.confirmed_by());
            observer(&Event::TokenRefused { issuer, code, took: Duration::ZERO });
        }
    }
}
