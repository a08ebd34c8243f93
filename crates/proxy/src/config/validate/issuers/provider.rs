//! Checks of an issuer's addresses, and of what the gateway asks its provider for.

use oidc_core::Issuer;
use oidc_core::login::LoginRequest;
use oidc_core::provider::PlainHttpHosts;
use url::Url;

use super::super::Findings;
use crate::config::policy::Allow;
use crate::config::problem::KeyPath;
use crate::config::{Config, IssuerConfig, WithoutRefresh};

/// Checks the addresses at which the provider is reached.
pub(super) fn addresses(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    let hosts = PlainHttpHosts::dangerous(&issuer.dangerous_allow_http).unwrap_or_else(|error| {
        let message = format!("invalid host: {error}, such as `[keycloak.svc]`");
        found.problem(here.key("dangerous_allow_http"), message);
        PlainHttpHosts::default()
    });
    if !issuer.dangerous_allow_http.is_empty() {
        let message = "tokens and the client's secret can be read and changed on the way to these hosts; \
                       use it only within one machine or cluster";
        found.warning(here.key("dangerous_allow_http"), message);
    }
    issuer_url(&here.key("url"), &issuer.url, &hosts, found);
    if let Some(url) = &issuer.discovery_url {
        discovery_url(&here.key("discovery_url"), url, &hosts, found);
    }
}

fn issuer_url(here: &KeyPath, text: &str, hosts: &PlainHttpHosts, found: &mut Findings) {
    let message = match Issuer::dangerous_allow_http(text, hosts) {
        Err(error) => error.to_string(),
        Ok(_) => match text.split_once("/.well-known/") {
            Some((issuer, _)) => {
                format!("invalid URL: it is the discovery document's; write `{issuer}`")
            }
            None => return,
        },
    };
    found.problem(here.clone(), message);
}

fn discovery_url(here: &KeyPath, text: &str, hosts: &PlainHttpHosts, found: &mut Findings) {
    let message = match text.parse::<Url>() {
        Err(error) => format!(
            "invalid URL: {error}; write where the issuer is reached, such as \
             `http://keycloak.svc:8080/realms/platform`"
        ),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "invalid URL: it holds a user name or password; remove them".to_owned()
        }
        Ok(url) if url.fragment().is_some() => {
            "invalid URL: it has a fragment; remove it".to_owned()
        }
        Ok(mut url) => {
            // An issuer has no query, but a document may.
            url.set_query(None);
            match Issuer::dangerous_allow_http(url.as_str(), hosts) {
                Ok(_) => return,
                Err(error) => error.to_string().replacen("issuer ", "address ", 1),
            }
        }
    };
    found.problem(here.clone(), message);
}

/// Checks the parameters of the authorization request.
pub(super) fn authorization(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    for (name, value) in &issuer.authorization {
        let message = if LoginRequest::sets(name) {
            format!("invalid parameter `{name}`: the protocol sets it; remove it")
        } else if name.trim().is_empty() || name.contains(char::is_whitespace) {
            "invalid parameter: its name is empty or has white space; write one, such as `prompt`"
                .to_owned()
        } else if name == "max_age" && value.parse::<u64>().is_err() {
            "invalid `max_age`: not a number of seconds; write one, such as `\"3600\"`".to_owned()
        } else if name == "prompt" && value.split_whitespace().any(|word| word == "none") {
            "invalid `prompt`: with `none` the provider shows no sign-in page, so that no user could \
             sign in; write `login` or `select_account`, or omit it"
                .to_owned()
        } else {
            continue;
        };
        found.problem(here.key(name), message);
    }
}

/// Warns of routes that send access tokens of sessions whose token nothing refreshes.
pub(super) fn without_refresh(
    here: &KeyPath,
    issuer: &IssuerConfig,
    config: &Config,
    found: &mut Findings,
) {
    let route = config.routes.iter().find(|(_, route)| route.identity.access_token.is_sent());
    if let (WithoutRefresh::KeepIdentity, Some((route, _))) = (issuer.without_refresh, route) {
        let message = format!(
            "route `{route}` sends access tokens: after the token's end it sends none; write \
             `end_with_token`, or have the issuer send refresh tokens (scope `offline_access`)"
        );
        found.warning(here.clone(), message);
    }
}

/// Warns of rules on e-mail addresses that users may have chosen themselves.
pub(super) fn unverified_emails(
    here: &KeyPath,
    issuer: &IssuerConfig,
    config: &Config,
    found: &mut Findings,
) {
    if issuer.email.require_verified {
        return;
    }
    let by_email = config.routes.iter().find(|(_, route)| {
        route.access.iter().any(|rule| match &rule.allow {
            Allow::AnyOf(requirements) => requirements
                .iter()
                .any(|one| !one.emails.is_empty() || !one.email_domains.is_empty()),
            Allow::Anyone | Allow::SignedIn => false,
        })
    });
    if let Some((route, _)) = by_email {
        let message = format!(
            "rules of route `{route}` read addresses that the issuer has not verified: a user who can \
             choose an address there passes as its owner; omit `require_verified: false`"
        );
        found.warning(here.key("require_verified"), message);
    }
}
