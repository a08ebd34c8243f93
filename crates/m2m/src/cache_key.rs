//! Name of an entry in a shared cache.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// Names the tokens of one source: a SHA-256 over the issuer, the client and the request. No secret
/// goes into it, so it may be shown.
///
/// ```
/// use m2m::CacheKey;
/// let key = CacheKey::of([("issuer", "https://id.example"), ("client_id", "airflow-run")]);
/// assert_ne!(key, CacheKey::of([("issuer", "https://id.example"), ("client_id", "airflow")]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of these names and values; their order matters.
    pub fn of<'a>(parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut digest = Context::new(&SHA256);
        for text in parts.into_iter().flat_map(|(name, value)| [name, value]) {
            // The length comes first, so that no two lists give the same bytes.
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        let mut key = [0; 32];
        key.iter_mut().zip(digest.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::CacheKey;

    #[test]
    fn neighbours_do_not_run_together() {
        assert_ne!(CacheKey::of([("a", "bc")]), CacheKey::of([("ab", "c")]));
        assert_ne!(CacheKey::of([("a", "b"), ("c", "")]), CacheKey::of([("a", "b"), ("", "c")]));
    }

    #[test]
    fn a_key_is_a_plain_file_name() {
        let name = CacheKey::of([("issuer", "https://id.example/realms/../x")]).to_string();
        assert_eq!(name.len(), 64);
        assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
