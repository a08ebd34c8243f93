//! Checks of the keys that say which bearer tokens of an issuer are accepted.

use oidc_core::Claims;
use oidc_core::provider::{InvalidIssuer, IssuerTemplate};

use super::Findings;
use crate::config::problem::KeyPath;
use crate::config::{AudienceClaim, IssuerConfig, Profile};

/// Checks the profile of an issuer and the keys that depend on it.
pub(super) fn check(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    client(here, issuer, found);
    audience(here, issuer, found);
    tenants(here, issuer, found);
    workload(here, issuer, found);
    claims(&here.key("claims"), issuer, found);
    if issuer.dangerous_accept_id_tokens && issuer.profile != Profile::Generic {
        let message = "invalid with this profile: only `generic` accepts ID tokens; write `profile: generic`, or \
                       remove the key";
        found.problem(here.key("dangerous_accept_id_tokens"), message);
    }
    if let Some(identifier) = &issuer.access_token_issuer {
        let message = if *identifier == issuer.url {
            "invalid issuer: it is the `url`; remove the key"
        } else if identifier.trim().is_empty() || identifier.contains(char::is_whitespace) {
            "invalid issuer: write it as access tokens have it in `iss`, such as \
             `http://adfs.example/adfs/services/trust`"
        } else {
            return;
        };
        found.problem(here.key("access_token_issuer"), message);
    }
}

fn client(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    match (issuer.client_id.as_deref(), issuer.profile) {
        (None, Profile::Keycloak | Profile::Rfc9068) => {
            let message = "missing client ID; write the gateway's client at the provider";
            found.problem(here.key("client_id"), message);
        }
        (None, Profile::Generic | Profile::Workload) => {}
        (Some(_), Profile::Workload) => {
            let message = "invalid with `profile: workload`: a workload signs in with no browser; remove the key";
            found.problem(here.key("client_id"), message);
        }
        (Some(id), _) if id.trim().is_empty() => {
            let message = "missing client ID; write the gateway's client at the provider";
            found.problem(here.key("client_id"), message);
        }
        (Some(_), _) => {}
    }
    if !issuer.offers_login() && issuer.audience.is_empty() {
        let message = "missing `audience`: without a client, only bearer tokens are accepted; write the value that \
                       `aud` must hold, such as `audience: [doorward]`";
        if matches!(issuer.profile, Profile::Generic | Profile::Workload) {
            found.problem(here.key("audience"), message);
        }
    }
}

/// An ID token must not pass for an access token.
fn audience(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    let by_client = issuer.audience_claim == AudienceClaim::ClientId;
    let own = issuer.client_id.as_ref().filter(|id| issuer.audience.contains(id));
    if let (Profile::Generic, Some(id), false) = (issuer.profile, own, by_client) {
        let message = format!(
            "invalid audience `{id}`: it is the `client_id`, so an ID token of a login would pass for an access \
             token; have the provider issue access tokens for another audience, and write that"
        );
        found.problem(here.key("audience"), message);
    }
    let generic = matches!(issuer.profile, Profile::Generic | Profile::Workload);
    match (by_client, issuer.token_use) {
        (true, _) if !generic => {
            let message =
                "invalid with this profile: its access tokens have `aud`; write `profile: generic`";
            found.problem(here.key("audience_claim"), message);
        }
        (true, None) => {
            let message = "missing `token_use`: it distinguishes access tokens from ID tokens; write \
                           `token_use: access`";
            found.problem(here.key("audience_claim"), message);
        }
        (false, Some(_)) => {
            let message =
                "invalid without `audience_claim: client_id`; add that, or remove the key";
            found.problem(here.key("token_use"), message);
        }
        _ => {}
    }
}

fn tenants(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    let template = IssuerTemplate::is_template(&issuer.url);
    if issuer.tenants.is_empty() {
        if template {
            let message = "missing `tenants`: the URL holds `{tenantid}`, and tokens of every tenant would be \
                           accepted; write `tenants: [ID]`";
            found.problem(here.key("url"), message);
        }
        return;
    }
    match IssuerTemplate::new(&issuer.url, &issuer.tenants) {
        Err(error @ InvalidIssuer::NotATenant { .. }) => {
            found.problem(here.key("tenants"), error.to_string());
        }
        Err(error) if !template => found.problem(here.key("tenants"), error.to_string()),
        Err(error) => found.problem(here.key("url"), error.to_string()),
        Ok(_) if issuer.access_token_issuer.is_some() => {
            let message = "invalid with `tenants`: their tokens name the tenant; remove the key";
            found.problem(here.key("access_token_issuer"), message);
        }
        Ok(_) => {}
    }
}

fn workload(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    if issuer.profile != Profile::Workload {
        for (key, written, instead) in [
            ("trust_domain", issuer.trust_domain.is_some(), "write `profile: workload`"),
            ("keys_file", issuer.keys_file.is_some(), "write `profile: workload`"),
            ("fetch", issuer.fetch.is_some(), "write `ca_file`, or `profile: workload`"),
        ] {
            if written {
                let message =
                    format!("invalid with this profile: only `workload` has it; {instead}");
                found.problem(here.key(key), message);
            }
        }
        return;
    }
    if let Some(domain) = &issuer.trust_domain {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        if domain.is_empty() || !domain.bytes().all(plain) {
            let message = format!(
                "invalid trust domain `{domain}`; write it alone and in lower case, such as `acme.example`"
            );
            found.problem(here.key("trust_domain"), message);
        }
    }
    let Some(fetch) = &issuer.fetch else { return };
    if issuer.keys_file.is_some() {
        let message = "invalid with `keys_file`: nothing is fetched then; remove one of them";
        found.problem(here.key("fetch"), message);
    }
    if issuer.ca_file.is_some() && fetch.ca_file.is_some() {
        let message =
            "invalid with `ca_file`: both say which certificates are trusted; remove one of them";
        found.problem(here.key("fetch").key("ca_file"), message);
    }
}

fn claims(here: &KeyPath, issuer: &IssuerConfig, found: &mut Findings) {
    let claims = &issuer.claims;
    let single = [
        ("subject", claims.subject.as_ref()),
        ("user_name", claims.user_name.as_ref()),
        ("email", claims.email.as_ref()),
        ("name", claims.name.as_ref()),
        ("client_roles", claims.client_roles.as_ref().and_then(Option::as_ref)),
    ];
    let single = single.into_iter().filter_map(|(key, path)| Some((key, path?)));
    let lists = [("roles", &claims.roles), ("groups", &claims.groups), ("scopes", &claims.scopes)];
    let lists = lists.iter().flat_map(|(key, paths)| {
        let paths = paths.iter().flatten();
        paths.map(|path| (*key, path))
    });
    for (key, path) in single.chain(lists) {
        if path.trim().is_empty() {
            let message =
                "invalid claim name: it is empty; write one, or omit the key for the default";
            found.problem(here.key(key), message);
        } else if !Claims::is_path(path) {
            let message = format!(
                "invalid claim path `{path}`: quotation marks enclose whole names; write it like \
                 `'\"https://acme.example/app\".roles'`"
            );
            found.problem(here.key(key), message);
        }
    }
    if claims.subject.is_some() && issuer.offers_login() {
        let message = "invalid with `client_id`: sessions are of `sub`, so bearer tokens must be too; remove the key";
        found.problem(here.key("subject"), message);
    }
}
