//! Stage 4, authorize: decides whether an identity may use a route.
//!
//! The first rule whose path and method match decides. No match and an ambiguous request are refusals. Only this module makes
//! [`Permitted`], and without one nothing is forwarded.

use std::{sync::Arc, time::SystemTime};

use access_policy::{AccessRequest, Caller, Decision, Known, Message, StepUp, Unmet};
use http::{HeaderValue, header};
use http_canonical::PathRefusal;

use crate::{
    config::WebOrigin,
    identify::{Credential, Identified, Sender, Unread},
    listen::CanonicalRequest,
    mcp::{McpFault, McpMessage, Resource},
    refusal::{Refusal, StrongerSignIn},
    route::{Route, Routed},
};

/// A request that may go to its upstream. Only [`authorize`] makes one.
///
/// ```compile_fail
/// # use doorward::{authorize::Permitted, identify::Identified};
/// fn forge(identified: Identified) -> Permitted {
///     Permitted { identified, rule: 1, public: true }
/// }
/// ```
///
/// while an existing one can be passed on:
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
    /// The rule is for anyone.
    public: bool,
}

impl Permitted {
    /// The request as it was judged; the same form is sent.
    pub fn request(&self) -> &CanonicalRequest {
        &self.identified.routed.request
    }

    /// The route it takes.
    pub fn route(&self) -> &Route {
        &self.identified.routed.route
    }

    /// The caller, as rules know it.
    pub fn caller(&self) -> &Caller {
        &self.identified.sender.caller
    }

    /// Proof of the identity.
    pub fn credential(&self) -> &Credential {
        &self.identified.sender.credential
    }

    /// The rule that let it through, from 1.
    pub fn rule(&self) -> usize {
        self.rule
    }

    /// Whether anyone may have the answer.
    pub(crate) fn is_public(&self) -> bool {
        self.public
    }

    /// Time at which the request began, if its rules asked for it.
    pub(crate) fn began(&self) -> Option<SystemTime> {
        self.identified.times.map(|times| times.began)
    }

    /// The message by which it was judged, if its rules asked for it.
    pub(crate) fn message(&self) -> Option<&Arc<McpMessage>> {
        self.identified.read_message()
    }

    /// Takes it apart, to be sent.
    pub(crate) fn into_parts(self) -> (Box<CanonicalRequest>, Arc<Route>, Sender) {
        let Identified { routed: Routed { request, route }, sender, .. } = self.identified;
        (request, route, sender)
    }
}

/// Decides whether an identified request may pass.
///
/// # Errors
///
/// [`Refusal::LoginNeeded`] when the caller is unknown and must be known, [`Refusal::StrongerSignInNeeded`] when only the strength or
/// the age of the sign-in is missing, [`Refusal::Forbidden`] when the caller lacks a
/// requirement of the rule, [`Refusal::BadCredentials`] when a bearer token of no configured issuer came to a rule that is not
/// for anyone or to a route whose upstream receives access tokens, [`Refusal::ForeignOrigin`] for a WebSocket that another
/// site's page opened with a session.
pub fn authorize(identified: Identified) -> Result<Permitted, Refusal> {
    let Identified { routed: Routed { request, route }, sender, times, .. } = &identified;
    let case = Case {
        route,
        access: AccessRequest::new(request.method(), request.path())
            .with_host(request.host().name())
            .with_times(*times)
            .with_message(identified.message()),
        sender,
        page: request.opens_websocket().then(|| Page {
            origin: request.headers().get(header::ORIGIN),
            own: route.origin(request.host()),
        }),
    };
    let granted = judge(&case).map_err(|denied| match denied {
        Denied::SignIn(level) => Refusal::LoginNeeded {
            route: route.name.clone(),
            redirect: route.sends_to_sign_in(request.opens_websocket(), request.headers()),
            return_to: request.path_and_query(),
            level,
        },
        Denied::StepUp { needed, session } => Refusal::StrongerSignInNeeded {
            route: route.name.clone(),
            redirect: session
                && route.sends_to_sign_in(request.opens_websocket(), request.headers()),
            return_to: request.path_and_query(),
            needed,
        },
        Denied::Refused(refusal) => refusal,
    })?;
    let Granted { rule, public, without_identity } = granted;
    let mut identified = identified;
    if without_identity {
        identified.sender = Sender::ANONYMOUS;
    }
    Ok(Permitted { identified, rule, public })
}

/// Input of the rules: a request that passes through, one that a proxy holds, or a stream that is open.
pub(crate) struct Case<'a> {
    pub(crate) route: &'a Route,
    pub(crate) access: AccessRequest<'a>,
    pub(crate) sender: &'a Sender,
    /// Present when a WebSocket is to be opened.
    pub(crate) page: Option<Page<'a>>,
}

/// The page that opens a WebSocket, as the browser states it.
pub(crate) struct Page<'a> {
    /// `Origin`
    pub(crate) origin: Option<&'a HeaderValue>,
    /// The origin of the route's own pages.
    pub(crate) own: String,
}

/// Permission by [`judge`].
#[derive(Debug)]
pub(crate) struct Granted {
    /// The rule that decided, from 1.
    pub(crate) rule: usize,
    /// The rule is for anyone.
    pub(crate) public: bool,
    /// The rule is for anyone, and this caller passes without an identity: the session must not be used.
    pub(crate) without_identity: bool,
}

/// Refusal by [`judge`].
#[derive(Debug)]
pub(crate) enum Denied {
    /// The caller is unknown and must be known; with the sign-in that every alternative wants.
    SignIn(Option<Box<StepUp>>),
    /// The caller's sign-in is not strong or not recent enough.
    StepUp {
        /// The sign-in that would be enough.
        needed: Box<StrongerSignIn>,
        /// Whether the caller's sign-in is a session, which another sign-in can replace.
        session: bool,
    },
    /// Anything else.
    Refused(Refusal),
}

/// Decides for requests that pass through, for forward-auth questions and for open streams.
pub(crate) fn judge(case: &Case<'_>) -> Result<Granted, Denied> {
    let Case { route, access, sender, page } = case;
    let decision = route.policy.decide(access, &sender.caller);
    let public = matches!(decision, Decision::Allow { public: true, .. });
    // Where the upstream receives access tokens, the gateway writes `Authorization`: an unverified token must not be there.
    let passes = |unread: &Unread| match unread {
        Unread::Token(_) => {
            (public || sender.leaves_authorization())
                && !route.identity.access_token.is_sent()
                && route.mcp.is_none()
        }
        Unread::Session { .. } => public,
    };
    if let Some(unread) = sender.unread.as_ref().filter(|unread| !passes(unread)) {
        return Err(Denied::Refused(unread.clone().into()));
    }
    if let Some(refusal) = lacks_scopes(route, sender) {
        return Err(Denied::Refused(refusal));
    }
    let unread = access.message == Message::Unread;
    let rule = match decision {
        Decision::Allow { rule, .. } => rule,
        Decision::Ambiguous { .. } if unread && matches!(sender.caller, Caller::Anonymous) => {
            return Err(Denied::SignIn(None));
        }
        Decision::Ambiguous { .. } if unread => {
            let fault = McpFault::Invalid { reason: "a proxy that asks does not send it" };
            return Err(Denied::Refused(Refusal::McpMessage(fault)));
        }
        Decision::SignIn { rule } => {
            return Err(Denied::SignIn(route.policy.sign_in_for(rule).map(Box::new)));
        }
        Decision::Ambiguous { .. } => return Err(Denied::Refused(PathRefusal::Ambiguous.into())),
        Decision::Deny { rule, unmet } => {
            if let (Some(step_up), Caller::Known(known)) = (&unmet.step_up, &sender.caller) {
                return Err(Denied::StepUp {
                    needed: Box::new(StrongerSignIn {
                        title: route.title.clone(),
                        issuer: known.issuer.clone(),
                        step_up: step_up.clone(),
                        missing: unmet.summary(),
                    }),
                    session: sender.has_session(),
                });
            }
            return Err(Denied::Refused(Refusal::Forbidden {
                route: route.name.clone(),
                title: route.title.clone(),
                who: match &sender.caller {
                    Caller::Known(known) => known.display_name().to_owned(),
                    Caller::Anonymous => "anonymous".to_owned(),
                },
                rule,
                unmet: Box::new(unmet),
                bearer: sender.is_bearer(),
            }));
        }
    };
    let foreign = page
        .as_ref()
        .filter(|_| sender.has_session())
        .and_then(|page| page.foreign(&route.origins));
    match foreign {
        Some(origin) if !public => Err(Denied::Refused(Refusal::ForeignOrigin { origin })),
        foreign => Ok(Granted { rule, public, without_identity: foreign.is_some() }),
    }
}

/// The refusal of a token without the scopes that every token for the route's resource needs. A session is no token of a client.
fn lacks_scopes(route: &Route, sender: &Sender) -> Option<Refusal> {
    let resource = route.mcp.as_ref()?;
    let Caller::Known(known) = &sender.caller else { return None };
    let unmet = missing_scopes(resource, known).filter(|_| sender.is_bearer())?;
    Some(Refusal::Forbidden {
        route: route.name.clone(),
        title: route.title.clone(),
        who: known.display_name().to_owned(),
        rule: None,
        unmet: Box::new(unmet),
        bearer: true,
    })
}

/// The scopes that a token for a resource lacks.
pub(crate) fn missing_scopes(resource: &Resource, known: &Known) -> Option<Unmet> {
    let lacks = |scope: &&String| !known.scopes.contains(scope);
    let missing: Vec<String> = resource.scopes.iter().filter(lacks).cloned().collect();
    (!missing.is_empty()).then(|| Unmet {
        alternatives: vec![format!("needs the scope {}", missing.join(" and the scope "))],
        for_people: Vec::new(),
        scopes: missing,
        step_up: None,
    })
}

impl Page<'_> {
    /// The origin of a page that is not the route's own, shortened (RFC 6455 §10.2). Browsers send the origin of every page
    /// that opens a WebSocket, and their cookies with it. A request with a session and without an origin comes from a program,
    /// which must not use a browser's cookie. Without a session, a foreign page gains nothing. `others`: pages that the route
    /// admits.
    fn foreign(&self, others: &[WebOrigin]) -> Option<String> {
        match self.origin {
            Some(origin) if origin.as_bytes() == self.own.as_bytes() => None,
            Some(origin)
                if others.iter().any(|other| other.as_str().as_bytes() == origin.as_bytes()) =>
            {
                None
            }
            Some(origin) => {
                Some(String::from_utf8_lossy(origin.as_bytes()).chars().take(200).collect())
            }
            None => Some("(none)".to_owned()),
        }
    }
}
