//! Checks of the names in a requirement: each kind is compared with a claim of its own.

use access_policy::SubjectPattern;

use super::Findings;
use crate::config::Requirement;
use crate::config::problem::KeyPath;

/// Checks users, addresses, domains and subjects.
pub(super) fn check(here: &KeyPath, requirement: &Requirement, found: &mut Findings) {
    users(&here.key("users"), &requirement.users, found);
    for email in &requirement.emails {
        if !is_address(email) {
            let message = format!(
                "invalid e-mail address `{email}`; write one, such as `boss@corp.example`, or its domain in \
                 `email_domains`"
            );
            found.problem(here.key("emails"), message);
        }
    }
    for domain in &requirement.email_domains {
        if let Some((_, after)) = domain.split_once('@') {
            let message = format!("invalid domain `{domain}`; write the domain alone: `{after}`");
            found.problem(here.key("email_domains"), message);
        } else if domain.contains('*') || domain.starts_with('.') {
            let message = format!(
                "invalid domain `{domain}`: a domain matches itself only; list each one, such as `corp.example`"
            );
            found.problem(here.key("email_domains"), message);
        }
    }
    if !requirement.subjects.is_empty() && requirement.issuers.is_empty() {
        let message = "missing `issuers`: a subject is unique within its issuer only; write `issuers: [NAME]` beside it";
        found.problem(here.key("subjects"), message);
    }
    for pattern in requirement.subjects.iter().filter(|pattern| !pattern.trim().is_empty()) {
        if let Err(error) = pattern.parse::<SubjectPattern>() {
            let message = format!("invalid pattern {pattern:?}: {error}");
            found.problem(here.key("subjects"), message);
        }
    }
}

/// `users` compares user names only. A value of another form may have been written when it compared more.
fn users(here: &KeyPath, users: &[String], found: &mut Findings) {
    for user in users {
        let looks_like = if is_address(user) {
            ("an e-mail address", "emails")
        } else if is_uuid(user) {
            ("a subject", "subjects")
        } else {
            continue;
        };
        let (what, key) = looks_like;
        let message = format!(
            "`{user}` looks like {what}, but `users` compares user names only; if it is not a user name, \
             write it in `{key}`"
        );
        found.warning(here.clone(), message);
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(mailbox, domain)| {
        !mailbox.is_empty() && !domain.is_empty() && !domain.contains('@')
    })
}

/// The form in which many providers write subjects (RFC 9562 §4).
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
