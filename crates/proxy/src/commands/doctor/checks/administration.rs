//! Settings of the realm that protect accounts.

use serde_json::json;

use super::super::finding::{Change, Check, Problem, Reads, Setting, Severity, Terraform};
use super::super::{facts::Facts, facts::Realm, needs::Needs};

/// A policy that follows NIST SP 800-63B: long, not the user's own name, and hashed as Keycloak does by default.
const POLICY: &str = "length(12) and notUsername and notEmail";

const BRUTE_FORCE: &str =
    "security_defenses {\n    brute_force_detection {\n      max_login_failures = 30\n    }\n  }";

fn realm(facts: &Facts) -> Option<&Realm> {
    facts.administration.as_ref().map(|administration| &administration.realm)
}

pub(super) const TLS_NOT_REQUIRED: Check = Check {
    name: "tls_not_required",
    severity: Severity::Weakens,
    summary: "The realm takes logins over plain http from every address.",
    effect: "passwords, codes and tokens can be read and changed on the network",
    setting: "Require SSL",
    place: "Realm settings → General",
    reads: Reads::Administration,
    judge: |_, facts| {
        let none = |realm: &&Realm| realm.ssl_required.as_deref() == Some("none");
        let setting = Setting::new("sslRequired", "ssl_required", "external");
        let problem = |_| {
            Problem::new(
                "the realm takes logins over plain http from every address",
                "External requests",
            )
            .with([Change::Realm(setting)])
        };
        realm(facts).filter(none).map(problem).into_iter().collect()
    },
};

pub(super) const BRUTE_FORCE_DETECTION_OFF: Check = Check {
    name: "brute_force_detection_off",
    severity: Severity::Weakens,
    summary: "Wrong passwords have no consequence.",
    effect: "a program can try passwords as fast as Keycloak answers",
    setting: "Brute Force Mode",
    place: "Realm settings → Security defenses → Brute force detection",
    reads: Reads::Administration,
    judge: |_, facts| {
        let off = |realm: &&Realm| !realm.brute_force_protected;
        let setting = Setting::new("bruteForceProtected", "security_defenses", true)
            .written_as(Terraform::Lines(BRUTE_FORCE));
        let problem = |_| {
            Problem::new("wrong passwords have no consequence", "Lockout temporarily")
                .with([Change::Realm(setting)])
        };
        realm(facts).filter(off).map(problem).into_iter().collect()
    },
};

pub(super) const PASSWORD_POLICY_MISSING: Check = Check {
    name: "password_policy_missing",
    severity: Severity::Weakens,
    summary: "Users may choose any password.",
    effect: "accounts have passwords that can be guessed",
    setting: "Policies",
    place: "Authentication → Policies → Password policy",
    reads: Reads::Administration,
    judge: |_, facts| {
        let missing =
            |realm: &&Realm| realm.password_policy.as_deref().unwrap_or_default().is_empty();
        let setting = Setting::new("passwordPolicy", "password_policy", json!(POLICY));
        let problem = |_| {
            Problem::new("users may choose any password", POLICY).with([Change::Realm(setting)])
        };
        realm(facts).filter(missing).map(problem).into_iter().collect()
    },
};

pub(super) const DEFAULT_ADMIN_PASSWORD: Check = Check {
    name: "default_admin_password",
    severity: Severity::Weakens,
    summary: "The administrator's password, which `doctor` was given, is a known default.",
    effect: "whichever program reaches the admin console owns every account",
    setting: "Reset password",
    place: "realm master: Users → the administrator → Credentials",
    reads: Reads::Administration,
    judge: |_: &Needs, facts| {
        let problem = Problem::new(
            "the administrator's password is a known default",
            "a long random password, or another account with a second factor",
        );
        facts.default_password.then_some(problem).into_iter().collect()
    },
};
