use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};

use super::*;

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

fn keys() -> Keys {
    Keys::new(&[OLD]).unwrap()
}

#[test]
fn sealed_values_open_again() {
    let keys = keys();
    for value in [&b""[..], b"x", &[0; 5000]] {
        let sealed = keys.seal(Purpose::Ticket, "name", value).unwrap();
        assert_eq!(keys.open(Purpose::Ticket, "name", &sealed).unwrap().as_slice(), value);
    }
}

#[test]
fn two_seals_of_one_value_differ() {
    let keys = keys();
    let seal = || keys.seal(Purpose::Ticket, "name", b"value").unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn no_flipped_bit_opens() {
    let keys = keys();
    let sealed = keys.seal_bytes(Purpose::Ticket, b"name", b"some value").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(keys.open_bytes(Purpose::Ticket, b"name", &flipped).is_none(), "bit {bit}");
    }
}

#[test]
fn no_other_character_opens() {
    let keys = keys();
    let sealed = keys.seal(Purpose::Ticket, "name", b"some value").unwrap();
    for position in 0..sealed.len() {
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ ".chars()
        {
            let mut changed: Vec<char> = sealed.chars().collect();
            if changed[position] == other {
                continue;
            }
            changed[position] = other;
            let changed: String = changed.into_iter().collect();
            assert!(keys.open(Purpose::Ticket, "name", &changed).is_none(), "{position} {other}");
        }
    }
}

#[test]
fn truncated_or_random_text_does_not_open() {
    let keys = keys();
    let sealed = keys.seal(Purpose::Ticket, "name", b"some value").unwrap();
    for end in 0..sealed.len() {
        assert!(keys.open(Purpose::Ticket, "name", &sealed[..end]).is_none());
    }
    for garbage in ["", "=", "AQ", "not base64!", "\u{2000}", &"A".repeat(100_000)] {
        assert!(keys.open(Purpose::Ticket, "name", garbage).is_none());
    }
}

#[test]
fn a_value_opens_under_its_own_name_and_purpose_only() {
    let keys = keys();
    let sealed = keys.seal(Purpose::Ticket, "one", b"value").unwrap();
    assert!(keys.open(Purpose::Ticket, "two", &sealed).is_none());
    assert!(keys.open(Purpose::Login, "one", &sealed).is_none());
    assert!(keys.open(Purpose::Ticket, "one", &sealed).is_some());
}

#[test]
fn an_old_key_opens_and_the_new_one_seals() {
    let keys = keys();
    let before = keys.seal(Purpose::Ticket, "name", b"value").unwrap();
    keys.replace(&[NEW, OLD]).unwrap();
    assert!(keys.open(Purpose::Ticket, "name", &before).is_some());
    let after = keys.seal(Purpose::Ticket, "name", b"value").unwrap();
    assert!(Keys::new(&[OLD]).unwrap().open(Purpose::Ticket, "name", &after).is_none());

    keys.replace(&[NEW]).unwrap();
    assert!(keys.open(Purpose::Ticket, "name", &before).is_none());
    assert!(keys.open(Purpose::Ticket, "name", &after).is_some());
}

#[test]
fn bad_keys_are_refused_with_a_reason_and_the_old_ones_stay() {
    let keys = keys();
    let sealed = keys.seal(Purpose::Ticket, "name", b"value").unwrap();
    let none: [&[u8]; 0] = [];
    assert_eq!(keys.replace(&none), Err(KeysError::None));
    assert_eq!(
        keys.replace(&[&OLD[..], b"short"]),
        Err(KeysError::TooShort { position: 2, len: 5 })
    );
    assert_eq!(keys.replace(&[OLD, OLD]), Err(KeysError::Repeated { position: 2 }));
    assert!(keys.open(Purpose::Ticket, "name", &sealed).is_some());
}

#[test]
fn gateways_that_share_a_key_derive_the_same_signing_key() {
    let here = keys().derive_p256("assertion").unwrap();
    let there = Keys::new(&[NEW, OLD]).unwrap().derive_p256("assertion").unwrap();
    assert_eq!(there.len(), 2);
    assert_eq!(here[0].pkcs8_der(), there[1].pkcs8_der());
    assert_eq!(here[0].thumbprint(), there[1].thumbprint());
    assert_ne!(here[0].thumbprint(), there[0].thumbprint());
    assert_ne!(here[0].thumbprint(), keys().derive_p256("another label").unwrap()[0].thumbprint());
}

#[test]
fn a_derived_key_signs() {
    let key = keys().derive_p256("assertion").unwrap().remove(0);
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.pkcs8_der()).unwrap();
    pair.sign(&SystemRandom::new(), b"message").unwrap();
    let public = pair.public_key().as_ref();
    assert_eq!(URL_SAFE_NO_PAD.encode(&public[1..33]), key.x());
    assert_eq!(URL_SAFE_NO_PAD.encode(&public[33..]), key.y());
}

#[test]
fn nothing_secret_is_printed() {
    let keys = keys();
    assert_eq!(format!("{keys:?}"), "Keys { count: 1 }");
    let derived = keys.derive_p256("assertion").unwrap();
    assert!(!format!("{derived:?}").contains(&URL_SAFE_NO_PAD.encode(derived[0].pkcs8_der())));
}
