//! A verifier that takes the place of another, when a program reads its configuration again.

use std::sync::Arc;

use super::Verifier;
use crate::issuer::Issuer;

impl Verifier {
    /// Also remembers the access tokens that `earlier` remembers, of the issuers whose key source this verifier shares
    /// ([`Arc::ptr_eq`]) and for which `same_rules` returns `true`. Name all issuers before: [`Verifier::with_issuer`] empties
    /// the memory.
    ///
    /// `same_rules` must return `false` where the [`Validation`](crate::Validation) of an issuer has changed, because a
    /// remembered token is not checked against the rules again.
    ///
    /// ```
    /// # #[cfg(feature = "test-util")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::sync::Arc;
    /// # use oidc_core::{Validation, Verifier, keys::{JwkSet, StaticKeys}, testing::TestIssuer};
    /// # let issuer = TestIssuer::new();
    /// let (keys, clock) = (issuer.keys(), issuer.clock());
    /// let people = || Validation::new(issuer.issuer(), "hub");
    /// let before = Verifier::new(people(), keys.clone()).with_clock(clock.clone());
    /// let token = issuer.access_token("hub");
    /// before.access_token(&token).await?;
    ///
    /// // One more issuer is trusted; the tokens of the first stay remembered.
    /// let jobs = Validation::new("https://jobs.example".parse()?, "hub");
    /// let after = Verifier::new(jobs, Arc::new(StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#)?)))
    ///     .with_issuer(people(), keys)
    ///     .with_clock(clock)
    ///     .with_memory_of(&before, |_| true);
    /// assert!(after.recall(&token).is_ok());
    /// # Ok(()) }
    /// # #[cfg(feature = "test-util")]
    /// # fn main() {
    /// #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// #     runtime.block_on(run()).unwrap();
    /// # }
    /// # #[cfg(not(feature = "test-util"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn with_memory_of(self, earlier: &Self, same_rules: impl Fn(&Issuer) -> bool) -> Self {
        let (Some(memory), Some(remembered)) = (&self.memory, &earlier.memory) else {
            return self;
        };
        // The index here of each issuer of `earlier` that is unchanged.
        let places: Vec<Option<usize>> = earlier
            .judge
            .all()
            .map(|before| {
                let issuer = before.validation.issuer();
                let is_same = |now: &&_| now == &issuer && same_rules(issuer);
                let place = self.judge.issuers().position(|now| is_same(&now))?;
                let now = self.judge.nth(place)?;
                Arc::ptr_eq(&now.keys, &before.keys).then_some(place)
            })
            .collect();
        memory.take_over(remembered, |issuer| places.get(issuer).copied().flatten());
        self
    }
}
