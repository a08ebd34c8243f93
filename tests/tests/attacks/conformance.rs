//! The modules of the OpenID Foundation's relying-party plans, under their own names, for the built gateway.
//!
//! The provider misbehaves as the module says. The suite's modules about UserInfo (`userinfo-bearer-header`, `-bearer-body`,
//! `-invalid-sub`) are not here: the gateway makes no such request, and the tests of `oidc-core` have them.

use anyhow::{Context as _, Result, ensure};
use e2e::wire::Answer;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    forger::{Forger, Members},
    login_flow::{parameter, stayed_signed_out},
    stage::{Setup, Stage},
};

#[path = "conformance/basic.rs"]
mod basic;
#[path = "conformance/config.rs"]
mod config;
#[path = "conformance/logout.rs"]
mod logout;
#[path = "conformance/refresh.rs"]
mod refresh;

/// A provider that says anything, and the gateway that trusts only its key.
struct Suite {
    forger: Forger,
    stage: Stage,
}

impl Suite {
    async fn start(module: &str) -> Result<Self> {
        let forger = Forger::start().await?;
        let url = forger.url();
        let setup = Setup::new(module).with_plan(move |plan| plan.with_issuer(&url));
        Ok(Self { stage: setup.start().await?, forger })
    }

    /// A login whose ID token is what `id_token` makes of the right claims.
    async fn log_in(
        &self,
        id_token: impl FnOnce(&Forger, Members) -> Result<String>,
    ) -> Result<(Browser<'_>, Answer)> {
        let browser = Browser::new(&self.stage);
        let at_provider = browser.begin("/echo").await?;
        let claims = self.forger.id_claims(&parameter(at_provider.as_str(), "nonce")?);
        let id_token = id_token(&self.forger, claims)?;
        self.forger.answer_token_requests(200, &self.tokens(&id_token)?);
        let state = parameter(at_provider.as_str(), "state")?;
        let answer = browser.open(&format!("/oauth2/callback?code=c&state={state}")).await?;
        Ok((browser, answer))
    }

    fn tokens(&self, id_token: &str) -> Result<Value> {
        let access_token = self.forger.token(&Forger::header(), &self.forger.claims())?;
        Ok(json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
        }))
    }

    /// Asserts that a login with this ID token succeeds.
    async fn accepts(
        &self,
        id_token: impl FnOnce(&Forger, Members) -> Result<String>,
    ) -> Result<()> {
        let (browser, answer) = self.log_in(id_token).await?;
        ensure!(answer.status == 302 && browser.who().await?.is_some(), "{answer:?}");
        Ok(())
    }

    /// Asserts that a login with this ID token fails, and that the same provider's right one succeeds.
    async fn refuses(
        &self,
        what: &str,
        id_token: impl FnOnce(&Forger, Members) -> Result<String>,
    ) -> Result<()> {
        let (browser, answer) = self.log_in(id_token).await?;
        stayed_signed_out(&browser, &answer, what).await?;
        ensure!(answer.status == 400, "{what}: {answer:?}");
        self.accepts(honest).await
    }
}

/// The right ID token.
fn honest(forger: &Forger, claims: Members) -> Result<String> {
    forger.token(&Forger::header(), &claims)
}

/// The right ID token but for one claim.
fn claiming(name: &'static str, value: Value) -> impl FnOnce(&Forger, Members) -> Result<String> {
    move |forger, mut claims| {
        claims.insert(name.to_owned(), value);
        honest(forger, claims)
    }
}

/// The right ID token without one claim.
fn without(name: &'static str) -> impl FnOnce(&Forger, Members) -> Result<String> {
    move |forger, mut claims| {
        claims.remove(name).with_context(|| format!("no {name}"))?;
        honest(forger, claims)
    }
}
