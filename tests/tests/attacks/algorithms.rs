//! Tokens with a valid signature by a published key and an algorithm that the issuer does not use for this kind of token.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Algorithm, Mint};
use e2e::gateway::Plan;

use crate::{
    browser::Browser,
    sessions::store,
    stage::{Setup, Stage},
    tokens::{all_pass, all_refused, code_of},
};

/// A stage whose issuer has keys for PS256, which it announces, and for RS256, which it does not.
fn announcing_ps256(name: &str) -> Setup {
    Setup::new(name).with_issuer(|issuer| {
        let issuer = issuer.signing_algorithm(Algorithm::PS256);
        issuer.more_algorithms([Algorithm::RS256]).announced_algorithms([Algorithm::PS256])
    })
}

async fn is_signed_in(stage: &Stage) -> Result<bool> {
    let answer = stage.finish_login("alice", "/echo").await?;
    let cookies = answer.cookies().join("; ");
    Ok(stage.get("/echo").header("Cookie", &cookies).send().await?.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unannounced_algorithm_opens_nothing() -> Result<()> {
    let stage = announcing_ps256("attack-alg-announced").start().await?;
    let mint = |algorithm| stage.issuer.mint(Mint::access("alice").algorithm(algorithm));
    all_pass(&stage, vec![("PS256", mint(Algorithm::PS256)?)]).await?;
    let rs256 = mint(Algorithm::RS256)?;
    all_refused(&stage, vec![("RS256".to_owned(), rs256, "algorithm_not_allowed")]).await?;
    assert!(is_signed_in(&stage).await?);

    let setup = announcing_ps256("attack-alg-id-token");
    let setup = setup.with_issuer(|issuer| issuer.id_token_algorithm(Algorithm::RS256));
    assert!(!is_signed_in(&setup.start().await?).await?, "an ID token that is signed with RS256");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_algorithms_win_over_announced_ones() -> Result<()> {
    for (list, passes) in [("[RS256]", "RS256"), ("PS256", "PS256"), ("[RS256, PS256]", "both")] {
        let setting = format!("algorithms: {list}");
        let setup = announcing_ps256("attack-alg-configured");
        let stage = setup.with_plan(move |plan| plan.with_issuer_setting(&setting)).start().await?;
        for algorithm in [Algorithm::PS256, Algorithm::RS256] {
            let token = stage.issuer.mint(Mint::access("alice").algorithm(algorithm))?;
            if passes == "both" || passes == algorithm.to_string() {
                all_pass(&stage, vec![(list, token)]).await?;
            } else {
                let refused = (list.to_owned(), token, "algorithm_not_allowed");
                all_refused(&stage, vec![refused]).await?;
            }
        }
        // ID tokens are signed with PS256.
        assert_eq!(is_signed_in(&stage).await?, passes != "RS256", "{list}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_announces_nothing_is_trusted_with_all() -> Result<()> {
    let setup =
        Setup::new("attack-alg-silent").with_issuer(|issuer| issuer.announced_algorithms([]));
    let stage = setup.start().await?;
    let token = stage.issuer.mint(Mint::access("alice"))?;
    all_pass(&stage, vec![("an issuer that announces nothing", token)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_of_another_algorithm_ends_no_session() -> Result<()> {
    for sealed in [false, true] {
        let name = if sealed { "attack-alg-logout-sealed" } else { "attack-alg-logout" };
        let setup = store(Setup::new(name), sealed);
        // Both keys are published, and both algorithms announced.
        let setup = setup.with_issuer(|issuer| issuer.more_algorithms([Algorithm::ES256]));
        let stage = setup.start().await?;
        let alice = Browser::signed_in(&stage, "alice").await?;
        let sid = stage.issuer.session_ids("alice").pop().context("no session at the provider")?;
        let order = |algorithm| {
            Mint::logout("alice").client("gateway").sid(sid.as_str()).algorithm(algorithm)
        };
        let send = async |order: Mint| {
            let token = stage.issuer.mint(order)?;
            let form = [("logout_token", token.as_str())];
            stage.post("/oauth2/backchannel_logout").form(&form).send().await
        };
        for order in [order(Algorithm::ES256), order(Algorithm::ES256).without("sid")] {
            for attempt in 1..=2 {
                let order = order.clone().claim("jti", "the-same");
                let refused = send(order).await?;
                ensure!(refused.status == 400, "{name}, attempt {attempt}: {refused:?}");
                assert_eq!(code_of(&refused), "bad_logout_token");
                assert_eq!(alice.who().await?.as_deref(), Some("alice"), "{name}");
            }
        }
        // A logout token about no session here is accepted, as any other.
        assert_eq!(send(order(Algorithm::ES256).claim("sid", "unknown")).await?.status, 200);
        assert_eq!(alice.who().await?.as_deref(), Some("alice"), "{name}");
        assert_eq!(send(order(Algorithm::RS256)).await?.status, 200);
        assert_eq!(alice.who().await?, None, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_the_algorithm_of_their_own_id_token() -> Result<()> {
    let setup = Setup::new("attack-alg-own").with_issuer(|issuer| {
        let issuer = issuer.id_token_algorithm(Algorithm::ES256);
        issuer.logout_token_algorithm(Algorithm::ES256)
    });
    let stage = setup.with_plan(Plan::with_cookie_sessions).start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.who().await?.as_deref(), Some("alice"));
    ensure!(
        stage.issuer.end_session_for("alice").await > 0,
        "the gateway accepted no logout token"
    );
    assert_eq!(alice.who().await?, None);
    Ok(())
}
