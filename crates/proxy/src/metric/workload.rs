//! Requests of workloads on one route, by the pattern that their subject matches: a subject itself is no label, since a platform
//! makes one for each project and branch.

use std::fmt;

use access_policy::{Allow, Known, Policy, SubjectPattern};
use metrics::{Counter, counter};

use super::table::WORKLOADS;

/// The label of a subject that no pattern matches.
const OTHER: &str = "-";

/// Counts requests of workloads.
pub(super) struct WorkloadMeters {
    route: String,
    patterns: Vec<Pattern>,
}

struct Pattern {
    issuer: String,
    pattern: SubjectPattern,
    allowed: Counter,
    refused: Counter,
}

impl WorkloadMeters {
    /// The meters for the patterns in the rules of a route.
    pub(super) fn new(route: &str, policy: &Policy) -> Self {
        let requirements = policy.rules().iter().flat_map(|rule| match &rule.allow {
            Allow::AnyOf(all) => all.as_slice(),
            Allow::Anyone | Allow::SignedIn => &[],
        });
        let mut patterns: Vec<Pattern> = Vec::new();
        for requirement in requirements {
            for (issuer, pattern) in requirement
                .issuers
                .iter()
                .flat_map(|issuer| requirement.subjects.iter().map(move |one| (issuer, one)))
            {
                if patterns.iter().any(|own| own.issuer == *issuer && own.pattern == *pattern) {
                    continue;
                }
                let counter = |outcome| counted(route, issuer, pattern.as_str(), outcome);
                let (allowed, refused) = (counter("allowed"), counter("refused"));
                patterns.push(Pattern {
                    issuer: issuer.clone(),
                    pattern: pattern.clone(),
                    allowed,
                    refused,
                });
            }
        }
        Self { route: route.to_owned(), patterns }
    }

    /// Meters that record nothing.
    pub(super) const fn none() -> Self {
        Self { route: String::new(), patterns: Vec::new() }
    }

    /// Counts a request of this workload. Under several patterns it counts for the first.
    pub(super) fn count(&self, known: &Known, allowed: bool) {
        let own =
            |one: &&Pattern| one.issuer == known.issuer && one.pattern.matches(&known.subject);
        match self.patterns.iter().find(own) {
            Some(own) => if allowed { &own.allowed } else { &own.refused }.increment(1),
            None if self.route.is_empty() => {}
            None => {
                let outcome = if allowed { "allowed" } else { "refused" };
                counted(&self.route, &known.issuer, OTHER, outcome).increment(1);
            }
        }
    }
}

fn counted(route: &str, issuer: &str, subject: &str, outcome: &'static str) -> Counter {
    let (route, issuer, subject) = (route.to_owned(), issuer.to_owned(), subject.to_owned());
    counter!(WORKLOADS, "route" => route, "issuer" => issuer, "subject" => subject, "outcome" => outcome)
}

impl fmt::Debug for WorkloadMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkloadMeters")
    }
}
