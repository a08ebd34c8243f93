//! Remedy of each refusal, for the user who has the token.

use oidc_core::{Claims, TokenRefusal, Validation};

use crate::program::Program;
use crate::terminal::shown;

/// Page that explains all codes.
const PAGE: &str = "https://github.com/doorward/doorward/blob/main/docs/refusals.md#tokens";

/// The remedy.
pub(super) fn remedy(
    program: &Program,
    refusal: &TokenRefusal,
    claims: Option<&Claims>,
    validation: &Validation,
) -> String {
    let client = claims.and_then(Claims::client).map(shown);
    let issuer = validation.issuer();
    let program = program.name();
    match refusal {
        TokenRefusal::Expired { .. } => format!(
            "get a fresh token (`{program} token` prints one); if this one should still be valid, compare this \
             machine's clock with the issuer's"
        ),
        TokenRefusal::NotYetValid { .. } | TokenRefusal::IssuedInFuture { .. } => {
            "compare this machine's clock with the issuer's (`timedatectl`); --leeway allows up to 5m"
                .to_owned()
        }
        TokenRefusal::WrongAudience { .. } => {
            let client = client.map_or("the client".to_owned(), |client| format!("the client {client}"));
            let wanted = validation.audiences().join(" or ");
            format!(
                "have {client} request a token for {wanted} (Keycloak: an audience mapper in a client scope of \
                 {client}; others: `{program} token --audience {wanted}`), or, if this service has another \
                 name, give it with --audience"
            )
        }
        TokenRefusal::WrongIssuer { .. } => format!(
            "get the token from {issuer}, or give --issuer exactly as in `iss`: they are compared byte for byte, \
             including a slash at the end"
        ),
        TokenRefusal::WrongType { .. } => wrong_type(claims),
        TokenRefusal::UnknownKey { .. } => format!(
            "compare `kid` and `alg` of the token with the keys that {issuer} publishes now: the token is of another \
             realm or issuer, or older than a change of keys; get a fresh token"
        ),
        TokenRefusal::BadSignature => {
            "copy the token again, whole and unchanged; if it still fails, it was not signed with the issuer's key"
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
            "the token is usable only with its key (DPoP or a client certificate); request a plain bearer token to \
             present it without"
                .to_owned()
        }
        TokenRefusal::MissingClaim { claim } => {
            format!("have the issuer add `{claim}` to access tokens{}", profile_hint(claim))
        }
        TokenRefusal::Malformed { .. } => {
            "give the whole access token: three parts with dots between them, beginning with `eyJ`. An opaque \
             token has no claims: only the issuer's introspection endpoint can verify it"
                .to_owned()
        }
        TokenRefusal::TooLarge { .. } => {
            "have the issuer put fewer roles and claims into access tokens".to_owned()
        }
        TokenRefusal::KeysUnavailable { .. } => format!(
            "nothing is known to be wrong with the token; check that {} can be reached from here \
             (`curl`; --ca-file for a private certificate authority) and try again",
            issuer.discovery_url()
        ),
        TokenRefusal::IssuerMisconfigured(mistake) => mistake.remedy.to_owned(),
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
        "iat" | "jti" | "client_id" => ", or use --profile keycloak, which does not require it",
        "sub" => " (Keycloak: the client scope `basic`)",
        _ => "",
    }
}
