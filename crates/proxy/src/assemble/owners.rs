//! The refresh of a session as a statement about the owner of API keys: their identity is that of the last sign-in or refresh.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use oidc_core::Clock;
use web_sessions::{ApiKeys, Record, Renew, RenewError};

use crate::workers::in_background;

/// Refreshes sessions with `renew`, and notes the identities that issuers state. No request waits for the note.
pub(super) fn noting(renew: Arc<Renew>, keys: &Arc<ApiKeys>, clock: &Arc<dyn Clock>) -> Arc<Renew> {
    let (keys, clock) = (Arc::clone(keys), Arc::clone(clock));
    Arc::new(move |record: Arc<Record>| -> BoxFuture<'static, Result<Record, RenewError>> {
        let (keys, clock) = (Arc::clone(&keys), Arc::clone(&clock));
        let owner = (record.known.iss.clone(), record.known.subject.clone());
        let renewed = renew(record);
        async move {
            let renewed = renewed.await?;
            let known = Arc::clone(&renewed.known);
            // A refresh that changes the subject is refused later.
            if (&known.iss, &known.subject) == (&owner.0, &owner.1) {
                let at = clock.now();
                in_background(async move {
                    if let Err(error) = keys.note_owner(&known, at).await {
                        tracing::warn!(%error, "identity of an owner of API keys not stored");
                    }
                });
            }
            Ok(renewed)
        }
        .boxed()
    })
}
