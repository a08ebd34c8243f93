//! Judges signed messages: chooses the issuer, checks the signature with its keys, applies its rules.
//!
//! With several issuers, `iss` chooses among those trusted before any key is used (RFC 8725 §3.8).
//! A token therefore causes no request to an untrusted issuer, and a `kid` is looked up only among
//! the chosen issuer's keys.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};

use super::trusted::{Signed, Trusted};
use super::validation::Validation;
use super::verified::Verified;
use crate::clock::{Clock, SystemClock};
use crate::foreign_text::quoted;
use crate::issuer::Issuer;
use crate::jose::{UnverifiedJws, VerifiedJws};
use crate::keys::KeySource;
use crate::observer::{Event, Observer};
use crate::refusal::TokenRefusal;

/// The trusted issuers, and the time.
#[derive(Clone)]
pub(super) struct Judge {
    first: Trusted,
    others: Vec<Trusted>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Option<Observer>,
}

/// A valid token, with its issuer and key generation.
pub(super) struct Judged<T> {
    pub(super) verified: Verified<T>,
    pub(super) issuer: usize,
    pub(super) generation: u64,
}

impl Judge {
    pub(super) fn new(validation: Validation, keys: Arc<dyn KeySource>) -> Self {
        Self {
            first: Trusted { validation, keys },
            others: Vec::new(),
            clock: Arc::new(SystemClock),
            observer: None,
        }
    }

    /// Trusts another issuer, or replaces the rules and keys of a trusted one.
    pub(super) fn trust(&mut self, validation: Validation, keys: Arc<dyn KeySource>) {
        let trusted = Trusted { validation, keys };
        let known = std::iter::once(&mut self.first)
            .chain(&mut self.others)
            .find(|known| known.validation.issuer() == trusted.validation.issuer());
        match known {
            Some(known) => *known = trusted,
            None => self.others.push(trusted),
        }
    }

    pub(super) fn first(&self) -> &Trusted {
        &self.first
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Trusted> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn nth(&self, index: usize) -> Option<&Trusted> {
        match index.checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.others.get(other),
        }
    }

    pub(super) fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.all().map(|trusted| trusted.validation.issuer())
    }

    /// Judges a message of the form that `parse` reads, within a span, and reports the outcome to
    /// the observer.
    pub(super) async fn judge<'t, T>(
        &self,
        signed: Signed,
        parse: impl FnOnce(&'t str) -> Result<UnverifiedJws<'t>, TokenRefusal>,
        token: &'t str,
        rules: impl FnOnce(&Validation, VerifiedJws, SystemTime) -> Result<Verified<T>, TokenRefusal>,
    ) -> Result<Judged<T>, TokenRefusal> {
        let span = tracing::debug_span!(
            "verify",
            issuer = field::Empty,
            kid = field::Empty,
            alg = field::Empty,
            outcome = field::Empty
        );
        let begun = self.observer.as_ref().map(|_| Instant::now());
        let mut chosen = None;
        let work = async {
            let (jws, issuer) = self.choose(parse(token)?)?;
            let trusted = chosen.insert(self.nth(issuer).unwrap_or(&self.first));
            let (jws, generation) = trusted.open(jws, signed).await?;
            let verified = rules(&trusted.validation, jws, self.clock.now())?;
            Ok(Judged { verified, issuer, generation })
        };
        let verdict = work.instrument(span.clone()).await;
        span.record("outcome", verdict.as_ref().map_or_else(TokenRefusal::code, |_| "ok"));
        if let (Some(observer), Some(begun)) = (&self.observer, begun) {
            let took = begun.elapsed();
            let issuer = chosen.map(|trusted| trusted.validation.issuer());
            observer(&match &verdict {
                Ok(Judged { verified, .. }) => Event::TokenVerified {
                    issuer: issuer.unwrap_or(self.first.validation.issuer()),
                    kid: verified.key_id(),
                    algorithm: verified.algorithm(),
                    took,
                },
                Err(refusal) => Event::TokenRefused { issuer, code: refusal.code(), took },
            });
        }
        verdict
    }

    /// Chooses the issuer whose rules and keys apply. With several issuers, this reads the
    /// unverified payload; a wrong choice fails at the signature.
    fn choose<'t>(
        &self,
        mut jws: UnverifiedJws<'t>,
    ) -> Result<(UnverifiedJws<'t>, usize), TokenRefusal> {
        let index = if self.others.is_empty() {
            0
        } else {
            let origin = jws.claimed_origin().map_err(TokenRefusal::clone)?;
            let chosen = self.all().position(|trusted| trusted.validation.is_origin(origin));
            chosen.ok_or_else(|| match origin.issuer {
                None => TokenRefusal::MissingClaim { claim: "iss" },
                Some(claimed) => {
                    let known = self.issuers().map(Issuer::as_str).collect::<Vec<_>>();
                    let (expected, found) = (known.join(" or "), quoted(claimed));
                    TokenRefusal::WrongIssuer { expected, found }
                }
            })?
        };
        let span = Span::current();
        if !span.is_disabled() {
            let trusted = self.nth(index).unwrap_or(&self.first);
            span.record("issuer", trusted.validation.issuer().as_str());
            span.record("alg", jws.header.algorithm.as_str());
            if let Some(kid) = &jws.header.key_id {
                span.record("kid", quoted(kid));
            }
        }
        Ok((jws, index))
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}
