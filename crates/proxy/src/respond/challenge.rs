//! `WWW-Authenticate` by RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3 and RFC 7617 §2; for a container registry by the [distribution token specification], whose
//! clients take `realm` for the address of a token endpoint.
//!
//! [distribution token specification]: https://distribution.github.io/distribution/spec/auth/token/
//!
//! A caller that presented no token learns only the realm (§3.1). A caller whose token was refused learns the reason, in
//! printable ASCII without quotes, whatever the token held.

use http::HeaderValue;

use super::AnswerContext;
use crate::{
    refusal::{Refusal, Unproven},
    route::Offer,
};

const DESCRIPTION_CHARS: usize = 300;

/// The challenges for a refusal; none unless the caller may answer them.
pub(super) fn challenges(refusal: &Refusal, context: &AnswerContext) -> Vec<HeaderValue> {
    let realm = quotable(context.site.realm(), 100);
    let mut bearer = match &context.offer {
        Offer::Registry { realm, service, .. } => {
            format!(
                "Bearer realm=\"{}\",service=\"{}\"",
                quotable(realm, 400),
                quotable(service, 300)
            )
        }
        Offer::Resource(resource) => format!(
            "Bearer realm=\"{realm}\", resource_metadata=\"{}\"",
            quotable(&resource.metadata, 1000)
        ),
        Offer::Bearer | Offer::Basic => format!("Bearer realm=\"{realm}\""),
    };
    match refusal {
        Refusal::LoginNeeded { .. } => {
            if let Offer::Registry { scope: Some(scope), .. } = &context.offer {
                bearer.push_str(&format!(",scope=\"{}\"", quotable(scope, 400)));
            }
            add_scopes(&mut bearer, &resource_scopes(context, &[]));
        }
        Refusal::StrongerSignInNeeded { needed, .. } => {
            let step_up = &needed.step_up;
            let description = quotable(&needed.missing, DESCRIPTION_CHARS);
            bearer.push_str(&format!(
                ", error=\"insufficient_user_authentication\", error_description=\"{description}\""
            ));
            if !step_up.acr_values.is_empty() {
                let levels: Vec<_> =
                    step_up.acr_values.iter().map(|level| scope_token(level)).collect();
                bearer.push_str(&format!(", acr_values=\"{}\"", levels.join(" ")));
            }
            if let Some(max_age) = step_up.max_age {
                bearer.push_str(&format!(", max_age=\"{}\"", max_age.as_secs()));
            }
        }
        Refusal::BadCredentials(refusal) if !refusal.is_unavailable() => {
            let description = quotable(&refusal.to_string(), DESCRIPTION_CHARS);
            bearer.push_str(", error=\"invalid_token\", error_description=\"");
            bearer.push_str(&description);
            bearer.push('"');
            add_scopes(&mut bearer, &resource_scopes(context, &[]));
        }
        // A client of MCP asks for more scopes when it is told so: no scope would give the caller a role.
        Refusal::Forbidden { bearer: true, unmet, .. }
            if unmet.scopes.is_empty() && matches!(context.offer, Offer::Resource(_)) =>
        {
            return Vec::new();
        }
        Refusal::Unproven(unproven) if unproven.reason.is_unavailable() => return Vec::new(),
        Refusal::Unproven(unproven) if unproven.is_about_dpop() => {
            // The token itself is of no use as a bearer token.
            let challenge = dpop(&realm, &unproven.algorithms, unproven);
            return HeaderValue::try_from(challenge).into_iter().collect();
        }
        Refusal::Unproven(unproven) => {
            let description = quotable(&unproven.reason.to_string(), DESCRIPTION_CHARS);
            bearer.push_str(&format!(
                ", error=\"invalid_token\", error_description=\"{description}\""
            ));
        }
        Refusal::InvalidKey(_) => {
            bearer.push_str(
                ", error=\"invalid_token\", error_description=\"the API key does not count\"",
            );
        }
        Refusal::Forbidden { bearer: true, unmet, .. } => {
            bearer.push_str(", error=\"insufficient_scope\"");
            match &context.offer {
                Offer::Resource(_) => {
                    add_scopes(&mut bearer, &resource_scopes(context, &unmet.scopes))
                }
                _ => {
                    let mut scopes = unmet.scopes.clone();
                    scopes.sort_unstable();
                    scopes.dedup();
                    add_scopes(&mut bearer, &scopes);
                }
            }
            return HeaderValue::try_from(bearer).into_iter().collect();
        }
        _ => return Vec::new(),
    }
    // A client that knows both schemes takes the first (RFC 9110 §11.6.1); one that answers only Basic ignores the other.
    let basic = (context.offer == Offer::Basic)
        .then(|| format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
    let dpop = context.site.dpop_algorithms().map(|names| format!("DPoP algs=\"{names}\""));
    basic
        .into_iter()
        .chain([bearer])
        .chain(dpop)
        .filter_map(|text| HeaderValue::try_from(text).ok())
        .collect()
}

/// The challenge for a proof (RFC 9449 §7.1).
fn dpop(realm: &str, algorithms: &str, unproven: &Unproven) -> String {
    let description = quotable(&unproven.reason.to_string(), DESCRIPTION_CHARS);
    let (error, algorithms) = (unproven.error(), quotable(algorithms, 200));
    format!(
        "DPoP realm=\"{realm}\", error=\"{error}\", error_description=\"{description}\", algs=\"{algorithms}\""
    )
}

/// Scopes that a token for the resource needs: those of every token, and these. None where the route is no resource.
fn resource_scopes(context: &AnswerContext, more: &[String]) -> Vec<String> {
    match &context.offer {
        Offer::Resource(resource) => resource.scopes_with(more),
        _ => Vec::new(),
    }
}

fn add_scopes(challenge: &mut String, scopes: &[String]) {
    let scopes: Vec<String> = scopes.iter().map(|scope| scope_token(scope)).collect();
    if !scopes.is_empty() {
        challenge.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
    }
}

/// Text that is allowed in a quoted string of RFC 6750 §3: %x20-21 / %x23-5B / %x5D-7E.
fn quotable(text: &str, chars: usize) -> String {
    text.chars()
        .take(chars)
        .map(|letter| match letter {
            '"' | '\\' => '\'',
            ' '..='~' => letter,
            _ => '?',
        })
        .collect()
}

/// A scope without the characters that RFC 6749 §3.3 forbids.
fn scope_token(scope: &str) -> String {
    scope
        .chars()
        .take(100)
        .filter(|letter| matches!(letter, '!'..='~') && !matches!(letter, '"' | '\\'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{quotable, scope_token};

    #[test]
    fn nothing_leaves_the_quotes() {
        assert_eq!(quotable("a\"b\\c\r\nd\u{202e}é", 200), "a'b'c??d??");
        assert_eq!(quotable(&"x".repeat(10_000), 200).len(), 200);
        assert_eq!(scope_token("score\", error=\"x y"), "score,error=xy");
    }
}
