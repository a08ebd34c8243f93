//! The rules of a route, in order: the first whose path and method match decides.
//!
//! Pure functions of a request and a caller: nothing here reads a clock, a store or the network.

mod index;

use std::time::SystemTime;

use http_canonical::{CanonicalMethod, PathMatch, PathPattern};

use crate::{
    caller::Caller,
    message::{Message, Messages},
    request::AccessRequest,
    requirement::{Requirement, StepUp, Unmet},
};

use self::index::Index;

/// Access rules of a route, in order.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    /// Present where there are many rules.
    index: Option<Index>,
    depends_on_time: bool,
    has_shadows: bool,
}

/// One rule of a policy.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The paths it applies to; all when `None`.
    pub path: Option<PathPattern>,
    /// The methods it applies to, GET for HEAD too; all when empty.
    pub methods: Vec<CanonicalMethod>,
    /// The messages of MCP it applies to; every request when `None`.
    pub messages: Option<Messages>,
    /// The callers it lets through.
    pub allow: Allow,
    /// Whether the rule is only evaluated, counted and logged.
    pub shadow: bool,
}

/// Callers that a rule lets through.
#[derive(Debug, Clone)]
pub enum Allow {
    /// Every caller, signed in or not.
    Anyone,
    /// Every caller that an issuer has identified.
    SignedIn,
    /// Callers that meet one of these requirements.
    AnyOf(Vec<Requirement>),
}

/// Decision of a policy about a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It may pass, by this rule (from 1).
    Allow {
        /// the rule's place, from 1
        rule: usize,
        /// whether the rule lets anyone through, so that the decision does not depend on the caller
        public: bool,
    },
    /// The caller is unknown and must be known.
    SignIn {
        /// the rule's place, from 1
        rule: usize,
    },
    /// The upstream could read the path in a way for which another rule would decide, or a message that was not read decides.
    Ambiguous {
        /// the rule's place, from 1
        rule: usize,
    },
    /// It may not pass.
    Deny {
        /// the rule's place, from 1; `None` when no rule matched
        rule: Option<usize>,
        /// the missing requirements
        unmet: Unmet,
    },
}

/// Evaluation of one rule, for `doorward explain` and shadow rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The rule's place, from 1.
    pub rule: usize,
    /// Whether the rule applies to this path and method.
    pub applies: bool,
    /// The reason it does or does not apply, or its result, in words.
    pub because: String,
    /// Whether the rule is a shadow rule.
    pub shadow: bool,
}

impl Policy {
    /// A policy of these rules, in this order. A policy without rules lets no caller through.
    pub fn new(rules: Vec<Rule>) -> Self {
        let depends_on_time = requirements(&rules).any(Requirement::depends_on_time);
        let has_shadows = rules.iter().any(|rule| rule.shadow);
        // A rule about messages may apply to a request without being the one that decides.
        let about_messages = rules.iter().any(|rule| rule.messages.is_some());
        let index = if about_messages { None } else { Index::of(&rules) };
        Self { index, rules, depends_on_time, has_shadows }
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether the method of a request can change the decision.
    pub fn depends_on_method(&self) -> bool {
        self.rules.iter().any(|rule| !rule.methods.is_empty())
    }

    /// Whether the message of a request can change the decision.
    pub fn depends_on_message(&self) -> bool {
        self.rules.iter().any(|rule| rule.messages.is_some())
    }

    /// Whether callers without an identity may pass.
    pub fn is_public_in_part(&self) -> bool {
        self.rules.iter().any(|rule| !rule.shadow && matches!(rule.allow, Allow::Anyone))
    }

    /// Whether the time of a request can change the decision.
    pub fn depends_on_time(&self) -> bool {
        self.depends_on_time
    }

    /// The first time after `now` at which an open stream may be one that is no longer permitted; `None` if no rule has hours
    /// that end.
    pub fn changes_after(&self, now: SystemTime) -> Option<SystemTime> {
        requirements(&self.rules).filter_map(|requirement| requirement.ends_after(now)).min()
    }

    /// Decides about a request. Pure: the same request and caller always give the same decision.
    pub fn decide(&self, request: &AccessRequest<'_>, caller: &Caller) -> Decision {
        match &self.index {
            // With other readings, a rule may apply to one of them only.
            Some(index) if request.path.readings().is_empty() => {
                self.looked_up(index, request, caller)
            }
            _ => self.in_order(request, caller),
        }
    }

    fn looked_up(&self, index: &Index, request: &AccessRequest<'_>, caller: &Caller) -> Decision {
        let rule = |place: usize| self.rules.get(place).filter(|rule| !rule.shadow);
        let applies = |place: usize| {
            rule(place).is_some_and(|rule| matches!(rule.applies(request), PathMatch::Yes))
        };
        let first = index.first(request.path.compared(), applies);
        match first.and_then(|place| Some((place, rule(place)?))) {
            Some((place, rule)) => rule.allow.decide(place + 1, request, caller),
            None => Decision::Deny { rule: None, unmet: Unmet::default() },
        }
    }

    fn in_order(&self, request: &AccessRequest<'_>, caller: &Caller) -> Decision {
        for (place, rule) in self.rules.iter().enumerate() {
            if rule.shadow {
                continue;
            }
            match rule.applies(request) {
                PathMatch::No => {}
                PathMatch::Yes => return rule.allow.decide(place + 1, request, caller),
                PathMatch::Ambiguous => return Decision::Ambiguous { rule: place + 1 },
            }
        }
        Decision::Deny { rule: None, unmet: Unmet::default() }
    }

    /// The sign-in without which an unknown caller meets no alternative of a rule (from 1), so that it can be asked for at once:
    /// every alternative wants a level or an age. Each of the levels is accepted by one of them, and the age is the greatest.
    pub fn sign_in_for(&self, rule: usize) -> Option<StepUp> {
        let rule = rule.checked_sub(1).and_then(|place| self.rules.get(place))?;
        let Allow::AnyOf(alternatives) = &rule.allow else { return None };
        StepUp::common(alternatives)
    }

    /// Decisions of the shadow rules: `(rule, allowed)`.
    pub fn shadows<'a>(
        &'a self,
        request: &'a AccessRequest<'_>,
        caller: &'a Caller,
    ) -> impl Iterator<Item = (usize, bool)> + 'a {
        let rules = if self.has_shadows { self.rules.as_slice() } else { &[] };
        rules
            .iter()
            .enumerate()
            .filter(move |(_, rule)| rule.shadow && matches!(rule.applies(request), PathMatch::Yes))
            .map(move |(place, rule)| {
                let decision = rule.allow.decide(place + 1, request, caller);
                (place + 1, matches!(decision, Decision::Allow { .. }))
            })
    }

    /// Evaluates every rule up to the one that decides, with reasons.
    pub fn explain(&self, request: &AccessRequest<'_>, caller: &Caller) -> Vec<Step> {
        let mut steps = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let because = match rule.applies(request) {
                PathMatch::Yes => match rule.allow.decide(place + 1, request, caller) {
                    Decision::Allow { .. } => {
                        format!("matches, and {}", rule.allow.met(request, caller))
                    }
                    Decision::Deny { unmet, .. } => {
                        format!("matches, but the caller {}", unmet.summary())
                    }
                    _ => "matches, and the caller is not signed in".to_owned(),
                },
                PathMatch::Ambiguous if request.message == Message::Unread => {
                    "depends on the message, which is not known".to_owned()
                }
                PathMatch::Ambiguous => "the path can be read in two ways".to_owned(),
                PathMatch::No => rule.why_not(request),
            };
            let applies = !matches!(rule.applies(request), PathMatch::No);
            steps.push(Step { rule: place + 1, applies, because, shadow: rule.shadow });
            if applies && !rule.shadow {
                break;
            }
        }
        steps
    }
}

fn requirements(rules: &[Rule]) -> impl Iterator<Item = &Requirement> {
    rules.iter().flat_map(|rule| match &rule.allow {
        Allow::AnyOf(requirements) => requirements.as_slice(),
        Allow::Anyone | Allow::SignedIn => &[],
    })
}

impl Rule {
    fn is_for(&self, method: &CanonicalMethod) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|own| own.covers(method))
    }

    fn applies(&self, request: &AccessRequest<'_>) -> PathMatch {
        if !self.is_for(request.method) {
            return PathMatch::No;
        }
        let path = self.path.as_ref().map_or(PathMatch::Yes, |path| path.matches(request.path));
        match (&self.messages, request.message) {
            (None, _) => path,
            (Some(_), Message::None) => PathMatch::No,
            (Some(_), Message::Unread) if path == PathMatch::No => PathMatch::No,
            (Some(_), Message::Unread) => PathMatch::Ambiguous,
            (Some(messages), Message::Read { method, name }) => {
                if messages.include(method, name) {
                    path
                } else {
                    PathMatch::No
                }
            }
        }
    }

    fn why_not(&self, request: &AccessRequest<'_>) -> String {
        let AccessRequest { method, path, message, .. } = *request;
        if let Some(messages) = &self.messages {
            match message {
                Message::None => {
                    return format!("does not match: the request has no message of {messages}");
                }
                Message::Read { method, name } if !messages.include(method, name) => {
                    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
                    return format!(
                        "does not match: the message {method}{name} is not of {messages}"
                    );
                }
                _ => {}
            }
        }
        if !self.is_for(method) {
            let methods: Vec<&str> = self.methods.iter().map(|method| method.as_str()).collect();
            return format!("does not match: method {method} is not among {}", methods.join(", "));
        }
        match &self.path {
            Some(pattern) => format!("does not match: path {} is not {pattern}", path.as_str()),
            None => "does not match".to_owned(),
        }
    }
}

impl Allow {
    fn decide(&self, rule: usize, request: &AccessRequest<'_>, caller: &Caller) -> Decision {
        match (self, caller) {
            (Self::Anyone, _) => Decision::Allow { rule, public: true },
            (Self::SignedIn, Caller::Known(_)) => Decision::Allow { rule, public: false },
            (_, Caller::Anonymous) => Decision::SignIn { rule },
            (Self::AnyOf(requirements), Caller::Known(known)) => {
                if requirements.iter().any(|requirement| requirement.is_met_by(known, request)) {
                    Decision::Allow { rule, public: false }
                } else {
                    let unmet = Unmet::of(requirements, known, request);
                    Decision::Deny { rule: Some(rule), unmet }
                }
            }
        }
    }

    fn met(&self, request: &AccessRequest<'_>, caller: &Caller) -> String {
        match (self, caller) {
            (Self::Anyone, _) => "anyone may pass".to_owned(),
            (Self::SignedIn, _) => "the caller is signed in".to_owned(),
            (Self::AnyOf(requirements), Caller::Known(known)) => requirements
                .iter()
                .find(|requirement| requirement.is_met_by(known, request))
                .map_or_else(String::new, |requirement| format!("the caller has {requirement}")),
            (Self::AnyOf(_), Caller::Anonymous) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
