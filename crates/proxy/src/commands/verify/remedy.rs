//! What to do about a refusal, for somebody who holds the token in their hands.

use oidc_core::{Claims, TokenRefusal, Validation};

use crate::commands::terminal::shown;

/// Where all codes are explained.
const PAGE: &str = "https://github.com/doorward/doorward/blob/main/docs/refusals.md#tokens";

/// What to do next.
pub(super) fn remedy(
    refusal: &TokenRefusal,
    claims: Option<&Claims>,
    validation: &Validation,
) -> String {
    let client = claims.and_then(Claims::client).map(shown);
    let issuer = validation.issuer();
    match refusal {
        TokenRefusal::Expired { .. } => {
            "get a fresh one (`doorward token` keeps one fresh); if it should still be good, compare \
             this machine's clock with the issuer's"
                .to_owned()
        }
        TokenRefusal::NotYetValid { .. } | TokenRefusal::IssuedInFuture { .. } => {
            "compare this machine's clock with the issuer's (`timedatectl`); --leeway allows up to 5m"
                .to_owned()
        }
        TokenRefusal::WrongAudience { .. } => {
            let who = client.map_or("the client".to_owned(), |client| format!("the client {client}"));
            let wanted = validation.audiences().join(" or ");
            format!(
                "have {who} ask for a token for {wanted} (Keycloak: an audience mapper in a client scope of \
                 {who}; others: `doorward token --audience {wanted}`), or, if this service goes by another \
                 name, say so with --audience"
            )
        }
        TokenRefusal::WrongIssuer { .. } => format!(
            "get the token from {issuer}, or name the issuer exactly as `iss` has it with --issuer: they are \
             compared byte for byte, a slash at the end counts"
        ),
        TokenRefusal::WrongType { .. } => wrong_type(claims),
        TokenRefusal::UnknownKey { .. } => format!(
            "compare `kid` and `alg` of the token with the keys that {issuer} publishes now: it is of another \
             realm or issuer, or older than a change of keys; get a fresh one"
        ),
        TokenRefusal::BadSignature => {
            "copy the token again, whole and unchanged; if it still fails, whoever made it does not hold the \
             issuer's key"
                .to_owned()
        }
        TokenRefusal::AlgorithmNotAllowed { allowed, .. } => {
            let allowed: Vec<_> = allowed.iter().map(|algorithm| algorithm.as_str()).collect();
            format!(
                "have the issuer sign access tokens with one of {}: what it announces for ID tokens, or what \
                 `algorithms` names; unsigned tokens and shared secrets (HS256) are never accepted",
                allowed.join(", ")
            )
        }
        TokenRefusal::SenderConstrained => {
            "the token is of use only together with its key (DPoP or a client certificate): ask for a plain \
             bearer token to present it without"
                .to_owned()
        }
        TokenRefusal::MissingClaim { claim } => {
            format!("have the issuer add `{claim}` to access tokens{}", profile_hint(claim))
        }
        TokenRefusal::Malformed { .. } => {
            "give the whole access token: three parts with dots between them, beginning with `eyJ`. An opaque \
             token has no claims: only the issuer's introspection endpoint can judge it"
                .to_owned()
        }
        TokenRefusal::TooLarge { .. } => {
            "have the issuer put fewer roles and claims into access tokens".to_owned()
        }
        TokenRefusal::KeysUnavailable { .. } => format!(
            "nothing is known to be wrong with the token; see that {} can be reached from here \
             (`curl`; --ca-file for a private certificate authority) and ask again",
            issuer.discovery_url()
        ),
        other => format!("see `{}` at {PAGE}", other.code()),
    }
}

fn wrong_type(claims: Option<&Claims>) -> String {
    let what = match claims.and_then(|claims| claims.token_type.as_deref()) {
        Some("ID") => "this is an ID token, which is for the program that signed the person in",
        Some("Refresh" | "Offline") => "this is a refresh token, which is for the issuer only",
        Some("Logout") => "this is a logout token, which is for back-channel logout only",
        _ => {
            return "give the `access_token` of the answer; with an issuer that marks access tokens as RFC 9068 \
                    says (`at+jwt`) use --profile rfc9068, with Keycloak --profile keycloak"
                .to_owned();
        }
    };
    format!("{what}; give the `access_token` of the same answer")
}

fn profile_hint(claim: &str) -> &'static str {
    match claim {
        "iat" | "jti" | "client_id" => ", or use --profile keycloak, which does not ask for it",
        "sub" => " (Keycloak: the client scope `basic`)",
        _ => "",
    }
}
