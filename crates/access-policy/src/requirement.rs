//! Requirements of a rule, and the parts that a caller lacks.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use subject_pattern::SubjectPattern;

use crate::{
    caller::Known,
    condition::{Condition, Verdict},
    hours::Hours,
    request::{AccessRequest, Times},
};

/// The most characters of a caller's subject in a reason.
const LONGEST_SHOWN: usize = 256;

/// A requirement on the caller. Every key must match; within a key one value is enough.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requirement {
    /// User names.
    pub users: Vec<String>,
    /// Verified e-mail addresses.
    pub emails: Vec<String>,
    /// Domains of verified e-mail addresses.
    pub email_domains: Vec<String>,
    /// Subjects; `*` stands for at least one character without `:` and `/`.
    pub subjects: Vec<SubjectPattern>,
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
    /// Claims, by dotted path, each with the accepted values.
    pub claims: BTreeMap<String, Vec<Value>>,
    /// Hours of the week.
    pub hours: Option<Hours>,
    /// Accepted levels of the sign-in (`acr`, OpenID Connect Core 1.0 §2). They have no order: each accepted one is named.
    pub acr: Vec<String>,
    /// Greatest age of the sign-in (`auth_time`) when a request begins.
    pub max_age: Option<Duration>,
    /// A condition on claims and request.
    pub when: Option<Condition>,
}

/// Unmet requirements, for the refusal page, the log and `doorward explain`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unmet {
    /// One entry for each alternative, each a sentence: `needs one of the roles admin, data-scientist`.
    pub alternatives: Vec<String>,
    /// Those of the alternatives that a person can meet: no other client than the caller's is among their conditions.
    pub for_people: Vec<String>,
    /// Scopes a token would need, for the challenge (RFC 6750 §3).
    pub scopes: Vec<String>,
    /// The sign-in that would be enough, when nothing else is missing (RFC 9470).
    pub step_up: Option<StepUp>,
}

/// A sign-in that is stronger or newer than the caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// Accepted levels; none when any level is.
    pub acr_values: Vec<String>,
    /// Its greatest age.
    pub max_age: Option<Duration>,
}

impl StepUp {
    /// The sign-in that all of these requirements want; `None` if they want none.
    pub(super) fn common(requirements: &[Requirement]) -> Option<Self> {
        let mut acr_values: Vec<String> = Vec::new();
        if requirements.iter().all(|one| !one.acr.is_empty()) {
            for level in requirements.iter().flat_map(|one| &one.acr) {
                if !acr_values.contains(level) {
                    acr_values.push(level.clone());
                }
            }
        }
        let ages: Option<Vec<Duration>> = requirements.iter().map(|one| one.max_age).collect();
        let max_age = ages.unwrap_or_default().into_iter().max();
        let common = Self { acr_values, max_age };
        (common != Self::default()).then_some(common)
    }
}

impl Unmet {
    /// The unmet keys of each requirement, for a caller who meets none of them.
    pub(super) fn of(
        requirements: &[Requirement],
        known: &Known,
        request: &AccessRequest<'_>,
    ) -> Self {
        let scopes =
            requirements.iter().filter(|requirement| requirement.lacks_only_scopes(known, request));
        let missing = |requirement: &Requirement| requirement.missing(known, request);
        let for_person = |requirement: &&Requirement| {
            requirement.clients.is_empty()
                || known.client.as_ref().is_some_and(|own| requirement.clients.contains(own))
        };
        Self {
            alternatives: requirements.iter().map(missing).collect(),
            for_people: requirements.iter().filter(for_person).map(missing).collect(),
            scopes: scopes.flat_map(|requirement| requirement.scopes.iter().cloned()).collect(),
            step_up: requirements.iter().find_map(|one| one.step_up(known, request)),
        }
    }

    /// The alternatives in one line.
    pub fn summary(&self) -> String {
        if self.alternatives.is_empty() {
            "no rule allows it".to_owned()
        } else {
            self.alternatives.join(", or ")
        }
    }
}

impl Requirement {
    /// Whether the caller meets every key. No caller meets an empty requirement.
    pub fn is_met_by(&self, known: &Known, request: &AccessRequest<'_>) -> bool {
        *self != Self::default()
            && self.keys(known).all(|key| key.met)
            && self.circumstances().all(|one| one.is_met(known, request))
    }

    /// Whether the time of a request can change the decision.
    pub(crate) fn depends_on_time(&self) -> bool {
        self.hours.is_some() || self.max_age.is_some()
    }

    /// The first time after `now` at which an open stream stops meeting it.
    pub(crate) fn ends_after(&self, now: SystemTime) -> Option<SystemTime> {
        self.hours.as_ref().filter(|hours| hours.closes_streams())?.end_after(now)
    }

    fn missing(&self, known: &Known, request: &AccessRequest<'_>) -> String {
        let keys = self.keys(known).filter(|key| !key.met).map(|key| key.missing(known));
        let others = self.circumstances().filter(|one| !one.is_met(known, request));
        let missing: Vec<_> = keys.chain(others.map(|one| one.missing(known, request))).collect();
        format!("needs {}", missing.join(" and "))
    }

    fn lacks_only_scopes(&self, known: &Known, request: &AccessRequest<'_>) -> bool {
        !self.scopes.is_empty()
            && self.keys(known).all(|key| key.met || key.singular == "scope")
            && self.circumstances().all(|one| one.is_met(known, request))
    }

    /// The sign-in that is missing, when nothing else is.
    fn step_up(&self, known: &Known, request: &AccessRequest<'_>) -> Option<StepUp> {
        let by_sign_in = self.keys(known).all(|key| key.met)
            && self.circumstances().all(|one| one.is_by_sign_in() || one.is_met(known, request));
        let asks = !self.acr.is_empty() || self.max_age.is_some();
        (asks && by_sign_in).then(|| StepUp { acr_values: self.acr.clone(), max_age: self.max_age })
    }

    /// The keys that depend on the time, the sign-in or several claims.
    fn circumstances(&self) -> impl Iterator<Item = Circumstance<'_>> {
        let acr = Some(self.acr.as_slice()).filter(|acr| !acr.is_empty());
        [
            self.hours.as_ref().map(Circumstance::Hours),
            acr.map(Circumstance::Level),
            self.max_age.map(Circumstance::Age),
            self.when.as_ref().map(Circumstance::When),
        ]
        .into_iter()
        .flatten()
    }

    fn keys<'a>(&'a self, known: &'a Known) -> impl Iterator<Item = Key<'a>> {
        let names = |singular, wanted: &'a [String], has: &dyn Fn(&String) -> bool| Key {
            singular,
            wanted: Wanted::Names(wanted),
            met: wanted.iter().any(has),
        };
        let lists = [
            names("user", &self.users, &|name| known.is_user(name)),
            names("verified e-mail", &self.emails, &|address| known.has_email(address)),
            names("verified e-mail domain", &self.email_domains, &|domain| {
                known.has_email_domain(domain)
            }),
            Key {
                singular: "subject",
                wanted: Wanted::Subjects(&self.subjects),
                met: self.subjects.iter().any(|pattern| pattern.matches(&known.subject)),
            },
            names("role", &self.roles, &|role| known.has_role(role)),
            names("group", &self.groups, &|group| known.groups.contains(group)),
            names("scope", &self.scopes, &|scope| known.scopes.contains(scope)),
            names("client", &self.clients, &|client| known.client.as_ref() == Some(client)),
            names("issuer", &self.issuers, &|issuer| known.issuer == *issuer),
        ];
        let written = lists
            .into_iter()
            .filter(|key| !matches!(key.wanted, Wanted::Names([]) | Wanted::Subjects([])));
        let claims = self.claims.iter().map(|(path, wanted)| Key {
            singular: "claim",
            wanted: Wanted::Claim(path, wanted),
            met: known.claim(path).is_some_and(|found| claim_matches(found, wanted)),
        });
        written.chain(claims)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = Known::default();
        let keys = self.keys(&unknown).map(|key| key.words());
        let others = self.circumstances().map(|one| one.words());
        f.write_str(&keys.chain(others).collect::<Vec<_>>().join(" and "))
    }
}

/// A key that depends on the time, the sign-in or several claims.
enum Circumstance<'a> {
    Hours(&'a Hours),
    Level(&'a [String]),
    Age(Duration),
    When(&'a Condition),
}

impl Circumstance<'_> {
    fn is_met(&self, known: &Known, request: &AccessRequest<'_>) -> bool {
        match self {
            Self::Hours(hours) => request.times.is_some_and(|Times { now, began }| {
                hours.include(if hours.closes_streams() { now } else { began })
            }),
            Self::Level(accepted) => {
                let level = known.claims.get("acr").and_then(Value::as_str);
                level.is_some_and(|level| accepted.iter().any(|accepted| accepted == level))
            }
            Self::Age(most) => {
                let at = request.times.map(|times| times.began).zip(signed_in_at(known));
                at.is_some_and(|(began, signed_in)| {
                    began.duration_since(signed_in).unwrap_or(Duration::ZERO) <= *most
                })
            }
            Self::When(condition) => condition.is_met_by(known, request),
        }
    }

    /// Whether another sign-in could meet it.
    fn is_by_sign_in(&self) -> bool {
        matches!(self, Self::Level(_) | Self::Age(_))
    }

    fn words(&self) -> String {
        match self {
            Self::Hours(hours) => format!("the hours {hours}"),
            Self::Level([one]) => format!("a sign-in of the level {one}"),
            Self::Level(many) => format!("a sign-in of one of the levels {}", many.join(", ")),
            Self::Age(most) => format!("a sign-in at most {} ago", in_words(*most)),
            Self::When(condition) => format!("the condition {}", condition.as_str()),
        }
    }

    /// The words for a caller who does not meet it.
    fn missing(&self, known: &Known, request: &AccessRequest<'_>) -> String {
        match self {
            Self::When(condition) => match condition.judge(known, request) {
                Verdict::Unknown(reason) => format!("{} ({reason})", self.words()),
                Verdict::Met | Verdict::NotMet => self.words(),
            },
            _ => self.words(),
        }
    }
}

/// `auth_time`: time at which the person last authenticated (OpenID Connect Core 1.0 §2).
fn signed_in_at(known: &Known) -> Option<SystemTime> {
    let seconds = known.claims.get("auth_time")?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.as_u64()?))
}

fn in_words(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        _ if seconds >= 3600 && seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds >= 60 && seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{s}")
}

/// One key of a requirement, judged.
struct Key<'a> {
    singular: &'static str,
    wanted: Wanted<'a>,
    met: bool,
}

enum Wanted<'a> {
    Names(&'a [String]),
    Subjects(&'a [SubjectPattern]),
    Claim(&'a str, &'a [Value]),
}

impl Key<'_> {
    fn words(&self) -> String {
        let wanted: Vec<String> = match self.wanted {
            Wanted::Names(names) => names.to_vec(),
            Wanted::Subjects(patterns) => patterns.iter().map(ToString::to_string).collect(),
            Wanted::Claim(path, values) => {
                values.iter().map(|value| format!("{path}={value}")).collect()
            }
        };
        match wanted.as_slice() {
            [one] => format!("the {} {one}", self.singular),
            many => format!("one of the {}s {}", self.singular, many.join(", ")),
        }
    }

    /// The words for a caller who does not have it. A subject is compared part by part, so the caller's own is named beside the
    /// patterns that it does not match.
    fn missing(&self, known: &Known) -> String {
        let own = known.subject.as_str();
        match self.wanted {
            Wanted::Subjects(_) if !own.is_empty() => {
                format!("{} (the caller is {})", self.words(), beginning(own))
            }
            _ => self.words(),
        }
    }
}

/// At most the first characters of a caller's subject.
fn beginning(subject: &str) -> Cow<'_, str> {
    match subject.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", subject.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(subject),
    }
}

/// A claim matches when it is one of the wanted values, or a list that holds one. Types are not converted.
fn claim_matches(found: &Value, wanted: &[Value]) -> bool {
    match found {
        Value::Array(values) => values.iter().any(|value| wanted.contains(value)),
        value => wanted.contains(value),
    }
}
