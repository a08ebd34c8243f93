//! The checks, in one table. Each is a function of requirements and facts, so that it is testable without a provider.

use std::collections::BTreeSet;

use super::facts::{Administration, Client, Facts};
use super::finding::{Check, Finding};
use super::needs::Needs;

mod administration;
mod claims;
mod client;
mod grants;
mod sessions;
mod tokens;

#[cfg(test)]
mod tests;

/// Every check, in the order of the output.
pub const CHECKS: &[Check] = &[
    tokens::ISSUER_UNREACHABLE,
    tokens::ISSUER_OVER_HTTP,
    tokens::CLOCK_SKEW,
    tokens::ALGORITHM_NOT_ACCEPTED,
    tokens::TOKEN_TYPE_NOT_ACCEPTED,
    client::CLIENT_REFUSED,
    client::CLIENT_MISSING,
    client::CLIENT_IS_PUBLIC,
    client::REDIRECT_URI_MISSING,
    client::REDIRECT_URI_WILDCARD,
    client::POST_LOGOUT_URI_MISSING,
    client::PKCE_NOT_REQUIRED,
    client::WEB_ORIGINS_ANY,
    client::OFFLINE_ACCESS_OFFERED,
    claims::AUDIENCE_MISSING,
    claims::MCP_AUDIENCE_MISSING,
    claims::ROLES_MISSING,
    claims::ROLES_OUTSIDE_SCOPE,
    claims::FULL_SCOPE_ALLOWED,
    claims::GROUPS_MISSING,
    claims::GROUPS_PATH_FORM,
    grants::PASSWORD_GRANT_ON,
    grants::IMPLICIT_FLOW_ON,
    grants::SERVICE_ACCOUNTS_OFF,
    grants::TOKEN_EXCHANGE_OFF,
    sessions::BACKCHANNEL_LOGOUT_MISSING,
    sessions::BACKCHANNEL_LOGOUT_WITHOUT_SESSION,
    sessions::SSO_IDLE_SHORT,
    sessions::SSO_LIFETIME_SHORT,
    sessions::ACCESS_TOKEN_LONG,
    sessions::ACCESS_TOKEN_SHORT,
    sessions::REFRESH_ROTATION,
    administration::TLS_NOT_REQUIRED,
    administration::BRUTE_FORCE_DETECTION_OFF,
    administration::PASSWORD_POLICY_MISSING,
    administration::DEFAULT_ADMIN_PASSWORD,
];

/// The findings about an issuer.
pub(super) fn judge(needs: &Needs, facts: &Facts) -> Vec<Finding> {
    let found = CHECKS.iter().flat_map(|check| {
        let problems = (check.judge)(needs, facts);
        problems.into_iter().map(move |problem| Finding::new(check, needs, problem))
    });
    found.collect()
}

/// The administrator's view of the gateway's client.
fn own_client<'a>(needs: &Needs, facts: &'a Facts) -> Option<(&'a Administration, &'a Client)> {
    let administration = facts.administration.as_ref()?;
    Some((administration, administration.client(&needs.client)?))
}

/// Names in backticks, joined by commas.
fn quoted<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The list with more values at its end, each once.
fn joined(present: &[String], more: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = present.iter().cloned().chain(more);
    all.filter(|value| seen.insert(value.clone())).collect()
}
