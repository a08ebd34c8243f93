//! Stage 4, authorize: may this identity pass this route?
//!
//! The first rule whose path and method match decides. No match, and whatever cannot be understood, is a refusal. [`Permitted`]
//! is made here and nowhere else; without one nothing can be forwarded.

use std::collections::BTreeMap;

use http::Method;

use crate::{
    canonical::{CanonicalPath, CanonicalRequest, PathMatch, PathPattern, PathRefusal},
    identify::{Credential, Identified, Identity, Known},
    respond::Refusal,
    route::{Route, Routed},
};

/// Who may use a route: rules in order.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule of a policy.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The paths it speaks about; all when `None`.
    pub path: Option<PathPattern>,
    /// The methods it speaks about; all when empty.
    pub methods: Vec<Method>,
    /// Whom it lets through.
    pub allow: Allow,
    /// Whether the rule is only evaluated, counted and logged.
    pub shadow: bool,
}

/// Whom a rule lets through.
#[derive(Debug, Clone)]
pub enum Allow {
    /// Everybody, signed in or not.
    Anyone,
    /// Everybody an issuer vouches for.
    SignedIn,
    /// Whoever meets one of these requirements.
    AnyOf(Vec<Requirement>),
}

/// What somebody must have. Every key must hold; within a key one value is enough.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requirement {
    /// Subjects, user names, or verified e-mail addresses.
    pub users: Vec<String>,
    /// Realm roles, or `client:role`.
    pub roles: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Clients the token was issued to.
    pub clients: Vec<String>,
    /// Issuers, by their names in the configuration.
    pub issuers: Vec<String>,
    /// Claims, by dotted path, and the values that do.
    pub claims: BTreeMap<String, Vec<serde_json::Value>>,
}

/// What was asked for and not found, for the refusal page, the log and `doorward explain`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unmet {
    /// One entry for each alternative, each a sentence: `needs one of the roles admin, data-scientist`.
    pub alternatives: Vec<String>,
    /// Scopes a token would need, for the challenge (RFC 6750 §3).
    pub scopes: Vec<String>,
}

impl Unmet {
    /// The alternatives in one line.
    pub fn summary(&self) -> String {
        if self.alternatives.is_empty() {
            "no rule allows it".to_owned()
        } else {
            self.alternatives.join(", or ")
        }
    }
}

/// What a policy says of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It may pass, by this rule (from 1).
    Allow {
        /// the rule's place, from 1
        rule: usize,
    },
    /// Nobody is known, and somebody must be.
    SignIn {
        /// the rule's place, from 1
        rule: usize,
    },
    /// The upstream could read the path so that another rule would decide.
    Ambiguous {
        /// the rule's place, from 1
        rule: usize,
    },
    /// It may not pass.
    Deny {
        /// the rule's place, from 1; `None` when no rule matched
        rule: Option<usize>,
        /// what was missing
        unmet: Unmet,
    },
}

/// How one rule fared, for `doorward explain` and shadow rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The rule's place, from 1.
    pub rule: usize,
    /// Whether the rule speaks about this path and method.
    pub applies: bool,
    /// Why it does or does not apply, or what it found, in words.
    pub because: String,
    /// Whether the rule is a shadow rule.
    pub shadow: bool,
}

impl Policy {
    /// A policy of these rules, in this order. A policy without rules lets nobody through.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Decides. Pure: the same request and identity always get the same answer.
    pub fn decide(&self, method: &Method, path: &CanonicalPath, identity: &Identity) -> Decision {
        for (place, rule) in self.rules.iter().enumerate() {
            if rule.shadow {
                continue;
            }
            match rule.applies(method, path) {
                PathMatch::No => {}
                PathMatch::Yes => return rule.allow.decide(place + 1, identity),
                PathMatch::Ambiguous => return Decision::Ambiguous { rule: place + 1 },
            }
        }
        Decision::Deny { rule: None, unmet: Unmet::default() }
    }

    /// Whether this identity could pass somewhere on the route: what the portal shows.
    pub fn might_allow(&self, identity: &Identity) -> bool {
        self.rules.iter().filter(|rule| !rule.shadow).any(|rule| {
            matches!(rule.allow.decide(1, identity), Decision::Allow { .. })
        })
    }

    /// What the shadow rules would have said: `(rule, allowed)`.
    pub fn shadows<'a>(
        &'a self,
        method: &'a Method,
        path: &'a CanonicalPath,
        identity: &'a Identity,
    ) -> impl Iterator<Item = (usize, bool)> + 'a {
        self.rules.iter().enumerate().filter(|(_, rule)| rule.shadow).filter_map(
            move |(place, rule)| {
                matches!(rule.applies(method, path), PathMatch::Yes).then(|| {
                    let decision = rule.allow.decide(place + 1, identity);
                    (place + 1, matches!(decision, Decision::Allow { .. }))
                })
            },
        )
    }

    /// Every rule up to the one that decides, and why.
    pub fn explain(&self, method: &Method, path: &CanonicalPath, identity: &Identity) -> Vec<Step> {
        let mut steps = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let because = match rule.applies(method, path) {
                PathMatch::Yes => match rule.allow.decide(place + 1, identity) {
                    Decision::Allow { .. } => format!("matches, and {}", rule.allow.met(identity)),
                    Decision::Deny { unmet, .. } => {
                        format!("matches, but the caller {}", unmet.summary())
                    }
                    _ => "matches, and nobody is signed in".to_owned(),
                },
                PathMatch::Ambiguous => "the path can be read in two ways".to_owned(),
                PathMatch::No => rule.why_not(method, path),
            };
            let applies = !matches!(rule.applies(method, path), PathMatch::No);
            steps.push(Step { rule: place + 1, applies, because, shadow: rule.shadow });
            if applies && !rule.shadow {
                break;
            }
        }
        steps
    }
}

impl Rule {
    fn applies(&self, method: &Method, path: &CanonicalPath) -> PathMatch {
        if !self.methods.is_empty() && !self.methods.contains(method) {
            return PathMatch::No;
        }
        self.path.as_ref().map_or(PathMatch::Yes, |pattern| pattern.matches(path))
    }

    fn why_not(&self, method: &Method, path: &CanonicalPath) -> String {
        if !self.methods.is_empty() && !self.methods.contains(method) {
            let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
            return format!("does not match: method {method} is not among {}", methods.join(", "));
        }
        match &self.path {
            Some(pattern) => format!("does not match: path {} is not {pattern}", path.as_str()),
            None => "does not match".to_owned(),
        }
    }
}

impl Allow {
    fn decide(&self, rule: usize, identity: &Identity) -> Decision {
        let requirements = match (self, identity) {
            (Self::Anyone, _) | (Self::SignedIn, Identity::Known(_)) => {
                return Decision::Allow { rule };
            }
            (_, Identity::Anonymous) => return Decision::SignIn { rule },
            (Self::AnyOf(requirements), Identity::Known(known)) => {
                if requirements.iter().any(|requirement| requirement.is_met_by(known)) {
                    return Decision::Allow { rule };
                }
                requirements
            }
        };
        let Identity::Known(known) = identity else { return Decision::SignIn { rule } };
        let mut unmet = Unmet::default();
        for requirement in requirements {
            unmet.alternatives.push(requirement.missing(known).join(" and "));
            if requirement.lacks_only_scopes(known) {
                unmet.scopes.extend(requirement.scopes.iter().cloned());
            }
        }
        Decision::Deny { rule: Some(rule), unmet }
    }

    fn met(&self, identity: &Identity) -> String {
        match (self, identity) {
            (Self::Anyone, _) => "anyone may pass".to_owned(),
            (Self::SignedIn, _) => "the caller is signed in".to_owned(),
            (Self::AnyOf(requirements), Identity::Known(known)) => requirements
                .iter()
                .find(|requirement| requirement.is_met_by(known))
                .map_or_else(String::new, |requirement| format!("the caller has {requirement}")),
            (Self::AnyOf(_), Identity::Anonymous) => String::new(),
        }
    }
}

impl Requirement {
    /// Whether somebody has everything this asks for. An empty requirement is met by nobody.
    pub fn is_met_by(&self, known: &Known) -> bool {
        *self != Self::default() && self.keys(known).all(|key| key.met)
    }

    fn missing(&self, known: &Known) -> Vec<String> {
        self.keys(known).filter(|key| !key.met).map(|key| format!("needs {}", key.words())).collect()
    }

    fn lacks_only_scopes(&self, known: &Known) -> bool {
        !self.scopes.is_empty()
            && self.keys(known).all(|key| key.met || key.singular == "scope")
    }

    fn keys<'a>(&'a self, known: &'a Known) -> impl Iterator<Item = Key<'a>> {
        let lists: [(&str, &[String], &dyn Fn(&String) -> bool); 6] = [
            ("user", &self.users, &|name| known.is_called(name)),
            ("role", &self.roles, &|role| known.has_role(role)),
            ("group", &self.groups, &|group| known.groups.contains(group)),
            ("scope", &self.scopes, &|scope| known.scopes.contains(scope)),
            ("client", &self.clients, &|client| known.client.as_ref() == Some(client)),
            ("issuer", &self.issuers, &|issuer| known.issuer == *issuer),
        ];
        let lists = lists.map(|(singular, wanted, has)| {
            (!wanted.is_empty()).then(|| Key {
                singular,
                wanted: Wanted::Names(wanted),
                met: wanted.iter().any(has),
            })
        });
        let claims = self.claims.iter().map(|(path, wanted)| Key {
            singular: "claim",
            wanted: Wanted::Claim(path, wanted),
            met: known.claim(path).is_some_and(|found| claim_matches(found, wanted)),
        });
        lists.into_iter().flatten().chain(claims)
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nobody = Known::default();
        let words: Vec<String> = self.keys(&nobody).map(|key| key.words()).collect();
        f.write_str(&words.join(" and "))
    }
}

/// One key of a requirement, judged.
struct Key<'a> {
    singular: &'static str,
    wanted: Wanted<'a>,
    met: bool,
}

enum Wanted<'a> {
    Names(&'a [String]),
    Claim(&'a str, &'a [serde_json::Value]),
}

impl Key<'_> {
    fn words(&self) -> String {
        let wanted: Vec<String> = match self.wanted {
            Wanted::Names(names) => names.to_vec(),
            Wanted::Claim(path, values) => {
                values.iter().map(|value| format!("{path}={value}")).collect()
            }
        };
        match wanted.as_slice() {
            [one] => format!("the {} {one}", self.singular),
            many => format!("one of the {}s {}", self.singular, many.join(", ")),
        }
    }
}

/// A claim matches when it is one of the wanted values, or a list that holds one. Types are not converted.
fn claim_matches(found: &serde_json::Value, wanted: &[serde_json::Value]) -> bool {
    match found {
        serde_json::Value::Array(values) => values.iter().any(|value| wanted.contains(value)),
        value => wanted.contains(value),
    }
}

impl Known {
    /// Whether `name` is the subject, the user name, or the verified e-mail address.
    pub fn is_called(&self, name: &str) -> bool {
        self.subject == name
            || self.preferred_username.as_deref() == Some(name)
            || (self.email_verified && self.email.as_deref() == Some(name))
    }

    /// Whether a role was granted: `name` asks for a realm role, `client:name` for a role of that client. The one never passes
    /// for the other, whatever characters their names hold.
    pub fn has_role(&self, role: &str) -> bool {
        match role.split_once(':') {
            None => self.roles.iter().any(|has| has == role),
            Some((client, role)) => self
                .client_roles
                .get(client)
                .is_some_and(|roles| roles.iter().any(|has| has == role)),
        }
    }

    /// The claim at a dotted path.
    pub fn claim(&self, path: &str) -> Option<&serde_json::Value> {
        if let Some(value) = self.claims.get(path) {
            return Some(value);
        }
        let mut parts = path.split('.');
        let mut value = self.claims.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }
}

/// A request that may go to its upstream. Only [`authorize`] makes one.
///
/// ```compile_fail
/// # use doorward::{authorize::Permitted, identify::Identified};
/// fn forge(identified: Identified) -> Permitted {
///     Permitted { identified, rule: 1 }
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
    let foreign = |origin: &str| Refusal::ForeignOrigin { origin: origin.chars().take(200).collect() };
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
#[expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]
mod tests;
