//! The cost of a verification beyond the signature itself.
//!
//! `cargo bench -p oidc-core --all-features --bench verify` measures each step with criterion, then
//! prints ratios from a loop in which the candidates take turns, so that load on the machine
//! affects all of them equally. `-- paired` prints the ratios only.
//!
//! The token is like one of Keycloak's: 1.2 kB with its RS256 signature, and the clock is the
//! system's.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark talks to a terminal, and may fail there"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion};
use futures_util::FutureExt as _;
use oidc_core::keys::{JwkSet, RemoteKeys, StaticKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::{Clock as _, SystemClock, Validation, Verifier};
use serde_json::{Value, json};
use tokio::time::Instant;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// One algorithm: a provider, its token, and the three candidates that verify it.
struct Candidates {
    issuer: TestIssuer,
    verifier: Verifier,
    token: String,
    bare: ParsedPublicKey,
    peer: (jsonwebtoken::DecodingKey, jsonwebtoken::Validation),
}

impl Candidates {
    fn new(algorithm: Algorithm) -> Self {
        let issuer = TestIssuer::named("https://keycloak.example/realms/platform", algorithm);
        let jwks = issuer.jwks();
        let keys = Arc::new(StaticKeys::new(JwkSet::parse(jwks.as_bytes()).unwrap()));
        let verifier = Verifier::new(Validation::new(issuer.issuer(), "churn"), keys);
        let token = issuer.sign(&claims(&issuer, 0));
        let jwk: Value = serde_json::from_str::<Value>(&jwks).unwrap()["keys"][0].take();
        let bare = parsed(&jwk);
        let wire = match algorithm {
            Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
            _ => jsonwebtoken::Algorithm::EdDSA,
        };
        let jwk = serde_json::from_value(jwk).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let mut rules = jsonwebtoken::Validation::new(wire);
        rules.set_issuer(&[issuer.issuer().as_str()]);
        rules.set_audience(&["churn"]);
        rules.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        rules.validate_nbf = true;
        Self { issuer, verifier, token, bare, peer: (key, rules) }
    }

    /// The signature only, with its bytes and the key prepared: the lower bound.
    fn bare(&self, message: &[u8], signature: &[u8]) {
        self.bare.verify_sig(message, signature).unwrap();
    }

    /// The whole verification of a token that was not seen before.
    fn first_seen(verifier: &Verifier, token: &str) {
        black_box(verifier.access_token(token).now_or_never().unwrap().unwrap());
    }

    fn jsonwebtoken(&self, token: &str) {
        let (key, rules) = &self.peer;
        black_box(jsonwebtoken::decode::<Value>(token, key, rules).unwrap());
    }
}

/// As Keycloak writes them for a person with a few roles.
fn claims(issuer: &TestIssuer, n: usize) -> Value {
    let now = SystemClock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "exp": now + 36_000, "iat": now, "auth_time": now - 60,
        "jti": format!("onrtac:5f0c1a52-6f0e-4c2f-9c4e-{n:012}"),
        "iss": issuer.issuer().as_str(), "aud": ["churn", "account"],
        "sub": "f9a1c1de-6a44-4f0f-9f3e-0b5e6b6f3f11", "typ": "Bearer", "azp": "gateway",
        "sid": "a5b0c7e4-2d0b-4a6f-8b55-8a3d5f4f7f55", "acr": "1",
        "realm_access": {"roles": ["data-scientist", "offline_access", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
        "scope": "openid profile email", "email_verified": true, "name": "Alice Example",
        "preferred_username": "alice", "given_name": "Alice", "family_name": "Example",
        "email": "alice@example.org",
    })
}

fn parsed(jwk: &Value) -> ParsedPublicKey {
    let octets = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    match jwk["kty"].as_str().unwrap() {
        "RSA" => signature::RsaPublicKeyComponents { n: octets("n"), e: octets("e") }
            .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
            .unwrap(),
        "EC" => {
            let point = [&[4], &octets("x")[..], &octets("y")[..]].concat();
            ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).unwrap()
        }
        _ => ParsedPublicKey::new(&signature::ED25519, octets("x")).unwrap(),
    }
}

fn split(token: &str) -> (&[u8], Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap())
}

/// A token that was seen before, and a verifier whose keys were fetched and can change.
fn remembered() -> (Verifier, String) {
    let candidates = Candidates::new(Algorithm::RS256);
    let keys = RemoteKeys::new(candidates.issuer.provider());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(keys.refresh_now()).unwrap();
    let validation = Validation::new(candidates.issuer.issuer(), "churn");
    let verifier = Verifier::new(validation, Arc::new(keys));
    Candidates::first_seen(&verifier, &candidates.token);
    (verifier, candidates.token)
}

fn each(c: &mut Criterion) {
    for algorithm in ALGORITHMS {
        let candidates = Candidates::new(algorithm);
        let token = candidates.token.as_str();
        let (message, signature) = split(token);
        let mut group = c.benchmark_group(algorithm.as_str());
        group.bench_function("aws-lc-rs, parsed key", |b| {
            b.iter(|| candidates.bare(message, &signature));
        });
        group.bench_function("first seen", |b| {
            let verifier = candidates.verifier.clone().with_cache(0);
            b.iter(|| Candidates::first_seen(&verifier, token));
        });
        group.bench_function("first seen, and remembered", |b| {
            b.iter_batched_ref(
                || candidates.verifier.clone().with_cache(8 << 20),
                |verifier| Candidates::first_seen(verifier, token),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("jsonwebtoken::decode", |b| {
            b.iter(|| candidates.jsonwebtoken(token));
        });
        group.finish();
    }
    let (verifier, token) = remembered();
    let token = token.as_str();
    let mut group = c.benchmark_group("again");
    group.bench_function("from memory", |b| {
        b.iter(|| black_box(verifier.recall(token).unwrap()));
    });
    group.bench_function("SHA-256 of the token", |b| {
        b.iter(|| digest::digest(&digest::SHA256, black_box(token.as_bytes())));
    });
    group.finish();
}

/// Nanoseconds per call: the lower quartile of many short rounds in which the candidates take
/// turns, so that other load on the machine does not affect the ratios.
fn paired<const N: usize>(rounds: usize, calls: usize, run: [&dyn Fn(usize); N]) -> [f64; N] {
    let mut taken = [const { Vec::new() }; N];
    for round in 0..rounds {
        for (candidate, times) in run.iter().zip(&mut taken) {
            let begun = Instant::now();
            for call in 0..calls {
                candidate(round * calls + call);
            }
            times.push(begun.elapsed());
        }
    }
    taken.map(|mut times| {
        times.sort();
        let quartile = times.get(times.len() / 4).copied().unwrap_or(Duration::ZERO);
        quartile.as_secs_f64() * 1e9 / f64::from(u32::try_from(calls).unwrap())
    })
}

fn ratios() {
    const ROUNDS: usize = 200;
    const CALLS: usize = 10;
    println!(
        "\nin turns, lower quartile of {ROUNDS} rounds of {CALLS} calls, µs a call and × the bare call"
    );
    for algorithm in ALGORITHMS {
        let candidates = Candidates::new(algorithm);
        // The verifier with a memory sees each token once.
        let tokens: Vec<String> = (0..ROUNDS * CALLS)
            .map(|n| candidates.issuer.sign(&claims(&candidates.issuer, n)))
            .collect();
        let parts: Vec<_> = tokens.iter().map(|token| split(token)).collect();
        let forgetful = candidates.verifier.clone().with_cache(0);
        let [bare, first, remembered, peer] = paired(
            ROUNDS,
            CALLS,
            [
                &|n| candidates.bare(parts[n].0, &parts[n].1),
                &|n| Candidates::first_seen(&forgetful, &tokens[n]),
                &|n| Candidates::first_seen(&candidates.verifier, &tokens[n]),
                &|n| candidates.jsonwebtoken(&tokens[n]),
            ],
        );
        println!("{algorithm}, {} bytes", candidates.token.len());
        for (name, ns) in [
            ("aws-lc-rs with a parsed key", bare),
            ("first seen, claims parsed and checked", first),
            ("the same, and remembered", remembered),
            ("jsonwebtoken::decode", peer),
        ] {
            println!("  {name:40} {:7.2}  {:.2}", ns / 1e3, ns / bare);
        }
    }
    let (verifier, token) = remembered();
    let token = token.as_str();
    let [hash, hit] = paired(
        200,
        500,
        [
            &|_| {
                black_box(digest::digest(&digest::SHA256, black_box(token.as_bytes())));
            },
            &|_| {
                black_box(verifier.recall(token).unwrap());
            },
        ],
    );
    println!("again, {} bytes", token.len());
    println!("  {:40} {:7.2}", "SHA-256 of the token", hash / 1e3);
    println!("  {:40} {:7.2}", "from memory", hit / 1e3);
}

fn main() {
    if !std::env::args().any(|argument| argument == "paired") {
        let mut criterion = Criterion::default().configure_from_args();
        each(&mut criterion);
        criterion.final_summary();
    }
    ratios();
}
