//! Tokens that are bound to a key: the claim `cnf` (RFC 7800 §3.1).
//!
//! Two bindings are known: to the key of DPoP proofs (`jkt`, RFC 9449 §6.1) and to a client
//! certificate (`x5t#S256`, RFC 8705 §3.1). A token with any other binding is refused, because the
//! issuer meant the token to be invalid without that proof.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::token::{ClaimObject, ClaimValue, Claims, InvalidClaims};

/// The keys or certificates that the presenter of a token must prove to possess; all named are
/// required.
///
/// ```
/// let claims = oidc_core::Claims::parse(
///     br#"{"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}"#,
/// )?;
/// let bound = claims.confirmation()?.ok_or("not bound")?;
/// assert_eq!(bound.jkt(), Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    jkt: Option<String>,
    x5t_s256: Option<String>,
}

impl Confirmation {
    /// `jkt`: SHA-256 thumbprint (RFC 7638) of the key that signs DPoP proofs, base64url.
    pub fn jkt(&self) -> Option<&str> {
        self.jkt.as_deref()
    }

    /// `x5t#S256`: SHA-256 of the client's certificate in DER, base64url.
    pub fn x5t_s256(&self) -> Option<&str> {
        self.x5t_s256.as_deref()
    }

    /// Whether `certificate`, in DER, is the one named. Compares in constant time.
    pub(crate) fn is_certificate(x5t_s256: &str, certificate: &[u8]) -> bool {
        thumbprint(certificate).as_bytes().ct_eq(x5t_s256.as_bytes()).into()
    }
}

/// SHA-256 of a certificate in DER, base64url: `x5t#S256` (RFC 7515 §4.1.8).
pub(crate) fn thumbprint(certificate: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate))
}

impl Claims {
    /// `cnf`: the binding of the token; `None` if it is a plain bearer token.
    ///
    /// # Errors
    /// [`InvalidClaims::Claim`] if the claim is malformed, names no binding, or names an
    /// unsupported one.
    pub fn confirmation(&self) -> Result<Option<Confirmation>, InvalidClaims> {
        let wrong = |reason| InvalidClaims::Claim { claim: "cnf", reason };
        let Some(value) = self.member("cnf") else { return Ok(None) };
        let members = value.as_object().ok_or_else(|| wrong("it is not an object"))?;
        let known = |(name, value): (&str, ClaimValue<'_>)| match name {
            "jkt" | "x5t#S256" => true,
            // Keycloak's name for the kind of key in `jkt`; keys of client attestation are another
            // kind.
            "kc-jkt-type" => value.as_str() == Some("DPoP"),
            _ => false,
        };
        if !members.clone().all(known) {
            return Err(wrong("it asks for a proof of possession that is not known here"));
        }
        if !members.contains("jkt") && !members.contains("x5t#S256") {
            return Err(wrong("it names no key"));
        }
        let digest = |name| {
            digest_of(&members, name).ok_or_else(|| wrong("it holds no SHA-256 in base64url"))
        };
        Ok(Some(Confirmation { jkt: digest("jkt")?, x5t_s256: digest("x5t#S256")? }))
    }
}

/// `Some(None)` if the member is absent.
fn digest_of(members: &ClaimObject<'_>, name: &str) -> Option<Option<String>> {
    let Some(value) = members.get(name) else { return Some(None) };
    let text = value.as_str()?;
    let octets = URL_SAFE_NO_PAD.decode(text).ok()?;
    (octets.len() == 32).then(|| Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Confirmation;
    use crate::token::{Claims, InvalidClaims};

    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const X5T: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";

    fn of(cnf: &Value) -> Result<Option<Confirmation>, InvalidClaims> {
        Claims::parse(json!({"cnf": cnf}).to_string().as_bytes()).unwrap().confirmation()
    }

    #[test]
    fn both_bindings_are_read() {
        let bound = of(&json!({"jkt": JKT, "x5t#S256": JKT})).unwrap().unwrap();
        assert_eq!((bound.jkt(), bound.x5t_s256()), (Some(JKT), Some(JKT)));
        let keycloak = of(&json!({"jkt": JKT, "kc-jkt-type": "DPoP"})).unwrap().unwrap();
        assert_eq!((keycloak.jkt(), keycloak.x5t_s256()), (Some(JKT), None));
        assert_eq!(Claims::parse(b"{}").unwrap().confirmation(), Ok(None));
    }

    #[test]
    fn unsupported_bindings_are_refused() {
        for cnf in [
            json!(null),
            json!("x"),
            json!([]),
            json!({}),
            json!({"jwk": {"kty": "EC"}}),
            json!({"kid": "1"}),
            json!({"jku": "https://id.example"}),
            json!({"jwe": "x"}),
            json!({"x5t": JKT}),
            json!({"jkt": JKT, "kid": "1"}),
            json!({"jkt": JKT, "kc-jkt-type": "Client-Attestation"}),
            json!({"kc-jkt-type": "DPoP"}),
            json!({"jkt": 1}),
            json!({"jkt": null}),
            json!({"jkt": ""}),
            json!({"jkt": "AAAA"}),
            json!({"jkt": format!("{JKT}=")}),
            json!({"jkt": format!("{JKT}A")}),
            // The last bits of the example in RFC 8705 §3.1 are not zero, but strict base64url
            // requires zero.
            json!({"x5t#S256": X5T}),
        ] {
            assert!(matches!(of(&cnf), Err(InvalidClaims::Claim { claim: "cnf", .. })), "{cnf}");
        }
    }

    #[test]
    fn a_certificate_is_known_by_its_digest() {
        // SHA-256 of "abc", FIPS 180-4.
        let digest = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert!(Confirmation::is_certificate(digest, b"abc"));
        assert!(!Confirmation::is_certificate(digest, b"other"));
    }
}
