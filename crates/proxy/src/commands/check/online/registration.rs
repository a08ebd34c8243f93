//! The gateway's registration at a provider: its credential, and the redirect URI of each host.
//!
//! A pushed login proves both (RFC 9126 §2.1) and signs no user in. Without pushed requests, a code that was never issued proves
//! the credential: the provider authenticates the client before it refuses the code (RFC 6749 §5.2). Only a login proves the
//! redirect URI then.

use std::collections::BTreeSet;

use cli_auth::with_causes;
use oidc_core::Secret;
use oidc_core::client::{Grant, TokenEndpointError};
use oidc_core::login::{LoginError, LoginRequest};
use oidc_core::provider::ProviderMetadata;
use url::Url;

use crate::config::{
    Allow, ClientAuth, Config, HostPattern, IssuerConfig, PushedAuthorization, RouteConfig, SignIn,
};
use crate::identify::issuers::IssuerClient;

/// Results of the check.
#[derive(Debug, Default)]
pub(super) struct Registration {
    /// Facts that are proved, or that cannot be checked.
    pub(super) proved: Vec<String>,
    /// Faults, each with its remedy.
    pub(super) doubts: Vec<String>,
}

/// Checks the registration of a client for the hosts of a configuration.
pub(super) async fn check(
    client: &IssuerClient,
    config: &IssuerConfig,
    metadata: &ProviderMetadata,
    whole: &Config,
) -> Registration {
    let mut found = Registration::default();
    let logins = redirect_uris(whole);
    let pushes = metadata.pushed_authorization_request_endpoint.is_some()
        && config.pushed_authorization != PushedAuthorization::Never;
    if logins.is_empty() || !pushes {
        if config.client_auth != ClientAuth::None {
            match credential(client).await {
                Credential::Accepted => {
                    found.proved.push("accepts the client's credential".to_owned());
                }
                Credential::Refused(error) => found.doubts.push(refused_credential(&error)),
                Credential::Unproved(reason) => {
                    found.proved.push(format!("the client's credential is not checked: {reason}"))
                }
                Credential::Failed(reason) => found.doubts.push(reason),
            }
        }
        if !logins.is_empty() {
            found.proved.push(
                "redirect URIs are not checked: the provider takes no pushed authorization requests"
                    .to_owned(),
            );
        }
        return found;
    }
    let mut accepted = false;
    for uri in &logins {
        match push_login(client, config, uri).await {
            PushedLogin::Taken => {
                accepted = true;
                found.proved.push(format!("takes logins for {uri}"));
            }
            PushedLogin::ClientRefused(error) => {
                found.doubts.push(refused_credential(&error));
                return found;
            }
            PushedLogin::Refused(error) => {
                found.doubts.push(format!(
                    "takes no login for {uri}: {error}; register this redirect URI for the client `{}`",
                    config.client_id.as_deref().unwrap_or_default()
                ));
            }
            PushedLogin::Failed(reason) => found.doubts.push(reason),
        }
    }
    if accepted && config.client_auth != ClientAuth::None {
        found.proved.push("accepts the client's credential".to_owned());
    }
    found
}

/// Answer to a pushed login.
pub(in crate::commands) enum PushedLogin {
    /// Taken: the credential and the redirect URI are right.
    Taken,
    /// The client itself is refused.
    ClientRefused(TokenEndpointError),
    /// The login is refused: the redirect URI is not registered.
    Refused(TokenEndpointError),
    /// There is no usable answer.
    Failed(String),
}

/// Announces a login that does not begin.
pub(in crate::commands) async fn push_login(
    client: &IssuerClient,
    config: &IssuerConfig,
    redirect_uri: &Url,
) -> PushedLogin {
    let request = LoginRequest::new(redirect_uri.clone())
        .with_scopes(config.scopes.iter().cloned())
        .with_required_pushed_request();
    match client.client().begin_login(request).await {
        Ok(_) => PushedLogin::Taken,
        Err(LoginError::PushedAuthorization(error)) if is_about_client(&error) => {
            PushedLogin::ClientRefused(error)
        }
        Err(LoginError::PushedAuthorization(error @ TokenEndpointError::OAuth { .. })) => {
            PushedLogin::Refused(error)
        }
        Err(error) => PushedLogin::Failed(with_causes(&error)),
    }
}

/// Result of a check of the client's credential.
pub(in crate::commands) enum Credential {
    /// It is right.
    Accepted,
    /// It is wrong, or the client does not exist.
    Refused(TokenEndpointError),
    /// The provider refused something else first.
    Unproved(String),
    /// There is no usable answer.
    Failed(String),
}

/// Proves the client's credential with a code that was never issued.
pub(in crate::commands) async fn credential(client: &IssuerClient) -> Credential {
    let redirect_uri = match Url::parse("https://check.invalid/callback") {
        Ok(uri) => uri,
        Err(error) => return Credential::Failed(error.to_string()),
    };
    let grant = Grant::AuthorizationCode {
        code: Secret::from("checks-the-client-only"),
        redirect_uri,
        code_verifier: Secret::from("checks-the-client-only-0123456789-0123456789"),
    };
    match client.client().token_endpoint().request(grant).await {
        Ok(_) | Err(TokenEndpointError::InvalidGrant { .. }) => Credential::Accepted,
        Err(error) if is_about_client(&error) => Credential::Refused(error),
        Err(TokenEndpointError::OAuth { error, .. }) => Credential::Unproved(error),
        Err(error) => Credential::Failed(with_causes(&error)),
    }
}

/// Whether the provider refuses the client itself. Keycloak answers `unauthorized_client` with 401 for a wrong secret.
fn is_about_client(error: &TokenEndpointError) -> bool {
    match error {
        TokenEndpointError::InvalidClient { .. } => true,
        TokenEndpointError::OAuth { status, .. } => *status == 401,
        _ => false,
    }
}

fn refused_credential(error: &TokenEndpointError) -> String {
    format!("refuses the gateway as its client: {error}; correct `client_id` or `client_auth`")
}

/// The redirect URI of each host on which a browser may have to sign in; a wildcard host has none of its own.
pub(in crate::commands) fn redirect_uris(config: &Config) -> BTreeSet<Url> {
    let own = config.public_url.host_str().unwrap_or_default();
    let signs_in = |route: &&RouteConfig| {
        route.sign_in != SignIn::Challenge
            && route.access.iter().any(|rule| rule.allow != Allow::Anyone)
    };
    let hosts =
        config.routes.values().filter(signs_in).filter_map(|route| match &route.matches.host {
            Some(HostPattern::Exact(host)) => Some(host.as_str()),
            Some(HostPattern::Below(_)) => None,
            None => Some(own),
        });
    let of = |host: &str| {
        let mut url = config.public_url.clone();
        url.set_host(Some(host)).ok()?;
        url.set_path(&format!("{}/callback", config.endpoints.trim_end_matches('/')));
        Some(url)
    };
    hosts.filter_map(of).collect()
}
