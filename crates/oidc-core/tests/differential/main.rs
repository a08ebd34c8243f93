//! Ten thousand tokens of each kind, verified here and by another library in its strictest
//! configuration: the same verdict, or a difference that has a name and a reason
//! (`docs/concepts/differences.md`).
//!
//! A difference without a name fails the test, and so does a name without a difference.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod access_tokens;
mod id_tokens;
mod tokens;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::thread;

use oidc_core::keys::JwkSet;
use oidc_core::testing::TestKey;
use oidc_core::token::Algorithm;
use serde_json::json;
use tokens::Dice;

const TOKENS: usize = 10_000;

/// Seeds of the generator: one for each thread, which verifies its share of the tokens.
const SEEDS: [u64; 4] = [0x00d0_0a2d, 0x00d0_0a2e, 0x00d0_0a2f, 0x00d0_0a30];

/// One key of the issuer for each algorithm that the peers know.
fn keys() -> Vec<TestKey> {
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
        .map(|algorithm| TestKey::nth(0, algorithm))
        .into()
}

fn key_set(keys: &[TestKey]) -> JwkSet {
    let set = json!({"keys": keys.iter().map(TestKey::jwk).collect::<Vec<_>>()});
    let set = JwkSet::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), keys.len());
    set
}

/// The two verdicts on one token.
struct Verdicts {
    token: String,
    /// The name of the difference, or of the agreement; none for an unknown difference.
    name: Option<&'static str>,
    /// Both verdicts in full.
    text: String,
}

impl Verdicts {
    fn new<T: Debug, U: Debug, E: Debug, F: Debug>(
        token: String,
        ours: &Result<T, E>,
        theirs: &Result<U, F>,
        reason: Option<&'static str>,
    ) -> Self {
        let name = match (ours, theirs) {
            (Ok(_), Ok(_)) => Some("both accept"),
            (Err(_), Err(_)) => Some("both refuse"),
            _ => reason,
        };
        Self { token, name, text: format!("{ours:?} / {theirs:?}") }
    }
}

/// Counts of the named verdicts, and the differences without a name.
#[derive(Default)]
struct Tally {
    seen: BTreeMap<&'static str, usize>,
    unexplained: BTreeMap<String, String>,
}

impl Tally {
    fn of(tokens: usize, seed: u64, judge: impl Fn(&mut Dice) -> Verdicts) -> Self {
        let mut tally = Self::default();
        let mut dice = Dice(seed);
        for _ in 0..tokens {
            let Verdicts { token, name, text } = judge(&mut dice);
            match name {
                Some(name) => *tally.seen.entry(name).or_default() += 1,
                None => drop(tally.unexplained.insert(text, token)),
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

/// Judges all tokens. Each name of a difference must occur, and no difference without one.
fn compare(stricter: &[&str], lenient: &[&str], judge: impl Fn(&mut Dice) -> Verdicts + Sync) {
    let tally = thread::scope(|scope| {
        let judge = &judge;
        let parts =
            SEEDS.map(|seed| scope.spawn(move || Tally::of(TOKENS / SEEDS.len(), seed, judge)));
        parts.into_iter().fold(Tally::default(), |all, part| all.and(part.join().unwrap()))
    });
    assert!(tally.unexplained.is_empty(), "{:#?}", tally.unexplained);
    let seen = tally.seen;
    assert_eq!(seen.values().sum::<usize>(), TOKENS);
    let expected = stricter.iter().chain(lenient).chain(&["both accept", "both refuse"]);
    let mut expected: Vec<&str> = expected.copied().collect();
    expected.sort_unstable();
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected, "{seen:?}");
    for verdict in ["both accept", "both refuse"] {
        assert!(seen[verdict] >= TOKENS / 5, "{seen:?}");
    }
}

/// The chapter of the page has one row for each difference. The packaged crate does not contain the
/// page, so there is nothing to compare.
fn documented(chapter: &str, names: &[&str]) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/concepts/differences.md");
    let Ok(page) = std::fs::read_to_string(page) else { return };
    let heading = format!("\n## {chapter}");
    let chapter = page.split(&heading).nth(1).unwrap().split("\n## ").next().unwrap();
    for name in names {
        assert!(chapter.contains(&format!("| `{name}` |")), "{name}");
    }
    let rows = chapter.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, names.len(), "no row without a name");
}
