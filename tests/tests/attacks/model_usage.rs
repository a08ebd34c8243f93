//! Tokens of a model API: counted in passing, however the answer comes, and bounded for each user.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::{model_api::TOKENS, wait, wire::Answer};
use serde_json::{Value, json};

use crate::{
    limits::metric,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);

const ROUTES: &str = "\
models:
  match: { path: /models }
  upstream: UPSTREAM
  sign_in: challenge
  usage: openai
  access: [{ allow: signed_in }]
budget:
  match: { path: /budget }
  upstream: UPSTREAM
  sign_in: challenge
  usage: openai
  access: [{ allow: signed_in }]
  limits: { body: 1MiB, per_user: { tokens_per_day: 100 } }
";

const STREAM: &str =
    r#"{"model":"llama-3:8b","stream":true,"stream_options":{"include_usage":true}}"#;

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).start().await
}

fn token(stage: &Stage, user: &str) -> Result<String> {
    Ok(stage.issuer.mint(Mint::access(user).client("gateway"))?)
}

async fn ask(stage: &Stage, target: &str, token: &str, body: &str) -> Result<Answer> {
    let asked = stage.post(target).bearer(token).header("Content-Type", "application/json");
    asked.header("Accept-Encoding", "gzip, br").body(body).send().await
}

/// So many lines of the log that state tokens.
async fn counted(stage: &Stage, count: usize) -> Result<Vec<Value>> {
    wait::until("the lines with tokens", PATIENCE, async || {
        let lines = stage.gateway.log_lines()?;
        let found: Vec<Value> =
            lines.into_iter().filter(|line| line["tokens"].is_number()).collect();
        Ok((found.len() >= count).then_some(found))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_counted_however_the_answer_comes() -> Result<()> {
    let stage = stage("usage-counted").await?;
    let alice = token(&stage, "alice")?;
    let (input, output) = TOKENS;
    let document = r#"{"model":"llama-3:8b"}"#;
    let mut asked = 0;
    for body in [document, STREAM] {
        for query in ["", "?piece=1", "?piece=1&crlf=1", "?piece=7", "?crlf=1"] {
            let target = format!("/models/v1/chat/completions{query}");
            let answer = ask(&stage, &target, &alice, body).await?;
            ensure!(answer.status == 200, "{answer:?}");
            let text = answer.body.as_str();
            ensure!(text.contains("total_tokens"), "an answer passes as it is: {text}");
            ensure!(!query.contains("crlf") || body == document || text.contains("\r\n\r\n"));
            asked += 1;
        }
    }
    let lines = counted(&stage, asked).await?;
    ensure!(lines.len() == asked, "{lines:?}");
    for line in &lines {
        ensure!(line["tokens"] == input + output && line["tokens_input"] == input, "{line}");
        ensure!(line["tokens_output"] == output && line["model"] == "llama-3:8b", "{line}");
        ensure!(line["subject"].is_string() && line["client"] == "gateway", "{line}");
        ensure!(line["tokens_estimated"].is_null(), "{line}");
    }
    let upstream = stage.upstream.last("/models")?;
    assert_eq!(upstream.value("accept-encoding").as_deref(), Some("identity"));
    for (direction, tokens) in [("input", input), ("output", output)] {
        let line = format!(
            "doorward_model_tokens_total{{route=\"models\",issuer=\"main\",client=\"gateway\",model=\"llama-3:8b\",direction=\"{direction}\"}}"
        );
        let expected = f64::from(u32::try_from(tokens * asked as u64)?);
        assert!((metric(&stage.gateway, &line).await? - expected).abs() < 0.5, "{direction}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_a_client_names_makes_few_series() -> Result<()> {
    let stage = stage("usage-series").await?;
    let alice = token(&stage, "alice")?;
    for number in 0..80 {
        let body = json!({ "model": format!("made-up-{number}") }).to_string();
        ensure!(ask(&stage, "/models/v1/completions", &alice, &body).await?.status == 200);
    }
    let odd = json!({ "model": "x\"} 1\nevil{a=\"b" }).to_string();
    ensure!(ask(&stage, "/models/v1/completions", &alice, &odd).await?.status == 200);
    counted(&stage, 81).await?;
    let page = stage.gateway.metrics().await?;
    let series =
        page.lines().filter(|line| line.starts_with("doorward_model_tokens_total")).count();
    ensure!(series == 2 * 65, "{series}");
    ensure!(page.contains("model=\"other\"") && !page.contains("evil"));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_usage_counts_as_unknown() -> Result<()> {
    let stage = stage("usage-unknown").await?;
    let alice = token(&stage, "alice")?;
    // Without a budget such a stream is served.
    let body = r#"{"stream":true}"#;
    ensure!(ask(&stage, "/models/v1/completions", &alice, body).await?.status == 200);
    ensure!(ask(&stage, "/models/v1/completions?quiet=1", &alice, "{}").await?.status == 200);
    ensure!(stage.get("/models/v1/models").bearer(&alice).send().await?.status == 200);
    let answers = |outcome: &str| {
        format!("doorward_model_answers_total{{route=\"models\",outcome=\"{outcome}\"}}")
    };
    wait::until("both are counted", PATIENCE, async || {
        let unknown = metric(&stage.gateway, &answers("unknown")).await?;
        let estimated = metric(&stage.gateway, &answers("estimated")).await?;
        Ok((unknown >= 1.0 && estimated >= 1.0).then_some(()))
    })
    .await?;
    ensure!(metric(&stage.gateway, &answers("counted")).await? < 0.5);
    stage.finish(&[])
}

/// Asks until the budget is used up; the answers that were served, and the refusal.
async fn use_up(stage: &Stage, token: &str, target: &str) -> Result<(Vec<Answer>, Answer)> {
    let mut served = Vec::new();
    for _ in 0..50 {
        let answer = ask(stage, target, token, STREAM).await?;
        if answer.status != 200 {
            return Ok((served, answer));
        }
        served.push(answer);
        // Counted when the answer has ended, which the client may see first.
        counted(stage, served.len()).await?;
    }
    anyhow::bail!("no end after {} answers", served.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_so_many_tokens_in_a_day() -> Result<()> {
    let stage = stage("usage-budget").await?;
    let (alice, bob) = (token(&stage, "alice")?, token(&stage, "bob")?);
    let (served, refused) = use_up(&stage, &alice, "/budget/v1/chat/completions").await?;
    // 42 tokens each: the third begins within the budget of 100 and runs to its end.
    let left: Vec<&str> = served.iter().map(|answer| answer.header("ratelimit")).collect();
    ensure!(left.len() == 3, "{left:?}");
    for (field, left) in left.iter().zip([100, 58, 16]) {
        ensure!(field.starts_with(&format!("\"tokens_per_day\";r={left};t=")), "{field}");
    }
    ensure!(refused.status == 429, "{refused:?}");
    let after: u64 = refused.header("retry-after").parse()?;
    ensure!((1..=86_400).contains(&after), "{after}");
    let policy = refused.header("ratelimit-policy");
    ensure!(policy == "\"tokens_per_day\";q=100;w=86400", "{policy}");
    ensure!(refused.header("ratelimit").starts_with("\"tokens_per_day\";r=0;t="), "{refused:?}");
    let problem = refused.json()?;
    ensure!(problem["code"] == "user_limit_reached", "{problem}");
    // Sessions of the same user share the budget; other users and other routes have their own.
    let cookie = stage.sign_in("alice").await?;
    let by_session = stage.post("/budget/v1/completions").header("Cookie", &cookie).body("{}");
    ensure!(by_session.send().await?.status == 429);
    ensure!(ask(&stage, "/budget/v1/completions", &bob, "{}").await?.status == 200);
    ensure!(ask(&stage, "/models/v1/completions", &alice, "{}").await?.status == 200);
    let line = "doorward_user_limits_reached_total{limit=\"tokens_per_day\"}";
    ensure!(metric(&stage.gateway, line).await? >= 2.0);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_before_the_usage_is_not_free() -> Result<()> {
    let stage = stage("usage-leaving").await?;
    let alice = token(&stage, "alice")?;
    let pad = "x".repeat(1_000);
    let body =
        format!(r#"{{"pad":"{pad}","stream":true,"stream_options":{{"include_usage":true}}}}"#);
    let mut wire = stage.connect().await?;
    let head = format!(
        "POST /budget/v1/completions?stall=1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {alice}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    wire.send(stage.filled(head.as_bytes())).await;
    wait::until("the upstream has the request", PATIENCE, async || {
        Ok(stage.upstream.last("/budget").is_ok().then_some(()))
    })
    .await?;
    // The head and some events arrive before the client leaves.
    let left = wait::until("the answer has begun", PATIENCE, async || {
        let page = stage.gateway.metrics().await?;
        Ok(page
            .contains("doorward_upstream_responses_total{route=\"budget\",status=\"2xx\"} 1")
            .then_some(()))
    });
    left.await?;
    drop(wire);
    let lines = counted(&stage, 1).await?;
    let line = lines.first().context("no line")?;
    ensure!(line["tokens_estimated"] == true && line["tokens_input"] == body.len() / 4, "{line}");
    // More than the budget of 100.
    let answer = ask(&stage, "/budget/v1/completions", &alice, "{}").await?;
    ensure!(answer.status == 429, "{answer:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_usage_is_refused_with_the_remedy() -> Result<()> {
    let stage = stage("usage-stream").await?;
    let alice = token(&stage, "alice")?;
    for body in [
        r#"{"stream":true}"#,
        r#"{"stream":true,"stream_options":null}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"str\u0065am":true,"stream_options":{}}"#,
    ] {
        let answer = ask(&stage, "/budget/v1/chat/completions", &alice, body).await?;
        ensure!(answer.status == 400, "{body}: {answer:?}");
        let problem = answer.json()?;
        ensure!(problem["code"] == "stream_without_usage", "{problem}");
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("include_usage")));
    }
    for body in [
        r#"{"stream":false,"stream":true}"#,
        r#"{"Stream":true}"#,
        r#"{"stream":1}"#,
        r#"{"stream":"true"}"#,
        r#"[{"stream":true}]"#,
        "",
        "stream=true",
    ] {
        let answer = ask(&stage, "/budget/v1/chat/completions", &alice, body).await?;
        ensure!(answer.status == 400, "{body}: {answer:?}");
        ensure!(answer.json()?["code"] == "malformed_request", "{body}: {answer:?}");
    }
    let packed = stage.post("/budget/v1/completions").bearer(&alice);
    let packed = packed.header("Content-Encoding", "gzip").body("{}").send().await?;
    ensure!(packed.status == 415, "{packed:?}");
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(1 << 20));
    let large = ask(&stage, "/budget/v1/completions", &alice, &large).await?;
    ensure!(large.status == 413, "{large:?}");
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    // Beside them, what is asked for rightly.
    let document = r#"{"stream":false,"tools":[{"parameters":{"a":{"b":[[[{"c":{}}]]]}}}]}"#;
    for (target, body) in
        [("/budget/v1/chat/completions", document), ("/budget/v1/responses", r#"{"stream":true}"#)]
    {
        let answer = ask(&stage, target, &alice, body).await?;
        ensure!(answer.status == 200, "{answer:?}");
        assert_eq!(stage.upstream.last(target)?.body, body.as_bytes(), "it passes as it is");
    }
    stage.finish(&[])
}
