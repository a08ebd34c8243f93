//! Parties that act for the subject: `act` and `may_act` (RFC 8693 §4.1, §4.4).

use super::{ClaimObject, ClaimValue, Claims, InvalidClaims};

/// Limit on the chain of actors: the current one and those before.
const MAX_ACTORS: usize = 16;

/// A party that acts, or may act, for the subject of the token.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor<'c>(ClaimObject<'c>);

impl<'c> Actor<'c> {
    /// `sub`: the actor; never empty. Unique together with [`Actor::issuer`] only.
    pub fn subject(&self) -> Option<&'c str> {
        self.text("sub")
    }

    /// `iss`: the issuer of `sub`, when it is not the issuer of the token.
    pub fn issuer(&self) -> Option<&'c str> {
        self.text("iss")
    }

    /// `client_id`: the client that acts.
    pub fn client_id(&self) -> Option<&'c str> {
        self.text("client_id")
    }

    /// Any other claim about the actor, by name. `exp`, `nbf` and `aud` mean nothing here (§4.1).
    pub fn get(&self, name: &str) -> Option<ClaimValue<'c>> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<&'c str> {
        self.0.get(name)?.as_str()
    }

    fn before(&self) -> Option<Self> {
        self.0.get("act")?.as_object().map(Self)
    }
}

impl Claims {
    /// The actors for the subject: the current actor first, then the one before, and so on.
    ///
    /// Only the first may be used in a decision; the others are the history, for logs
    /// (RFC 8693 §4.1). Empty when the subject acts for itself.
    ///
    /// ```
    /// let claims = oidc_core::Claims::parse(
    ///     br#"{"sub":"alice","act":{"sub":"service16","act":{"sub":"service77"}}}"#,
    /// )?;
    /// let chain: Vec<_> = claims.actors().filter_map(|actor| actor.subject()).collect();
    /// assert_eq!(chain, ["service16", "service77"]);
    /// # Ok::<(), oidc_core::token::InvalidClaims>(())
    /// ```
    pub fn actors(&self) -> impl Iterator<Item = Actor<'_>> {
        let current = self.member("act").and_then(|act| act.as_object()).map(Actor);
        std::iter::successors(current, Actor::before).take(MAX_ACTORS)
    }

    /// `may_act`: the party that may become an actor for the subject (RFC 8693 §4.4). Meant for
    /// token issuers; it grants no permission at a resource.
    pub fn may_act(&self) -> Option<Actor<'_>> {
        self.member("may_act")?.as_object().map(Actor)
    }
}

/// Refuses chains that are malformed or longer than the limit.
pub(super) fn check(members: &ClaimObject<'_>) -> Result<(), InvalidClaims> {
    chain(members, "act")?;
    if let Some(value) = members.get("may_act") {
        one(&value, "may_act")?;
    }
    Ok(())
}

fn chain(members: &ClaimObject<'_>, claim: &'static str) -> Result<(), InvalidClaims> {
    let mut members = members.clone();
    for _ in 0..=MAX_ACTORS {
        let Some(value) = members.get("act") else { return Ok(()) };
        members = one(&value, claim)?;
    }
    Err(InvalidClaims::Claim { claim, reason: "its chain of actors is longer than 16" })
}

fn one<'c>(value: &ClaimValue<'c>, claim: &'static str) -> Result<ClaimObject<'c>, InvalidClaims> {
    let wrong = |reason| InvalidClaims::Claim { claim, reason };
    let members = value.as_object().ok_or_else(|| wrong("it is not an object"))?;
    for name in ["sub", "iss", "client_id"] {
        match members.get(name) {
            None => {}
            Some(ClaimValue::Text(text)) if !text.trim().is_empty() => {}
            Some(_) => return Err(wrong("its `sub`, `iss` or `client_id` is not a text")),
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::token::{Claims, InvalidClaims};

    fn claims(value: &Value) -> Result<Claims, InvalidClaims> {
        Claims::parse(value.to_string().as_bytes())
    }

    #[test]
    fn the_actor_chain_begins_with_the_current_actor() {
        // RFC 8693 §4.1, figure 6
        let read = claims(&json!({
            "aud": "https://service26.example.com", "iss": "https://issuer.example.com",
            "exp": 1443904100, "nbf": 1443904000, "sub": "user@example.com",
            "act": {
                "sub": "https://service16.example.com",
                "act": {"sub": "https://service77.example.com"}
            }
        }))
        .unwrap();
        let subjects: Vec<_> = read.actors().filter_map(|actor| actor.subject()).collect();
        assert_eq!(subjects, ["https://service16.example.com", "https://service77.example.com"]);
        assert!(read.may_act().is_none());
    }

    #[test]
    fn an_actor_has_issuer_client_and_claims_of_its_own() {
        let read = claims(&json!({
            "act": {"sub": "s", "iss": "https://other.example", "client_id": "batch", "n": 1},
            "may_act": {"sub": "admin@example.com"},
        }))
        .unwrap();
        let actor = read.actors().next().unwrap();
        assert_eq!(
            (actor.issuer(), actor.client_id()),
            (Some("https://other.example"), Some("batch"))
        );
        assert!(actor.get("n").is_some_and(|n| n == json!(1)));
        assert_eq!(read.may_act().and_then(|actor| actor.subject()), Some("admin@example.com"));
        assert_eq!(claims(&json!({})).unwrap().actors().count(), 0);
    }

    #[test]
    fn a_malformed_chain_refuses_the_claims() {
        for bad in [
            json!({"act": "service16"}),
            json!({"act": ["service16"]}),
            json!({"act": null}),
            json!({"act": {"sub": 1}}),
            json!({"act": {"sub": ""}}),
            json!({"act": {"iss": {}}}),
            json!({"act": {"client_id": false}}),
            json!({"act": {"sub": "a", "act": "b"}}),
            json!({"act": {"sub": "a", "act": {"sub": 1}}}),
            json!({"may_act": "admin"}),
            json!({"may_act": {"sub": []}}),
        ] {
            assert!(matches!(claims(&bad), Err(InvalidClaims::Claim { .. })), "{bad}");
        }
    }

    #[test]
    fn a_chain_is_bounded() {
        let nested = |n: usize| {
            (0..n).fold(json!({}), |inner, i| {
                let mut actor = inner;
                actor["sub"] = json!(format!("service{i}"));
                json!({"act": actor})
            })
        };
        assert_eq!(claims(&nested(16)).unwrap().actors().count(), 16);
        assert!(matches!(claims(&nested(17)), Err(InvalidClaims::Claim { claim: "act", .. })));
    }
}
