//! `WWW-Authenticate` by RFC 6750 §3, RFC 9470 §3 and RFC 7617 §2; for a container registry by the [distribution token specification], whose
//! clients take `realm` for the address of a token endpoint.
//!
//! [distribution token specification]: https://distribution.github.io/distribution/spec/auth/token/
//!
//! A caller that presented no token learns only the realm (§3.1). A caller whose token was refused learns the reason, in
//! printable ASCII without quotes, whatever the token held.

use http::HeaderValue;

use super::AnswerContext;
use crate::{refusal::Refusal, route::Offer};

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
        Offer::Bearer | Offer::Basic => format!("Bearer realm=\"{realm}\""),
    };
    match refusal {
        Refusal::LoginNeeded { .. } => {
            if let Offer::Registry { scope: Some(scope), .. } = &context.offer {
                bearer.push_str(&format!(",scope=\"{}\"", quotable(scope, 400)));
            }
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
        }
        Refusal::InvalidKey(_) => {
            bearer.push_str(
                ", error=\"invalid_token\", error_description=\"the API key does not count\"",
            );
        }
        Refusal::Forbidden { bearer: true, unmet, .. } => {
            bearer.push_str(", error=\"insufficient_scope\"");
            let mut scopes: Vec<String> =
                unmet.scopes.iter().map(|scope| scope_token(scope)).collect();
            scopes.sort_unstable();
            scopes.dedup();
            if !scopes.is_empty() {
                bearer.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
            }
            return HeaderValue::try_from(bearer).into_iter().collect();
        }
        _ => return Vec::new(),
    }
    // A client that knows both schemes takes the first (RFC 9110 §11.6.1); one that answers only Basic ignores the other.
    let basic = (context.offer == Offer::Basic)
        .then(|| format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
    basic.into_iter().chain([bearer]).filter_map(|text| HeaderValue::try_from(text).ok()).collect()
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
