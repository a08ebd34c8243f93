//! The examples of RFC 7515 appendix A and RFC 8037 appendix A. Those of RFC 7520 §4 are among the
//! vectors in `tests/vectors.rs`.

use super::UnverifiedJws;
use crate::keys::JwkSet;

/// The payload of A.1 to A.3: `{"iss":"joe",…}`, with line ends.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
         b290Ijp0cnVlfQ";

/// The refusal code of a token's form and signature with one key.
fn code(key: &str, token: &str) -> &'static str {
    let key = key.split_whitespace().collect::<String>();
    let set = JwkSet::parse(format!("{{\"keys\":[{key}]}}").as_bytes()).unwrap();
    let verdict = UnverifiedJws::parse(token).and_then(|jws| {
        let key = jws.select(&set).ok_or_else(|| jws.unknown_key())?;
        jws.check_signature(key)
    });
    verdict.err().map_or("good", |refusal| refusal.code())
}

/// The key of A.2.
const RSA: &str = r#"{"kty":"RSA",
    "e":"AQAB",
    "n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJ
    PMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0
    LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD
    Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2
    PAcDTW9gb54h4FRWyuXpoQ"}"#;

/// The key of A.3.
const P256: &str = r#"{"kty":"EC",
    "crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// The key of A.4.
const P521: &str = r#"{"kty":"EC",
    "crv":"P-521",
    "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxc
    WceqwQGk",
    "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf6
    3e3kyMj2"}"#;

/// The key of RFC 8037 A.2.
const ED25519: &str = r#"{"kty":"OKP",
    "crv":"Ed25519",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// The key of A.1.
const OCT: &str = r#"{"kty":"oct",
    "k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1
    Z9CAow"}"#;

#[test]
fn rfc_7515_and_rfc_8037_signatures_verify_unless_altered() {
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.{}",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF\
         5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK\
         5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt\
         FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB\
         p0igcN_IoypGlUPQGe77Rw"
    );
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.{}",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-K\
         g6NU1Q"
    );
    let es512 = format!(
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{}",
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO\
         0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9E\
         RBXukOXolLzeO_Jn"
    );
    let eddsa = format!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.{}",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_M\
         uM0KAg"
    );
    for (key, token) in [(RSA, rs256), (P256, es256), (P521, es512), (ED25519, eddsa)] {
        assert_eq!(code(key, &token), "good", "{token}");
        let dot = token.rfind('.').unwrap();
        for at in [dot - 3, dot + 3] {
            let mut altered = token.clone();
            let other = if altered.get(at..=at) == Some("A") { "B" } else { "A" };
            altered.replace_range(at..=at, other);
            assert_eq!(code(key, &altered), "bad_signature", "{altered}");
        }
        for other in [RSA, P256, P521, ED25519].into_iter().filter(|other| *other != key) {
            assert_eq!(code(other, &token), "unknown_key", "{token}");
        }
    }
}

#[test]
fn none_and_hmac_are_refused_by_algorithm() {
    let hmac = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let unsigned = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    for key in [OCT, RSA] {
        assert_eq!(code(key, &hmac), "algorithm_not_allowed");
        assert_eq!(code(key, &unsigned), "algorithm_not_allowed");
    }
}
