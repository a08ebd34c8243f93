//! The stage of each scenario: an upstream, two gateways over one store, and nginx in front of them.
//!
//! | route | may be used by |
//! |---|---|
//! | `/public` | anyone |
//! | `/budget` | the same, each for 100 tokens of a model in a day |
//! | `/` | every signed-in user, and programs with a token |

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    gateway::Plan,
    keycloak::{GATEWAY_CLIENT, Realm},
    replicas::{CHOICE, Replicas},
    upstream::Echo,
    visitor::{Answer, Manner, Visitor, form_token, plain_client},
};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// The running parts; the store and the provider belong to the scenario.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) echo: Echo,
    pub(crate) replicas: Replicas,
}

impl Stage {
    /// Two gateways before a realm of Keycloak.
    pub(crate) async fn start(
        world: World,
        realm: &Realm,
        store: &str,
        change: impl FnOnce(Plan) -> Plan,
    ) -> Result<Self> {
        let secret = Realm::secret(GATEWAY_CLIENT);
        Self::with_issuer(world, &realm.issuer(), &secret, store, change).await
    }

    /// Two gateways before any issuer, where the client `gateway` has this secret.
    pub(crate) async fn with_issuer(
        world: World,
        issuer: &str,
        secret: &str,
        store: &str,
        change: impl FnOnce(Plan) -> Plan,
    ) -> Result<Self> {
        let echo = world.echo().await?;
        let routes = ROUTES.replace("UPSTREAM", &echo.url());
        let plan = Plan::with_client(&world, issuer, secret, &routes)?.with_store(store);
        let replicas = Replicas::start(&world, &change(plan), 2).await?;
        Ok(Self { world, echo, replicas })
    }

    /// A user of Keycloak in a browser of their own, signed in by whichever replicas nginx chose.
    pub(crate) async fn sign_in(&self, user: &str) -> Result<Visitor> {
        let visitor = Visitor::new()?;
        let home = visitor.log_in(&self.world.url("/home"), user).await?;
        ensure!(home.status == 200, "{user} is not signed in: {} {}", home.status, home.body);
        Ok(visitor)
    }

    /// A script's request at one of the replicas.
    pub(crate) async fn fetch(
        &self,
        visitor: &Visitor,
        replica: usize,
        path: &str,
    ) -> Result<Answer> {
        let choice = replica.to_string();
        let fields = [(CHOICE, choice.as_str())];
        visitor.send(Method::GET, &self.world.url(path), Manner::Fetch, &fields, None).await
    }

    /// Opens a page at one of the replicas; follows nothing.
    pub(crate) async fn open(
        &self,
        visitor: &Visitor,
        replica: usize,
        path: &str,
    ) -> Result<Answer> {
        let choice = replica.to_string();
        let fields = [(CHOICE, choice.as_str())];
        visitor.send(Method::GET, &self.world.url(path), Manner::Navigation, &fields, None).await
    }

    /// A program's request with a token at one of the replicas; its status.
    pub(crate) async fn call(&self, token: &str, replica: usize) -> Result<u16> {
        let request = plain_client()?.get(self.world.url("/api")).bearer_auth(token);
        Ok(request.header(CHOICE, replica.to_string()).send().await?.status().as_u16())
    }

    /// Confirms the page of `/oauth2/sign_out` at one of the replicas.
    pub(crate) async fn sign_out(&self, visitor: &Visitor, replica: usize) -> Result<Answer> {
        let form = self.open(visitor, replica, "/oauth2/sign_out").await?;
        if form.status != 200 {
            return Ok(form);
        }
        let csrf = form_token(&form.body)?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("csrf", &csrf)
            .finish();
        let (choice, origin) = (replica.to_string(), self.world.public_url());
        let fields = [
            (CHOICE, choice.as_str()),
            ("origin", origin.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let url = self.world.url("/oauth2/sign_out");
        visitor.send(Method::POST, &url, Manner::Navigation, &fields, Some(body)).await
    }

    /// Ends the one session that a user has, by the admin listener of a replica.
    pub(crate) async fn end_by_admin(&self, user: &str, replica: usize) -> Result<()> {
        let sessions = self.replicas.gateway(replica)?.admin_url("/sessions");
        let client = plain_client()?;
        let listed: Value = client.get(&sessions).send().await?.json().await?;
        let id = listed["sessions"]
            .as_array()
            .and_then(|all| {
                // Listed are the names to show: "Alice Liddell".
                all.iter().find(|session| session.to_string().to_lowercase().contains(user))
            })
            .and_then(|session| session["id"].as_str())
            .with_context(|| format!("{user} is not listed: {listed}"))?
            .to_owned();
        let ended = client.delete(format!("{sessions}/{id}")).send().await?;
        ensure!(ended.status().is_success(), "{}", ended.status());
        Ok(())
    }

    /// The time from now until a replica refuses a cookie. Any answer but 200 before that is an error.
    pub(crate) async fn until_refused(&self, cookie: &str, replica: usize) -> Result<Duration> {
        let began = Instant::now();
        let thief = Visitor::new()?;
        let choice = replica.to_string();
        let fields = [(CHOICE, choice.as_str()), ("cookie", cookie)];
        let url = self.world.url("/after");
        loop {
            let answer = thief.send(Method::GET, &url, Manner::Fetch, &fields, None).await?;
            match answer.status.as_u16() {
                401 => return Ok(began.elapsed()),
                200 => ensure!(began.elapsed() < LIMIT, "not signed out after {LIMIT:?}"),
                other => anyhow::bail!("neither signed in nor signed out: {other} {}", answer.body),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the gateways in order and checks their logs.
    pub(crate) fn finish(self, visitors: &[&Visitor]) -> Result<()> {
        let secrets: Vec<String> = visitors.iter().flat_map(|v| v.cookie_values()).collect();
        self.replicas.finish(&secrets)
    }
}

const LIMIT: Duration = Duration::from_secs(20);

const ROUTES: &str = "\
public:
  match: { path: /public }
  upstream: UPSTREAM
  access: [{ allow: anyone }]
budget:
  match: { path: /budget }
  upstream: UPSTREAM
  usage: openai
  access: [{ allow: signed_in }]
  limits: { per_user: { tokens_per_day: 100 } }
all:
  match: { path: / }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
";
