//! ID tokens of a login: bound to its nonce and its access token.

use aws_lc_rs::digest;
use base64::Engine as _;
use oidc_core::testing::TestKey;
use serde_json::{Value, json};

use super::{
    AUDIENCE, B64, Dice, Draft, ISSUER, Mistake, algorithm, audience_or_issuer, claim_of_any_type,
    form, header_member, payload, remove, set, signing_key, time, twice,
};

/// `nonce` of the login.
pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";

/// The access token that came with the ID token.
pub(crate) const ACCESS_TOKEN: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";

/// The code that was exchanged for both.
pub(crate) const CODE: &str = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";

/// `max_age` of the login, in seconds.
pub(crate) const MAX_AGE: u64 = 3600;

/// One ID token; most are wrong in some way.
pub(crate) fn id_token(dice: &mut Dice, keys: &[TestKey], now: u64) -> String {
    let key = signing_key(dice, keys);
    let mut header = json!({"alg": key.algorithm(), "typ": "JWT", "kid": key.id()});
    if dice.below(4) == 0 {
        header.as_object_mut().unwrap().remove("typ");
    }
    let claims = json!({
        "iss": ISSUER, "sub": "248289761001", "aud": AUDIENCE, "exp": now + 300, "iat": now,
        "auth_time": now - 60, "nonce": NONCE, "at_hash": half_hash(key, ACCESS_TOKEN), "c_hash": half_hash(key, CODE), "azp": AUDIENCE,
        "jti": format!("{:x}", dice.next()), "typ": "ID", "acr": "1", "sid": "s-1",
        "name": "Zoë 𝕏 \u{0}\"\\", "preferred_username": "zoe", "email_verified": true,
        "groups": ["/science"],
    });
    let mistakes: [Mistake; 12] = [
        header_member,
        algorithm,
        time,
        time,
        audience_or_issuer,
        authorized_party,
        claim_of_any_type,
        claim_about_the_person,
        kind,
        login,
        twice,
        if dice.below(2) == 0 { payload } else { form },
    ];
    Draft::new(dice, (keys, key), now, &header, &claims).spoiled(dice, &mistakes)
}

/// OpenID Connect Core 1.0 §3.1.3.6
fn half_hash(key: &TestKey, text: &str) -> String {
    let algorithm = match key.algorithm().as_str() {
        "RS256" | "PS256" | "ES256" => &digest::SHA256,
        "ES384" => &digest::SHA384,
        _ => &digest::SHA512,
    };
    let hash = digest::digest(algorithm, text.as_bytes());
    B64.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}

fn authorized_party(dice: &mut Dice, draft: &mut Draft<'_>) {
    let claims = &mut draft.claims;
    match dice.below(3) {
        0 => remove(claims, "azp"),
        1 => set(claims, "azp", dice.one(&[json!("gateway"), json!("HUB"), json!("")])),
        _ => {}
    }
    if dice.below(2) == 0 {
        set(claims, "aud", dice.one(&[json!([AUDIENCE, "account"]), json!([AUDIENCE])]));
    }
}

/// Claims of OpenID Connect Core 1.0 §5.1, which only the peer reads into types of their own.
fn claim_about_the_person(dice: &mut Dice, draft: &mut Draft<'_>) {
    let names = ["name", "email", "email_verified", "address", "updated_at", "locale", "amr"];
    let values = [json!(null), json!(1), json!("x"), json!(["pwd"]), json!({"formatted": "x"})];
    set(&mut draft.claims, dice.one(&names), dice.one(&values));
}

fn kind(dice: &mut Dice, draft: &mut Draft<'_>) {
    match dice.below(4) {
        0 => {
            let types = ["jwt", "application/jwt", "JOSE", "at+jwt", "logout+jwt", "dpop+jwt", ""];
            set(&mut draft.header, "typ", json!(dice.one(&types)));
        }
        1 => set(&mut draft.header, "typ", dice.one(&[json!(1), json!(null)])),
        2 => {
            let event = "http://schemas.openid.net/event/backchannel-logout";
            set(&mut draft.claims, "events", json!({event: {}}));
        }
        _ => match dice.one(&["Bearer", "Refresh", "Offline", "Logout", "id", "-"]) {
            "-" => remove(&mut draft.claims, "typ"),
            typ => set(&mut draft.claims, "typ", json!(typ)),
        },
    }
}

/// The parts that bind the token to its login.
fn login(dice: &mut Dice, draft: &mut Draft<'_>) {
    let (claims, now) = (&mut draft.claims, draft.now);
    let values: [Value; 6] =
        [json!("x"), json!(""), json!(null), json!(1), json!([NONCE]), json!(NONCE.to_uppercase())];
    match dice.below(8) {
        0 => remove(claims, dice.one(&["nonce", "at_hash", "c_hash", "auth_time"])),
        1 | 2 => set(claims, "nonce", dice.one(&values)),
        3 | 4 => set(claims, dice.one(&["at_hash", "c_hash"]), dice.one(&values)),
        5 => set(claims, "at_hash", json!(half_hash(draft.key, CODE))),
        6 => set(claims, "c_hash", json!(format!("{}=", half_hash(draft.key, CODE)))),
        _ => set(claims, "auth_time", now - dice.one(&[0, 3000, 3615, 3645, 100_000])),
    }
}
