//! Header fields about the caller that an upstream receives, and keys of the route that rules do not show.

use std::collections::BTreeMap;

use access_policy::Caller;

use crate::{
    authorize::missing_scopes,
    config::{BearerTokens, SentAccessToken},
    forward::{IdentityHeaders, filled, with_groups_of},
    route::Route,
};

/// The fields about the caller, by name. Secrets are described and not shown.
pub(super) fn fields(route: &Route, caller: &Caller) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    if let Caller::Known(known) = caller {
        let known = match &route.groups {
            Some(groups) => with_groups_of(known, groups),
            None => known.as_ref().clone(),
        };
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        if route.identity.headers {
            for (name, value) in IdentityHeaders::new(&known).named() {
                fields.insert(format!("x-forwarded-{name}"), text(value));
            }
        }
        if route.identity.assertion {
            fields.insert("x-doorward-assertion".to_owned(), "(signed by the gateway)".to_owned());
        }
        if let Some(set) = &route.set {
            for (name, value) in filled(set, &known) {
                fields.insert(name.as_str().to_owned(), text(&value));
            }
        }
        let token = match &route.identity.access_token {
            SentAccessToken::None => None,
            SentAccessToken::Own => Some("(the caller's access token)".to_owned()),
            SentAccessToken::Exchanged(exchange) => Some(format!(
                "(a token for the audience {}, exchanged for the caller's)",
                exchange.audience
            )),
        };
        fields.extend(token.map(|token| ("authorization".to_owned(), token)));
    }
    if route.credentials.is_some() {
        let own = "(the application's credentials, `identity.credentials`)";
        fields.insert("authorization".to_owned(), own.to_owned());
    }
    fields
}

/// The verdict on claims without the scopes that every token for the route's resource needs.
pub(super) fn lacks_scopes(route: &Route, caller: &Caller) -> Option<String> {
    let (Some(resource), Caller::Known(known)) = (&route.mcp, caller) else { return None };
    let unmet = missing_scopes(resource, known)?;
    Some(format!("refused: the caller {}, as every token for this resource does", unmet.summary()))
}

/// Conditions on credentials and pages that are not among the rules.
pub(super) fn notes(route: &Route) -> Vec<String> {
    let mut notes = Vec::new();
    if !route.audience.is_empty() {
        notes.push(format!(
            "a bearer token needs one of these `aud` here: {}",
            route.audience.join(", ")
        ));
    }
    if route.bearer == BearerTokens::Application {
        notes.push(
            "`Authorization: Bearer` is the application's own and names no caller here; `X-Doorward-Token` does"
                .to_owned(),
        );
    }
    if let Some(resource) = route.mcp.as_ref().filter(|resource| !resource.scopes.is_empty()) {
        notes.push(format!(
            "a bearer token needs all of these scopes here: {}",
            resource.scopes.join(", ")
        ));
    }
    if let Some(cors) = &route.cors {
        let origins = match &cors.origins {
            None => "every origin".to_owned(),
            Some(origins) => {
                let all = origins.iter().map(|one| String::from_utf8_lossy(one.as_bytes()));
                all.collect::<Vec<_>>().join(", ")
            }
        };
        notes.push(format!("scripts of other pages may read answers: {origins}"));
    }
    notes
}
