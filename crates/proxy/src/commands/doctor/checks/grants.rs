//! Grants: those that are needed, and those that only an attacker would use.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::facts::{Client, Facts};
use super::super::finding::{Change, Check, Problem, Reads, Setting, Severity};
use super::super::needs::Needs;
use super::own_client;

const EXCHANGE: &str = "standard.token.exchange.enabled";

/// A switch of the gateway's client that should be off.
fn switched_on(
    needs: &Needs,
    facts: &Facts,
    is_on: impl FnOnce(&Client) -> bool,
    setting: Setting,
    grant: &str,
) -> Vec<Problem> {
    let problem = || {
        let text = format!("the client `{}` may use the {grant}", needs.client);
        let change = Change::Client { client: needs.client.clone(), setting };
        Problem::new(text, "off").with([change])
    };
    let on = own_client(needs, facts).is_some_and(|(_, client)| is_on(client));
    on.then(problem).into_iter().collect()
}

pub(super) const PASSWORD_GRANT_ON: Check = Check {
    name: "password_grant_on",
    severity: Severity::Weakens,
    summary: "The client may trade passwords for tokens.",
    effect: "passwords can be tried without a login page, second factor or single sign-on",
    setting: "Direct access grants",
    place: "Clients → {client} → Settings → Capability config",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let setting =
            Setting::new("directAccessGrantsEnabled", "direct_access_grants_enabled", false);
        let is_on = |client: &Client| client.direct_access_grants_enabled;
        switched_on(needs, facts, is_on, setting, "password grant")
    },
};

pub(super) const IMPLICIT_FLOW_ON: Check = Check {
    name: "implicit_flow_on",
    severity: Severity::Weakens,
    summary: "The client may receive tokens in the address of a page.",
    effect: "tokens are in browser histories, logs and `Referer` fields",
    setting: "Implicit flow",
    place: "Clients → {client} → Settings → Capability config",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let setting = Setting::new("implicitFlowEnabled", "implicit_flow_enabled", false);
        switched_on(needs, facts, |client| client.implicit_flow_enabled, setting, "implicit flow")
    },
};

/// The clients of a list that lack a switch, with the key that needs it.
fn lacking<'a>(
    wanted: &'a BTreeMap<String, String>,
    facts: &Facts,
    lacks: impl Fn(&Client) -> bool,
    refused: impl Fn(&str) -> bool,
) -> Vec<(&'a String, &'a String)> {
    let of = |name: &str| match facts.administration.as_ref().map(|all| all.client(name)) {
        Some(Some(client)) => lacks(client),
        Some(None) | None => refused(name),
    };
    wanted.iter().filter(|(client, _)| of(client)).collect()
}

pub(super) const SERVICE_ACCOUNTS_OFF: Check = Check {
    name: "service_accounts_off",
    severity: Severity::Fails,
    summary: "A target of `outbound` uses client credentials, which its client may not use.",
    effect: "the target's requests fail with `unauthorized_client`",
    setting: "Service accounts roles",
    place: "Clients → {client} → Settings → Capability config",
    reads: Reads::Both,
    judge: |needs, facts| {
        let lacks = |client: &Client| !client.service_accounts_enabled;
        let refused = |client: &str| facts.without_service_account.contains(client);
        let problem = |(client, key): (&String, &String)| {
            let setting = Setting::new("serviceAccountsEnabled", "service_accounts_enabled", true);
            let change = Change::Client { client: client.clone(), setting };
            let text = format!(
                "the client `{client}` may not use client credentials, which `{key}` needs"
            );
            Problem::new(text, "on").of_client(client).with([change])
        };
        lacking(&needs.service_accounts, facts, lacks, refused).into_iter().map(problem).collect()
    },
};

pub(super) const TOKEN_EXCHANGE_OFF: Check = Check {
    name: "token_exchange_off",
    severity: Severity::Fails,
    summary: "A route or target exchanges tokens, which its client may not do.",
    effect: "requests fail, because the upstream's token cannot be had",
    setting: "Standard Token Exchange",
    place: "Clients → {client} → Settings → Capability config",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let lacks = |client: &Client| client.attribute(EXCHANGE) != Some("true");
        let problem = |(client, key): (&String, &String)| {
            let setting = Setting::new(
                "attributes.\"standard.token.exchange.enabled\"",
                "standard_token_exchange_enabled",
                "true",
            )
            .written_as(super::super::finding::Terraform::Argument(
                "standard_token_exchange_enabled",
                json!(true),
            ));
            let change = Change::Client { client: client.clone(), setting };
            let text =
                format!("the client `{client}` may not exchange tokens, which `{key}` needs");
            Problem::new(text, "on").of_client(client).with([change])
        };
        lacking(&needs.exchanging, facts, lacks, |_| false).into_iter().map(problem).collect()
    },
};
