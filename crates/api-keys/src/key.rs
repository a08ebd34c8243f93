//! The text of a key: `dw_<id>_<secret>_<checksum>`.
//!
//! The prefix lets secret scanners find a key in a repository. The identifier names the key in logs and lists, and gives no
//! access. The checksum (CRC-32) tells a mistyped key from an unknown one without a store; it adds no security.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use zeroize::Zeroizing;

use crate::{
    base32::{encode, is_plain},
    id::{ID, KeyId},
    refusal::KeyRefusal,
};

/// SHA-256 of a key.
pub type Digest = [u8; 32];

const PREFIX: &str = "dw_";
/// Bytes and characters of the secret.
const SECRET: (usize, usize) = (32, 52);
/// Characters of the checksum.
const CHECKSUM: usize = 7;
/// Characters before the checksum and its separator.
const BODY: usize = PREFIX.len() + ID.1 + 1 + SECRET.1;

/// A key, well-formed and with the right checksum. Possession of it gives access.
#[derive(Clone)]
pub struct ApiKey {
    text: Zeroizing<String>,
    id: KeyId,
}

impl ApiKey {
    /// Number of random bytes that [`ApiKey::new`] needs: 80 bits for the identifier, 256 for the secret.
    pub const RANDOM: usize = ID.0 + SECRET.0;

    /// A new key from the output of a cryptographic random number generator.
    pub fn new(random: &[u8; Self::RANDOM]) -> Self {
        let (id, secret) = random.split_at(ID.0);
        let id = encode(id);
        let secret = Zeroizing::new(encode(secret));
        let mut text = Zeroizing::new(String::with_capacity(BODY + 1 + CHECKSUM));
        for part in [PREFIX, &id, "_", &secret] {
            text.push_str(part);
        }
        let sum = checksum(&text);
        text.push('_');
        text.push_str(&sum);
        Self { text, id: KeyId::of(id) }
    }

    /// Whether a token has the prefix of keys, and so is a key or an attempt at one.
    pub fn is_like(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// Reads a key in its only spelling.
    ///
    /// # Errors
    ///
    /// [`KeyRefusal::Malformed`] for another form, [`KeyRefusal::Checksum`] for a mistyped key.
    pub fn parse(text: &str) -> Result<Self, KeyRefusal> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(KeyRefusal::Malformed)?.split('_');
        let mut part =
            |length: usize| parts.next().filter(|part| part.len() == length && is_plain(part));
        let (Some(id), Some(_), Some(sum)) = (part(ID.1), part(SECRET.1), part(CHECKSUM)) else {
            return Err(KeyRefusal::Malformed);
        };
        if parts.next().is_some() {
            return Err(KeyRefusal::Malformed);
        }
        // The checksum is no secret: it follows from the rest, which the caller has sent.
        if text.get(..BODY).map(checksum).as_deref() != Some(sum) {
            return Err(KeyRefusal::Checksum);
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), id: KeyId::of(id.to_owned()) })
    }

    /// Its identifier.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole text, to be shown to its owner once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text. The secret has 256 random bits, which no search finds: the hash needs no salt and no delay.
    pub fn digest(&self) -> Digest {
        let mut out = Digest::default();
        out.copy_from_slice(digest(&SHA256, self.text.as_bytes()).as_ref());
        out
    }

    /// Whether this is the key with the given digest. Takes the same time whatever the difference.
    pub fn matches(&self, stored: &Digest) -> bool {
        verify_slices_are_equal(&self.digest(), stored).is_ok()
    }
}

/// CRC-32 (ISO-HDLC, as in zip files) as text. It finds every change of up to four neighbouring characters.
fn checksum(text: &str) -> String {
    let sum = text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
        })
    });
    encode(&(!sum).to_be_bytes())
}

// === impl ApiKey ===

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, ..)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = ApiKey> {
        any::<([u8; 21], [u8; 21])>().prop_map(|(one, two)| {
            let mut random = [0; ApiKey::RANDOM];
            for (to, from) in random.iter_mut().zip(one.iter().chain(&two)) {
                *to = *from;
            }
            ApiKey::new(&random)
        })
    }

    #[test]
    fn the_checksum_is_the_crc_of_zip_files() {
        assert_eq!(checksum("123456789"), encode(&0xcbf4_3926_u32.to_be_bytes()));
    }

    #[test]
    fn a_key_has_one_form_and_shows_no_secret() {
        let key = ApiKey::new(&[0; ApiKey::RANDOM]);
        let text = key.expose().to_owned();
        assert_eq!(text.len(), 80);
        assert!(text.starts_with("dw_aaaaaaaaaaaaaaaa_aaaa"), "{text}");
        assert!(!format!("{key:?}").contains("aaaaa_"), "{key:?}");
        assert!(ApiKey::parse(&text).is_ok() && ApiKey::is_like(&text));
        for other in [
            "".to_owned(),
            "dw_".to_owned(),
            "dw___".to_owned(),
            text.to_uppercase(),
            format!(" {text}"),
            format!("{text} "),
            format!("{text}_"),
            format!("{text}="),
            text.replacen('_', "-", 1),
            text.replacen("dw_", "dw__", 1),
            text.replacen("dw_a", "dw_\u{e4}", 1),
            text.chars().take(79).collect(),
        ] {
            assert_eq!(ApiKey::parse(&other).err(), Some(KeyRefusal::Malformed), "{other:?}");
        }
        for id in ["", "a", "AAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaa_", "../aaaaaaaaaaaaa"] {
            assert!(id.parse::<KeyId>().is_err(), "{id}");
            assert!(serde_json::from_value::<KeyId>(id.into()).is_err(), "{id}");
        }
    }

    proptest! {
        #[test]
        fn a_mistyped_key_is_told_from_an_unknown_one(key in any_key(), at in 3_usize..80, to in "[a-z2-7]") {
            let text = key.expose();
            prop_assert!(ApiKey::parse(text).unwrap().matches(&key.digest()));
            let typo = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            let read = ApiKey::parse(&typo);
            if typo == text {
                prop_assert!(read.is_ok());
            } else {
                prop_assert!(matches!(read.err(), Some(KeyRefusal::Checksum | KeyRefusal::Malformed)));
            }
        }
    }
}
