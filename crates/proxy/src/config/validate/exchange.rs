//! Checks of token exchanges: the audience, the scopes, and the gateway's credentials at the issuers.

use super::Findings;
use crate::config::problem::KeyPath;
use crate::config::{ClientAuth, Config, RouteConfig};

/// Checks `identity.access_token.exchange` of a route.
pub(super) fn route(here: &KeyPath, config: &Config, route: &RouteConfig, found: &mut Findings) {
    let Some(exchange) = route.identity.access_token.exchange() else { return };
    let here = here.key("identity").key("access_token").key("exchange");
    audience(&here.key("audience"), &exchange.audience, found);
    scopes(&here.key("scopes"), &exchange.scopes, found);
    let mut clients =
        config.issuers.iter().filter(|(_, issuer)| issuer.client_id.is_some()).peekable();
    if clients.peek().is_none() {
        let message = "invalid `exchange`: the gateway is a client of no issuer; write `client_id` and `client_auth` at the \
                       callers' issuer";
        return found.problem(here, message);
    }
    // A public client could have anyone's token exchanged.
    for (name, _) in clients.filter(|(_, issuer)| issuer.client_auth == ClientAuth::None) {
        let message = format!(
            "invalid `exchange`: `issuers.{name}` has no `client_auth`, and providers exchange tokens for clients with credentials \
             only; write such as `client_auth: {{ secret: {{ file: /run/secrets/gateway }} }}` there"
        );
        found.problem(here.clone(), message);
    }
}

/// Checks the audience of tokens that are asked for.
pub(super) fn audience(here: &KeyPath, audience: &str, found: &mut Findings) {
    if audience.is_empty()
        || audience.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    {
        let message = format!(
            "invalid audience {audience:?}: it is empty or has white space; write the name that the issuer has for the \
             service, such as `churn`"
        );
        found.problem(here.clone(), message);
    }
}

/// Checks the scopes of tokens that are asked for.
pub(super) fn scopes(here: &KeyPath, scopes: &[String], found: &mut Findings) {
    for (index, scope) in scopes.iter().enumerate() {
        // RFC 6749 §3.3
        let plain = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
        if scope.is_empty() || !scope.bytes().all(plain) {
            let message = format!("invalid scope {scope:?}; write a list, such as `[score]`");
            found.problem(here.item(index), message);
        }
    }
}
