//! Ten thousand tokens, verified here and by `jsonwebtoken` in its strictest configuration: the
//! same verdict, or a difference that has a name and a reason (`docs/concepts/differences.md`).
//!
//! A difference without a name fails the test, and so does a name without a difference.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::UNIX_EPOCH;

use futures_util::FutureExt as _;
use jsonwebtoken::errors::ErrorKind;
use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::testing::TestKey;
use oidc_core::token::Algorithm;
use oidc_core::{Clock as _, SystemClock, TokenRefusal, Validation, Verifier};
use serde_json::{Value, json};
use tokens::{AUDIENCE, Dice, ISSUER};

const TOKENS: usize = 10_000;

/// Seeds of the generator: one for each thread, which verifies its share of the tokens.
const SEEDS: [u64; 4] = [0x00d0_0a2d, 0x00d0_0a2e, 0x00d0_0a2f, 0x00d0_0a30];

/// Refused here, accepted by the peer. Each is listed in `docs/concepts/differences.md`.
const STRICTER: [&str; 12] = [
    "header-member",
    "header-type",
    "kind",
    "issued-in-future",
    "claim-type",
    "issuer-list",
    "time",
    "twice",
    "depth",
    "size",
    "bound",
    "empty-subject",
];

/// Accepted here, refused by the peer. Each is listed in `docs/concepts/differences.md`.
const LENIENT: [&str; 1] = ["no-kid"];

/// Verification with jsonwebtoken in a careful setup: the key by `kid`, its own algorithm only, and
/// every check that can be switched on.
struct Peer(HashMap<String, (jsonwebtoken::DecodingKey, jsonwebtoken::Validation)>);

impl Peer {
    fn new(keys: &[TestKey]) -> Self {
        let of = |key: &TestKey| {
            let wire: jsonwebtoken::Algorithm = key.algorithm().as_str().parse().unwrap();
            let jwk = serde_json::from_value(key.jwk()).unwrap();
            let mut rules = jsonwebtoken::Validation::new(wire);
            rules.leeway = 30;
            rules.validate_nbf = true;
            rules.set_issuer(&[ISSUER]);
            rules.set_audience(&[AUDIENCE]);
            rules.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
            (jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap(), rules)
        };
        Self(keys.iter().map(|key| (key.id().to_owned(), of(key))).collect())
    }

    fn judge(&self, token: &str) -> Result<(), Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(Refused::by)?;
        let kid = header.kid.ok_or(Refused::NoKid)?;
        let (key, rules) = self.0.get(&kid).ok_or(Refused::UnknownKey)?;
        jsonwebtoken::decode::<serde_json::Map<String, Value>>(token, key, rules)
            .map(|_| ())
            .map_err(Refused::by)
    }
}

#[derive(Debug)]
enum Refused {
    NoKid,
    UnknownKey,
    By(#[expect(dead_code, reason = "shown when a difference has no name")] ErrorKind),
}

impl Refused {
    #[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
    fn by(error: jsonwebtoken::errors::Error) -> Self {
        Self::By(error.kind().clone())
    }
}

/// The name of a token that only the peer accepts.
fn stricter(refusal: &TokenRefusal) -> Option<&'static str> {
    Some(match refusal {
        TokenRefusal::HeaderNotAllowed { .. } => "header-member",
        TokenRefusal::WrongType { .. } => "kind",
        TokenRefusal::IssuedInFuture { .. } => "issued-in-future",
        TokenRefusal::InvalidClaim { claim: "sub", reason: "it is empty" } => "empty-subject",
        TokenRefusal::InvalidClaim { claim: "iss", .. } => "issuer-list",
        TokenRefusal::InvalidClaim { claim: "exp" | "nbf" | "iat" | "auth_time", .. } => "time",
        TokenRefusal::InvalidClaim { .. } => "claim-type",
        TokenRefusal::TooLarge { .. } => "size",
        TokenRefusal::SenderConstrained => "bound",
        TokenRefusal::Malformed { part: "header", reason } if reason.contains("not a string") => {
            "header-type"
        }
        TokenRefusal::Malformed { reason, .. } if reason.contains("repeated") => "twice",
        TokenRefusal::Malformed { reason, .. } if reason.contains("nested deeper") => "depth",
        _ => return None,
    })
}

/// The name of a token that only we accept.
fn lenient(refused: &Refused) -> Option<&'static str> {
    match refused {
        Refused::NoKid => Some("no-kid"),
        Refused::UnknownKey | Refused::By(_) => None,
    }
}

/// Results for a part of the tokens.
#[derive(Default)]
struct Tally {
    seen: BTreeMap<&'static str, usize>,
    unexplained: BTreeMap<String, String>,
}

impl Tally {
    fn of(tokens: usize, seed: u64, keys: &[TestKey], verifier: &Verifier, peer: &Peer) -> Self {
        let mut tally = Self::default();
        let mut dice = Dice(seed);
        for _ in 0..tokens {
            let now = SystemClock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let token = tokens::token(&mut dice, keys, now);
            // The keys are static, so nothing waits.
            let ours = verifier.access_token(&token).now_or_never().unwrap().map(|_| ());
            let theirs = peer.judge(&token);
            let name = match (&ours, &theirs) {
                (Ok(()), Ok(())) => Some("both accept"),
                (Err(_), Err(_)) => Some("both refuse"),
                (Err(refusal), Ok(())) => stricter(refusal),
                (Ok(()), Err(refused)) => lenient(refused),
            };
            match name {
                Some(name) => *tally.seen.entry(name).or_default() += 1,
                None => drop(tally.unexplained.insert(format!("{ours:?} / {theirs:?}"), token)),
            }
        }
        tally
    }

    fn and(mut self, other: Self) -> Self {
        for (name, count) in other.seen {
            *self.seen.entry(name).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
        self
    }
}

#[test]
fn verdicts_equal_jsonwebtokens_or_have_a_reason() {
    let keys: Vec<TestKey> =
        [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
            .map(|algorithm| TestKey::nth(0, algorithm))
            .into();
    let set = json!({"keys": keys.iter().map(TestKey::jwk).collect::<Vec<_>>()});
    let set = JwkSet::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), keys.len());
    let validation = Validation::new(ISSUER.parse().unwrap(), AUDIENCE);
    // No token repeats, so the memory is off.
    let verifier = Verifier::new(validation, Arc::new(StaticKeys::new(set))).with_cache(0);
    let peer = Peer::new(&keys);

    let tally = thread::scope(|scope| {
        let (keys, verifier, peer) = (&keys, &verifier, &peer);
        let parts = SEEDS.map(|seed| {
            scope.spawn(move || Tally::of(TOKENS / SEEDS.len(), seed, keys, verifier, peer))
        });
        parts.into_iter().fold(Tally::default(), |all, part| all.and(part.join().unwrap()))
    });
    assert!(tally.unexplained.is_empty(), "{:#?}", tally.unexplained);
    let seen = tally.seen;
    assert_eq!(seen.values().sum::<usize>(), TOKENS);
    let expected = STRICTER.iter().chain(&LENIENT).chain(&["both accept", "both refuse"]);
    let mut expected: Vec<&str> = expected.copied().collect();
    expected.sort_unstable();
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected, "{seen:?}");
    for verdict in ["both accept", "both refuse"] {
        assert!(seen[verdict] >= TOKENS / 5, "{seen:?}");
    }
}

/// The packaged crate does not contain the page, so there is nothing to compare.
#[test]
fn each_difference_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/concepts/differences.md");
    let Ok(page) = std::fs::read_to_string(page) else { return };
    for name in STRICTER.iter().chain(&LENIENT) {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, STRICTER.len() + LENIENT.len(), "no row without a name");
}
