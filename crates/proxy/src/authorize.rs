//! Stage 4, authorize: may this identity pass this route?
//!
//! The first rule whose path and method match decides. No match, and whatever cannot be understood, is a refusal. [`Permitted`]
//! is made here and nowhere else; without one nothing can be forwarded.

mod policy;
mod requirement;

pub use policy::{Allow, Decision, Policy, Rule, Step};
pub use requirement::{Requirement, Unmet};

use http::Method;

use crate::{
    canonical::{CanonicalPath, CanonicalRequest, PathRefusal},
    identify::{Credential, Identified, Identity},
    respond::Refusal,
    route::{Route, Routed},
};

/// A request that may go to its upstream. Only [`authorize`] makes one.
///
/// ```compile_fail
/// # use doorward::{authorize::Permitted, identify::Identified};
/// fn forge(identified: Identified) -> Permitted {
///     Permitted { identified, rule: 1 }
/// }
/// ```
///
/// while one that was made can be handed on:
///
/// ```
/// # use doorward::{authorize::Permitted, identify::Identified};
/// fn hand_on(_: Identified, permitted: Permitted) -> Permitted {
///     permitted
/// }
/// ```
#[derive(Debug)]
pub struct Permitted {
    identified: Identified,
    rule: usize,
}

impl Permitted {
    /// The request as it was judged, which is also how it is sent.
    pub fn request(&self) -> &CanonicalRequest {
        &self.identified.routed.request
    }

    /// The route it takes.
    pub fn route(&self) -> &Route {
        &self.identified.routed.route
    }

    /// Who calls.
    pub fn identity(&self) -> &Identity {
        &self.identified.identity
    }

    /// What proved it.
    pub fn credential(&self) -> &Credential {
        &self.identified.credential
    }

    /// The rule that let it through, from 1.
    pub fn rule(&self) -> usize {
        self.rule
    }

    /// Takes the proof apart to send it.
    pub(crate) fn into_parts(
        self,
    ) -> (CanonicalRequest, std::sync::Arc<Route>, Identity, Credential) {
        let Identified { routed, identity, credential, .. } = self.identified;
        (routed.request, routed.route, identity, credential)
    }
}

/// Judges a request whose caller is known, or known to be anonymous.
///
/// # Errors
///
/// [`Refusal::LoginNeeded`] when nobody is known and somebody must be, [`Refusal::Forbidden`] when the caller lacks what the
/// rule asks for, [`Refusal::ForeignOrigin`] for a WebSocket that another site's page opened.
pub fn authorize(identified: Identified) -> Result<Permitted, Refusal> {
    let Routed { request, route } = &identified.routed;
    if request.upgrade().is_some() {
        check_origin(&identified)?;
    }
    let rule = judge(
        route,
        request.method(),
        request.path(),
        &identified.identity,
        matches!(identified.credential, Credential::Bearer { .. }),
    )
    .map_err(|denied| match denied {
        Denied::SignIn => Refusal::LoginNeeded {
            route: route.name.clone(),
            redirect: route.sends_to_sign_in(request),
            return_to: request.path_and_query(),
        },
        Denied::Refused(refusal) => refusal,
    })?;
    Ok(Permitted { identified, rule })
}

/// What [`judge`] says no with.
#[derive(Debug)]
pub(crate) enum Denied {
    /// Nobody is signed in, and somebody must be.
    SignIn,
    /// Anything else.
    Refused(Refusal),
}

/// The decision itself, for requests that pass through and for forward-auth questions alike.
pub(crate) fn judge(
    route: &Route,
    method: &Method,
    path: &CanonicalPath,
    identity: &Identity,
    bearer: bool,
) -> Result<usize, Denied> {
    match route.policy.decide(method, path, identity) {
        Decision::Allow { rule } => Ok(rule),
        Decision::SignIn { .. } => Err(Denied::SignIn),
        Decision::Ambiguous { .. } => Err(Denied::Refused(PathRefusal::Ambiguous.into())),
        Decision::Deny { rule, unmet } => Err(Denied::Refused(Refusal::Forbidden {
            route: route.name.clone(),
            title: route.title.clone(),
            who: match identity {
                Identity::Known(known) => known.display_name().to_owned(),
                Identity::Anonymous => "nobody".to_owned(),
            },
            rule,
            unmet: Box::new(unmet),
            bearer,
        })),
    }
}

/// A browser tells which page opened a WebSocket; only pages of the same host may (RFC 6455 §10.2). Programs tell none, and
/// then must not come with a browser's cookie.
fn check_origin(identified: &Identified) -> Result<(), Refusal> {
    let Routed { request, route } = &identified.routed;
    let foreign =
        |origin: &str| Refusal::ForeignOrigin { origin: origin.chars().take(200).collect() };
    match request.headers().get(http::header::ORIGIN) {
        Some(origin) => {
            let own = route.origin(request.host());
            if origin.as_bytes() == own.as_bytes() {
                return Ok(());
            }
            Err(foreign(&String::from_utf8_lossy(origin.as_bytes())))
        }
        None if matches!(identified.credential, Credential::Session(_)) => Err(foreign("(none)")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
