//! One token request for any number of callers, and always a valid token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use e2e::wait;
use m2m::{
    CachedTokens, ClientCredentials, Exchange, ExchangedTokens, FileCache, IssuerTokens,
    TokenError, TokenSource as _, blocking::Tokens,
};
use oidc_core::client::TokenEndpoint;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use oidc_core::{Clock as _, SystemClock, Validation, Verifier};
use tokio::{task::JoinSet, time::Instant};

use crate::lab::{Lab, secret};

/// Token lifetime of the client `job-for-seconds` in the fixture.
const LIFE: Duration = Duration::from_secs(6);

const TOKEN: &str = "/protocol/openid-connect/token";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_tasks_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let grant = ClientCredentials::new().with_scope("churn");
    let tokens = CachedTokens::new(IssuerTokens::new(lab.job()?, grant));
    let mut asking = JoinSet::new();
    for _ in 0..200 {
        let tokens = tokens.clone();
        asking.spawn(async move { tokens.token().await });
    }
    let mut distinct = BTreeSet::new();
    for token in asking.join_all().await {
        distinct.insert(token?.secret().expose().to_owned());
    }
    assert_eq!(distinct.len(), 1);
    assert_eq!(wire.count(TOKEN), 1);
    for token in distinct {
        lab.verifier("churn")?.access_token(&token).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_threads_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let grant = ClientCredentials::new().with_scope("churn");
    let tokens = Tokens::new(CachedTokens::new(IssuerTokens::new(lab.job()?, grant)));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let tokens = tokens.clone();
            std::thread::spawn(move || tokens.token())
        })
        .collect();
    let mut distinct = BTreeSet::new();
    for thread in threads {
        let token = thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        distinct.insert(token.secret().expose().to_owned());
    }
    assert_eq!(distinct.len(), 1);
    assert_eq!(wire.count(TOKEN), 1);
    Ok(())
}

/// Ten processes that share nothing but a directory; this binary is each of them.
#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    lab.provider()?.metadata().await?;
    // Long enough that all of them find no token.
    wire.delay(Duration::from_secs(1));
    let folder = lab.folder()?;
    std::fs::write(folder.join("issuer"), lab.issuer().as_str())?;
    let mut processes = JoinSet::new();
    for _ in 0..10 {
        let mut process = tokio::process::Command::new(std::env::current_exe()?);
        process
            .args(["--exact", "one_request::one_process_of_ten", "--ignored", "--nocapture"])
            .current_dir(&folder)
            .kill_on_drop(true);
        processes.spawn(async move { process.output().await });
    }
    for output in processes.join_all().await {
        let output = output?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let tokens: Vec<_> = std::fs::read_dir(folder.join("got"))?
        .map(|entry| Ok(std::fs::read_to_string(entry?.path())?))
        .collect::<Result<_>>()?;
    assert_eq!(tokens.len(), 10);
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(wire.count(TOKEN), 1);
    lab.verifier("churn")?.access_token(tokens.first().context("no token")?).await?;
    Ok(())
}

/// One of the ten: reads the issuer's name from its folder and writes the token there.
#[tokio::test]
#[ignore = "is started by ten_processes_make_one_token_request"]
async fn one_process_of_ten() -> Result<()> {
    let issuer = std::fs::read_to_string("issuer")?.parse()?;
    let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
    let endpoint = TokenEndpoint::new(Provider::new(issuer, http), "job", secret("job"));
    let grant = ClientCredentials::new().with_scope("churn");
    let tokens = CachedTokens::new(IssuerTokens::new(endpoint, grant))
        .with_file_cache(&FileCache::in_directory("kept"));
    let token = tokens.token().await?;
    std::fs::create_dir_all("got")?;
    std::fs::write(format!("got/{}", std::process::id()), token.secret().expose())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_of_one_person_make_one_exchange() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let login = lab.log_in(&client, lab.login_request()?, "alice").await?;
    let theirs = login.tokens.access_token;
    let before = wire.count(TOKEN);
    let exchanged = ExchangedTokens::new(lab.endpoint("notebook", secret("notebook"))?);
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (exchanged, theirs) = (exchanged.clone(), theirs.clone());
        let for_churn = Exchange::new().with_audience("churn").with_scope("churn");
        asking.spawn(async move { exchanged.exchange(&theirs, &for_churn).await });
    }
    let verifier = lab.verifier("churn")?;
    for token in asking.join_all().await {
        let verified = verifier.access_token(token?.secret().expose()).await?;
        assert_eq!(verified.subject(), login.id_token.subject());
    }
    assert_eq!(wire.count(TOKEN) - before, 1);
    Ok(())
}

/// The wire delays each token by a second, so that a caller who waits for one is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_token_is_refreshed_ahead_without_waiting() -> Result<()> {
    const LATENCY: Duration = Duration::from_secs(1);
    let (lab, wire) = Lab::common().await?.counted().await?;
    let tokens = short_lived(&lab)?;
    let validation = Validation::new(lab.issuer(), "churn").with_leeway(Duration::ZERO);
    let verifier = Verifier::new(validation, Arc::new(RemoteKeys::new(lab.provider()?)));
    let mut seen = BTreeSet::from([tokens.token().await?.secret().expose().to_owned()]);
    wire.delay(LATENCY);

    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    while began.elapsed() < 2 * LIFE {
        ticks.tick().await;
        let asked = Instant::now();
        let token = tokens.token().await?;
        assert!(asked.elapsed() < LATENCY / 2, "a caller waited {:?}", asked.elapsed());
        if seen.insert(token.secret().expose().to_owned()) {
            verifier.access_token(token.secret().expose()).await?;
        }
        let left = token.expires_at().context("no expiry")?.duration_since(SystemClock.now());
        anyhow::ensure!(left.is_ok(), "an expired token was returned");
    }
    assert!(seen.len() > 2, "{} tokens in two lives", seen.len());
    assert!(wire.count(TOKEN) <= seen.len() + 1, "a request whose token no caller got");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_token_is_served_until_keycloak_is_back() -> Result<()> {
    let (lab, wire) = Lab::common().await?.relayed().await?;
    let tokens = short_lived(&lab)?;
    let first = tokens.token().await?;
    wire.cut();
    let ends = first.expires_at().context("no expiry")?;
    let refused = wait::until("the end of the token", 3 * LIFE, async || {
        Ok(match tokens.token().await {
            Ok(token) => {
                anyhow::ensure!(token.secret().expose() == first.secret().expose());
                None
            }
            Err(error) => Some((error, SystemClock.now())),
        })
    })
    .await?;
    assert!(matches!(refused.0, TokenError::Unavailable { .. }), "{:?}", refused.0);
    assert!(refused.1 >= ends, "a valid token was held back");
    wire.restore();
    let next = wait::until("the next token", Duration::from_secs(20), async || {
        Ok(Some(tokens.token().await?))
    })
    .await?;
    lab.verifier("churn")?.access_token(next.secret().expose()).await?;
    Ok(())
}

/// Tokens of a client whose tokens live for [`LIFE`].
fn short_lived(lab: &Lab) -> Result<CachedTokens> {
    let endpoint = lab.endpoint("job-for-seconds", secret("job-for-seconds"))?;
    Ok(CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new())))
}
