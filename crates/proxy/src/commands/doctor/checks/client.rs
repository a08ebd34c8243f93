//! The registration of the gateway's client, as logins use it.

use std::collections::BTreeSet;

use serde_json::json;
use url::Url;

use super::super::facts::{Client, Facts, OFFLINE};
use super::super::finding::{Change, Check, Problem, Reads, Setting, Severity, Terraform};
use super::super::needs::Needs;
use super::{joined, own_client, quoted};

fn change(needs: &Needs, setting: Setting) -> [Change; 1] {
    [Change::Client { client: needs.client.clone(), setting }]
}

/// The problem of the gateway's client, if it has one.
fn of_client(
    needs: &Needs,
    facts: &Facts,
    problem: impl FnOnce(&Client) -> Option<Problem>,
) -> Vec<Problem> {
    own_client(needs, facts).and_then(|(_, client)| problem(client)).into_iter().collect()
}

pub(super) const CLIENT_REFUSED: Check = Check {
    name: "client_refused",
    severity: Severity::Fails,
    summary: "The issuer refuses the gateway as its client.",
    effect: "no user can sign in, and sessions end at their next refresh",
    setting: "Client secret, or the Client Authenticator",
    place: "Clients → {client} → Credentials",
    reads: Reads::Client,
    judge: |needs, facts| {
        let problem = |reason: &String| {
            Problem::new(
                format!("the issuer refuses the client `{}`: {reason}", needs.client),
                "the credential that `client_auth` names",
            )
        };
        facts.client_refused.as_ref().map(problem).into_iter().collect()
    },
};

pub(super) const CLIENT_MISSING: Check = Check {
    name: "client_missing",
    severity: Severity::Fails,
    summary: "The realm has no client with the `client_id`.",
    effect: "no user can sign in",
    setting: "Client ID",
    place: "Clients → Create client",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let missing = facts
            .administration
            .as_ref()
            .is_some_and(|administration| administration.client(&needs.client).is_none());
        let problem =
            || Problem::new(format!("the realm has no client `{}`", needs.client), &*needs.client);
        (missing && !needs.client.is_empty()).then(problem).into_iter().collect()
    },
};

pub(super) const CLIENT_IS_PUBLIC: Check = Check {
    name: "client_is_public",
    severity: Severity::Weakens,
    summary: "The client is public, and the configuration has a credential for it.",
    effect: "Keycloak ignores the credential: any program can use the gateway's codes and refresh tokens",
    setting: "Client authentication",
    place: "Clients → {client} → Settings → Capability config",
    reads: Reads::Administration,
    judge: |needs, facts| {
        of_client(needs, facts, |client| {
            let setting = Setting::new("publicClient", "access_type", false)
                .written_as(Terraform::Argument("access_type", json!("CONFIDENTIAL")));
            let problem = || {
                Problem::new(
                    format!(
                        "the client `{}` is public, although `client_auth` authenticates it",
                        needs.client
                    ),
                    "on",
                )
                .with(change(needs, setting))
            };
            (client.public_client && needs.authenticates).then(problem)
        })
    },
};

/// The redirect URIs as they should be: those without a wildcard, and all that are needed.
fn redirect_uris(needs: &Needs, client: &Client) -> [Change; 1] {
    let exact: Vec<String> =
        client.redirect_uris.iter().filter(|uri| !uri.contains('*')).cloned().collect();
    let all = joined(&exact, needs.redirect_uris.iter().map(Url::to_string));
    change(needs, Setting::new("redirectUris", "valid_redirect_uris", json!(all)))
}

pub(super) const REDIRECT_URI_MISSING: Check = Check {
    name: "redirect_uri_missing",
    severity: Severity::Fails,
    summary: "The redirect URI of a host is not registered.",
    effect: "users see \"Invalid parameter: redirect_uri\" instead of the login",
    setting: "Valid redirect URIs",
    place: "Clients → {client} → Settings → Access settings",
    reads: Reads::Both,
    judge: |needs, facts| {
        let client = own_client(needs, facts).map(|(_, client)| client);
        let missing: BTreeSet<&Url> = match client {
            Some(client) => needs
                .redirect_uris
                .iter()
                .filter(|uri| !client.covers(&client.redirect_uris, uri))
                .collect(),
            None => facts.redirect_uris_refused.iter().collect(),
        };
        if missing.is_empty() {
            return Vec::new();
        }
        let text = format!("the client `{}` may not return to {}", needs.client, quoted(&missing));
        let list: Vec<&str> = missing.iter().map(|uri| uri.as_str()).collect();
        let changes = client.into_iter().flat_map(|client| redirect_uris(needs, client));
        vec![Problem::new(text, list.join(" ")).with(changes)]
    },
};

pub(super) const REDIRECT_URI_WILDCARD: Check = Check {
    name: "redirect_uri_wildcard",
    severity: Severity::Weakens,
    summary: "A registered redirect URI has a wildcard.",
    effect: "a page below it, such as an open redirect of an application, can receive codes",
    setting: "Valid redirect URIs",
    place: "Clients → {client} → Settings → Access settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        of_client(needs, facts, |client| {
            let wild: Vec<&String> =
                client.redirect_uris.iter().filter(|uri| uri.contains('*')).collect();
            let exact: Vec<&str> = needs.redirect_uris.iter().map(Url::as_str).collect();
            let problem = || {
                let text = format!("the client `{}` may return to {}", needs.client, quoted(&wild));
                Problem::new(text, exact.join(" ")).with(redirect_uris(needs, client))
            };
            (!wild.is_empty()).then(problem)
        })
    },
};

pub(super) const POST_LOGOUT_URI_MISSING: Check = Check {
    name: "post_logout_uri_missing",
    severity: Severity::Fails,
    summary: "The post-logout redirect URI of a host is not registered.",
    effect: "a sign-out ends on an error page of Keycloak, and its session lives on",
    setting: "Valid post logout redirect URIs",
    place: "Clients → {client} → Settings → Access settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        of_client(needs, facts, |client| {
            let registered = client.post_logout_uris();
            let uris = needs.post_logout_uris.iter();
            let missing: Vec<&Url> = uris.filter(|uri| !client.covers(&registered, uri)).collect();
            if missing.is_empty() {
                return None;
            }
            let text = format!(
                "the client `{}` may not return to {} after a sign-out",
                needs.client,
                quoted(&missing)
            );
            let list: Vec<&str> = missing.iter().map(|uri| uri.as_str()).collect();
            let all = joined(&registered, list.iter().map(|uri| (*uri).to_owned()));
            let setting = Setting::new(
                "attributes.\"post.logout.redirect.uris\"",
                "valid_post_logout_redirect_uris",
                all.join("##"),
            )
            .written_as(Terraform::Argument("valid_post_logout_redirect_uris", json!(all)));
            Some(Problem::new(text, list.join(" ")).with(change(needs, setting)))
        })
    },
};

pub(super) const PKCE_NOT_REQUIRED: Check = Check {
    name: "pkce_not_required",
    severity: Severity::Weakens,
    summary: "The client takes logins without PKCE.",
    effect: "a code that was begun by another program can be given to the gateway",
    setting: "PKCE Method (Proof Key for Code Exchange Code Challenge Method)",
    place: "Clients → {client} → Settings → Capability config (26.0 to 26.2: Advanced → Advanced settings)",
    reads: Reads::Administration,
    judge: |needs, facts| {
        of_client(needs, facts, |client| {
            let setting = Setting::new(
                "attributes.\"pkce.code.challenge.method\"",
                "pkce_code_challenge_method",
                "S256",
            );
            let problem = || {
                let text = format!("the client `{}` takes logins without PKCE S256", needs.client);
                Problem::new(text, "S256").with(change(needs, setting))
            };
            let required = client.attribute("pkce.code.challenge.method") == Some("S256");
            (!required && !needs.redirect_uris.is_empty()).then(problem)
        })
    },
};

pub(super) const WEB_ORIGINS_ANY: Check = Check {
    name: "web_origins_any",
    severity: Severity::Weakens,
    summary: "Pages of every origin may ask Keycloak for tokens of the client.",
    effect: "a script on any page can read the token endpoint's answers",
    setting: "Web origins",
    place: "Clients → {client} → Settings → Access settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        of_client(needs, facts, |client| {
            let rest: Vec<&String> =
                client.web_origins.iter().filter(|origin| *origin != "*").collect();
            let setting = Setting::new("webOrigins", "web_origins", json!(rest));
            let problem = || {
                let text = format!("the web origins of the client `{}` hold `*`", needs.client);
                Problem::new(text, "empty: the gateway's own server asks, and no page")
                    .with(change(needs, setting))
            };
            (rest.len() < client.web_origins.len()).then(problem)
        })
    },
};

pub(super) const OFFLINE_ACCESS_OFFERED: Check = Check {
    name: "offline_access_offered",
    severity: Severity::Weakens,
    summary: "The client may have `offline_access`, and the configuration does not ask for it.",
    effect: "a stolen credential of the client buys tokens that outlive every session and sign-out",
    setting: "client scope `offline_access`",
    place: "Clients → {client} → Client scopes",
    reads: Reads::Administration,
    judge: |needs, facts| {
        of_client(needs, facts, |client| {
            let among = |scopes: &[String]| scopes.iter().any(|scope| scope == OFFLINE);
            let default = among(&client.default_client_scopes);
            let asked = among(&needs.scopes);
            let (text, scopes) = match (default, among(&client.optional_client_scopes)) {
                (true, _) => {
                    ("makes an offline session at each login", &client.default_client_scopes)
                }
                (false, true) => ("may ask for offline tokens", &client.optional_client_scopes),
                (false, false) => return None,
            };
            let rest = scopes.iter().filter(|scope| *scope != OFFLINE).cloned().collect();
            let taken = Change::ScopeTaken {
                client: needs.client.clone(),
                scope: OFFLINE.to_owned(),
                default,
                rest,
            };
            let text =
                format!("the client `{}` {text}, which `scopes` does not ask for", needs.client);
            (!asked).then(|| Problem::new(text, "removed").with([taken]))
        })
    },
};
