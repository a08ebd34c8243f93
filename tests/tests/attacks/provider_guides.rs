//! The configuration of each provider's guide, driven at dev-issuer in that provider's product: sign-in, roles, bearer tokens,
//! refresh, sign-out. Beside each token that is accepted stands one that must not be.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Grant, Mint, Product, User};
use e2e::visitor::form_token;
use tokio::time::sleep;

use crate::{
    browser::Browser,
    stage::{CLIENT_SECRET, Setup, Stage},
};

/// Lifetime of access tokens: the session is refreshed within the test.
const TOKENS_LIVE: Duration = Duration::from_secs(4);

/// A guide, and what its provider can do.
struct Guide {
    name: &'static str,
    product: Product,
    /// Requirement of the rule; alice has the role `admin`, is in the group `lab`, and has an address.
    allow: &'static str,
    /// User name of alice at the upstream.
    user: &'static str,
    bearer: Bearer,
    /// The provider has a logout endpoint.
    logs_out: bool,
}

/// Bearer tokens that the guide's configuration accepts.
enum Bearer {
    None,
    /// Of users.
    Users,
    /// Of users, for another client than the gateway's.
    UsersOf(&'static str),
    /// Of service accounts, which have no roles; alice's are refused.
    Services,
    /// Of another issuer of the guide.
    OfSecond,
}

impl Guide {
    fn new(name: &'static str, product: Product, allow: &'static str, user: &'static str) -> Self {
        Self { name, product, allow, user, bearer: Bearer::Users, logs_out: true }
    }

    fn bearer(mut self, bearer: Bearer) -> Self {
        self.bearer = bearer;
        self
    }

    fn without_logout(mut self) -> Self {
        self.logs_out = false;
        self
    }

    /// The guide's first YAML block, with this machine's values for those that only the provider can give.
    fn configuration(&self) -> Result<Configuration> {
        let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/providers");
        let text = std::fs::read_to_string(guides.join(format!("{}.md", self.name)))?;
        let block = text.split("```yaml\n").nth(1).context("a YAML block")?;
        let block = block.split("```").next().unwrap_or_default();
        let value = |key: &str| {
            let line = block.lines().map(str::trim).find(|line| line.starts_with(key));
            line.map(|line| line[key.len()..].trim().trim_matches('"').to_owned())
        };
        let client = value("client_id:").context("a client")?;
        let list = |key: &str| -> Vec<String> {
            let list = value(key).unwrap_or_default();
            let list = list.trim_start_matches('[').trim_end_matches(']');
            let trimmed = list.split(',').map(|word| word.trim().trim_matches('"').to_owned());
            trimmed.filter(|word| !word.is_empty()).collect()
        };
        let audience = list("audience:").into_iter().find(|audience| *audience != client);
        let scopes = list("scopes:");
        let mut urls = ["ISSUER", "SECOND"].into_iter();
        let mut yaml = String::new();
        for line in block.replace(&client, "gateway").lines() {
            let key = line.trim_start();
            let indent = &line[..line.len() - key.len()];
            match key.split_once(": ").map(|(key, _)| key) {
                Some("url") => {
                    yaml.push_str(&format!(
                        "{indent}url: {}\n",
                        urls.next().context("a third issuer")?
                    ));
                }
                Some("access_token_issuer") => {
                    yaml.push_str(&format!("{indent}access_token_issuer: ISSUER/services/trust\n"));
                }
                Some("client_auth") => {
                    yaml.push_str(&format!(
                        "{indent}client_auth: {{ secret: {{ file: SECRET }} }}\n"
                    ));
                }
                _ => {
                    yaml.push_str(line);
                    yaml.push('\n');
                }
            }
        }
        Ok(Configuration { yaml, audience, scopes })
    }
}

struct Configuration {
    yaml: String,
    audience: Option<String>,
    scopes: Vec<String>,
}

fn alice() -> User {
    User::new("alice", "alice").email("alice@corp.example").roles(["admin"]).groups(["/lab"])
}

/// The second issuer of a guide, such as the application for services.
async fn second(guide: &Guide, configuration: &Configuration) -> Result<DevIssuer> {
    let audience = configuration.audience.clone().unwrap_or_default();
    let client = DevClient::confidential(audience, CLIENT_SECRET);
    let builder = DevIssuer::builder().realm("models").product(guide.product);
    Ok(builder.user(alice()).client(client).start("127.0.0.1:0").await?)
}

async fn drive(guide: Guide) -> Result<()> {
    let configuration = guide.configuration()?;
    let second = second(&guide, &configuration).await?;
    let routes = format!(
        "models:\n  match: {{ path: /models }}\n  upstream: UPSTREAM\n  access: [{{ allow: {{ {} }} }}]\n",
        guide.allow
    );
    let issuers = configuration.yaml.replace("SECOND", second.url());
    let (audience, scopes) = (configuration.audience.clone(), configuration.scopes.clone());
    let product = guide.product;
    let stage = Setup::new(&format!("provider-{}", guide.name))
        .with_issuer(move |issuer| {
            issuer.product(product).user(alice()).access_token_lifetime(TOKENS_LIVE)
        })
        .with_client(move |client| {
            // The stage's client has the audience `gateway`, which is no API here.
            let client = scopes.into_iter().fold(client, DevClient::scope);
            audience.into_iter().fold(client, DevClient::audience)
        })
        .with_routes(&routes)
        .with_plan(move |plan| plan.with_issuers(&issuers))
        .start()
        .await
        .with_context(|| format!("the gateway with the configuration of {}", guide.name))?;

    let browser = Browser::new(&stage);
    let answer = browser.open("/oauth2/start?rd=/models").await?;
    ensure!(answer.status == 302, "start answers {answer:?}");
    let callback = crate::browser::callback(&stage, &answer.location()?, "alice")?;
    let answer = browser.open(&callback).await?;
    ensure!(answer.status == 302, "alice is not signed in: {answer:?}");
    let answer = browser.open("/models").await?;
    ensure!(answer.status == 200, "the role is not seen: {answer:?}");
    let seen = stage.upstream.last("/models")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some(guide.user));
    let subject = seen.value("x-forwarded-user").context("a subject")?;
    ensure!(
        browser.open("/admin").await?.status
            == if guide.allow == "roles: [admin]" { 200 } else { 403 }
    );

    bearer(&guide, &stage, &second).await?;

    sleep(TOKENS_LIVE + Duration::from_secs(1)).await;
    ensure!(browser.open("/models").await?.status == 200, "the session is not refreshed");
    let seen = stage.upstream.last("/models")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some(guide.user));
    assert_eq!(seen.value("x-forwarded-user"), Some(subject), "the same user after a refresh");
    ensure!(stage.issuer.token_requests_by_grant(Grant::RefreshToken) > 0, "no refresh");

    let page = browser.open("/oauth2/sign_out").await?;
    let csrf = form_token(&page.body)?;
    let answer =
        browser.post("/oauth2/sign_out", &stage.origin(), &[("csrf", csrf.as_str())]).await?;
    // Without a logout endpoint at the provider, a page of the gateway says that the session is over.
    assert_eq!(answer.status, if guide.logs_out { 303 } else { 200 }, "{answer:?}");
    if guide.logs_out {
        let onward = answer.location()?;
        ensure!(onward.as_str().starts_with(stage.issuer.url().trim_end_matches('/')), "{onward}");
        e2e::visitor::plain_client()?.get(onward).send().await?;
        assert!(stage.issuer.session_ids("alice").is_empty(), "signed in at the provider");
    }
    ensure!(browser.open("/models").await?.status == 302, "signed in at the gateway");
    stage.finish(&[])
}

async fn bearer(guide: &Guide, stage: &Stage, second: &DevIssuer) -> Result<()> {
    let status = async |token: String| -> Result<u16> {
        Ok(stage.get("/models").bearer(&token).send().await?.status)
    };
    let access = || Mint::access("alice").client("gateway");
    let (good, expected) = match guide.bearer {
        Bearer::Users => (stage.issuer.mint(access())?, 200),
        Bearer::UsersOf(client) => (stage.issuer.mint(access().audience([client]))?, 200),
        Bearer::None => (stage.issuer.log_in("alice", "gateway", "openid")?.access_token, 401),
        Bearer::Services => (stage.issuer.mint(Mint::service("gateway"))?, 403),
        Bearer::OfSecond => (second.mint(Mint::access("alice"))?, 200),
    };
    assert_eq!(status(good.clone()).await?, expected, "{good}");
    let forged = match guide.bearer {
        Bearer::OfSecond => second.mint(Mint::access("alice").wrong_key())?,
        _ => stage.issuer.mint(access().wrong_key())?,
    };
    assert_eq!(status(forged).await?, 401);
    assert_eq!(status(stage.issuer.mint(access().expired())?).await?, 401);
    for kind in [Mint::id("alice"), Mint::logout("alice"), Mint::refresh("alice")] {
        let token = stage.issuer.mint(kind.client("gateway"))?;
        assert_eq!(status(token.clone()).await?, 401, "{token}");
    }
    let elsewhere = access().audience(["another"]).claim("client_id", "another");
    assert_eq!(status(stage.issuer.mint(elsewhere)?).await?, 401, "for another service");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_id() -> Result<()> {
    drive(Guide::new("entra-id", Product::EntraId, "roles: [admin]", "alice@corp.example")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn google() -> Result<()> {
    let guide =
        Guide::new("google", Product::Google, "emails: [alice@corp.example]", "alice@corp.example");
    drive(guide.bearer(Bearer::Services).without_logout()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn okta() -> Result<()> {
    drive(Guide::new("okta", Product::Okta, "roles: [lab]", "alice@corp.example")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn auth0() -> Result<()> {
    drive(Guide::new("auth0", Product::Auth0, "roles: [admin]", "alice")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab() -> Result<()> {
    let guide = Guide::new("gitlab", Product::GitLab, "roles: [lab]", "alice");
    drive(guide.bearer(Bearer::None).without_logout()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn authentik() -> Result<()> {
    let guide = Guide::new("authentik", Product::Authentik, "roles: [lab]", "alice");
    drive(guide.bearer(Bearer::OfSecond)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn zitadel() -> Result<()> {
    drive(Guide::new("zitadel", Product::Zitadel, "roles: [admin]", "alice@corp.example")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dex() -> Result<()> {
    let guide = Guide::new("dex", Product::Dex, "roles: [lab]", "alice");
    drive(guide.bearer(Bearer::UsersOf("models")).without_logout()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cognito() -> Result<()> {
    drive(Guide::new("cognito", Product::Cognito, "roles: [lab]", "alice").without_logout()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn adfs() -> Result<()> {
    drive(Guide::new("adfs", Product::Adfs, "roles: [admin]", "alice@corp.example")).await
}
