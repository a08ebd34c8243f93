//! Tokens that are expensive to read: by size, by depth, by their unpacked size.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    forger::{Forger, KEY},
    stage::Stage,
    token_forms::stage,
    tokens::{all_pass, code_of},
};

/// Limit for a refusal, whatever was sent; generous, because tests share the machine.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_costs_the_sender_more_than_the_gateway() -> Result<()> {
    for alone in [true, false] {
        let forger = Forger::start().await?;
        let stage =
            stage(if alone { "attack-bombs" } else { "attack-bombs-two" }, &forger, alone).await?;
        let jwe = |header: Value, rest: &str| {
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
        };
        let large = forger.token(&Forger::header(), &{
            let mut claims = forger.claims();
            claims.insert("padding".into(), json!("x".repeat(13_000)));
            claims
        })?;
        let before = resident(&stage)?;
        let bombs = vec![
            ("50,000 dots", ".".repeat(50_000), ""),
            ("10,000 dots", ".".repeat(10_000), "malformed"),
            ("a megabyte", "a".repeat(1_000_000), ""),
            ("17 KiB", large, "too_large"),
            (
                "JWE with compression",
                jwe(json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" }), "..AAAA.AAAA.AAAA"),
                "malformed",
            ),
            (
                "JWE with a slow key derivation",
                jwe(
                    json!({ "alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2_000_000_000, "p2s": "AAAA" }),
                    "AAAA.AAAA.AAAA.AAAA",
                ),
                "malformed",
            ),
            (
                "JWE without anything",
                jwe(json!({ "alg": "dir", "enc": "A128CBC-HS256" }), "..."),
                "malformed",
            ),
            (
                "JWE with the header of a JWS",
                jwe(json!({ "alg": "ES256", "enc": "A256GCM", "kid": KEY }), "AAAA.AAAA"),
                "header_not_allowed",
            ),
            (
                "deep header",
                format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode("[".repeat(9000))),
                "malformed",
            ),
        ];
        for (name, bomb, code) in bombs {
            let began = Instant::now();
            let bytes =
                format!("GET /echo HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {bomb}\r\n\r\n");
            let answer = stage.raw(bytes).await.with_context(|| name)?;
            let answer = answer.first().with_context(|| name)?;
            ensure!(matches!(answer.status, 401 | 431), "{name}: {answer:?}");
            if !alone && code == "header_not_allowed" {
                // `iss` is looked up first, and it is absent.
                ensure!(answer.status == 401, "{name}: {answer:?}");
            } else if !code.is_empty() {
                ensure!(code_of(answer) == code, "{name}: wanted {code}: {answer:?}");
            }
            ensure!(began.elapsed() < SOON, "{name} took {:?}", began.elapsed());
        }
        assert_eq!(stage.reached(), Vec::<String>::new());
        let grown = resident(&stage)?.saturating_sub(before);
        ensure!(grown < 32 * 1024, "the gateway grew by {grown} KiB");
        let mut claims = forger.claims();
        claims.insert("padding".into(), json!("x".repeat(6_000)));
        let long = forger.token(&Forger::header(), &claims)?;
        let nested = forger.sign(
            serde_json::to_string(&Forger::header())?.as_bytes(),
            serde_json::to_string(&claims)?
                .replacen('{', r#"{"x":[[[[{"a":[1,2]}]]]],"#, 1)
                .as_bytes(),
        )?;
        all_pass(&stage, vec![("long", long), ("nested a little", nested)]).await?;
    }
    Ok(())
}

/// KiB of memory that the gateway holds.
fn resident(stage: &Stage) -> Result<u64> {
    let config = stage.gateway.config().display().to_string();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&config) {
            let status = std::fs::read_to_string(process.path().join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
            return Ok(kib.trim().parse()?);
        }
    }
    anyhow::bail!("no gateway runs with {config}")
}
