//! The text of API keys.

use api_keys::{ApiKey, KeyId};

/// A key has one spelling, a changed one is no key, and none shows its secret.
pub fn api_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(key) = ApiKey::parse(text) else {
        assert!(text.parse::<KeyId>().is_err() || text.len() == 16);
        return;
    };
    assert_eq!(key.expose(), text);
    assert!(ApiKey::is_like(text));
    assert!(key.matches(&key.digest()));
    assert_eq!(key.id().as_str().parse::<KeyId>().unwrap(), *key.id());
    assert!(!format!("{key:?}").contains(&text[20..]));
    for at in 0..text.len() {
        let other = if text.as_bytes()[at] == b'a' { "b" } else { "a" };
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        assert!(ApiKey::parse(&changed).is_err(), "{changed}");
    }
}
