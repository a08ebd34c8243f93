//! `doorward login`: signs a person in at their own machine, by the browser (RFC 8252) or by a code typed elsewhere (RFC 8628),
//! and keeps the login for `doorward token`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use m2m::{KeptLogins, LoginFacts, Person};
use oidc_core::{
    Claims, Client, Clock, KeyPolicy, Login as SignedIn, LoopbackRedirect, RemoteKeys, SystemClock,
};
use url::Url;

use super::credential::Credential;
use super::logins::{self, Which};
use super::reach::{PATIENCE, Reach};
use super::terminal::{Paint, moment, shown};
use super::{Outcome, WrongUsage, browser};

/// Who signs in where.
#[derive(Debug, Args)]
pub struct Login {
    #[command(flatten)]
    which: Which,
    /// What the login may be used for, beside `openid`; several, or with spaces between them
    #[arg(long, env = "DOORWARD_SCOPE", value_name = "SCOPE", default_value = "profile email")]
    scope: Vec<String>,
    /// Sign in with another device: a code is shown, to be typed on a page there
    #[arg(long)]
    device: bool,
    /// Do not open the browser, only say which page to open
    #[arg(long)]
    no_browser: bool,
    /// The port of the redirect URI http://127.0.0.1:PORT/callback; a free one unless set
    #[arg(long, conflicts_with = "device")]
    port: Option<u16>,
    /// Another redirect URI of this machine, as it is registered
    #[arg(long, value_name = "URL", conflicts_with_all = ["device", "port"])]
    redirect_uri: Option<Url>,
    /// How long to wait for the browser
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME", conflicts_with = "device")]
    wait: Duration,
    #[command(flatten)]
    credential: Credential,
    #[command(flatten)]
    reach: Reach,
}

impl Login {
    /// Signs in and says who is signed in until when.
    ///
    /// # Errors
    ///
    /// [`WrongUsage`] without issuer or client, where no login before had one; whatever keeps the login from succeeding.
    pub async fn run(mut self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let kept = logins::kept()?;
        self.complete(&kept)?;
        let (Some(issuer), Some(client_id)) =
            (self.which.issuer.clone(), self.which.client_id.clone())
        else {
            return Err(WrongUsage("say where and as what: --issuer URL --client-id ID").into());
        };
        let provider = self.reach.provider(issuer, &self.credential)?;
        let keys =
            RemoteKeys::new(provider.clone()).with_policy(KeyPolicy::default().with_wait(PATIENCE));
        let client = Client::new(provider, Arc::new(keys), client_id, self.credential.auth()?);
        let signed_in = match self.device {
            true => self.by_device(&client, out).await?,
            false => self.by_browser(&client, out).await?,
        };
        let person = self.person(&signed_in.id_token);
        let login = kept.login(client.token_endpoint().clone());
        let facts = login.keep(person, signed_in.tokens).await?;
        say(&facts, out)?;
        Ok(Outcome::Fine)
    }

    /// Who signs in again means the same as the last time.
    fn complete(&mut self, kept: &KeptLogins) -> anyhow::Result<()> {
        let named = self.which.issuer.is_some() && self.which.client_id.is_some();
        let last = match self.which.find(kept) {
            // What cannot be read is about to be replaced.
            Err(_) if named => None,
            found => found?,
        };
        if let Some(last) = last {
            if !self.credential.is_given() {
                self.credential = Credential::remembered(&last.person.settings);
            }
            self.reach = self.reach.or_remembered(&last.person.settings);
            self.which.issuer.get_or_insert(last.issuer);
            self.which.client_id.get_or_insert(last.client_id);
        }
        Ok(())
    }

    async fn by_browser(&self, client: &Client, out: &mut dyn Write) -> anyhow::Result<SignedIn> {
        let redirect = match (&self.redirect_uri, self.port) {
            (Some(uri), _) => LoopbackRedirect::bind_to(uri).await?,
            (None, Some(port)) => {
                let uri = format!("http://127.0.0.1:{port}/callback");
                LoopbackRedirect::bind_to(&uri.parse()?).await?
            }
            (None, None) => LoopbackRedirect::bind().await?,
        };
        let request = redirect.request().with_scopes(self.scopes());
        let waiting = redirect.begin(client, request).await?;
        let paint = Paint::for_output();
        let opened =
            !self.no_browser && browser::is_there() && browser::open(waiting.url().as_str());
        let what = if opened {
            "Your browser opens this page; if not, open it yourself"
        } else {
            "Open this page in a browser on this machine"
        };
        writeln!(out, "{what}:\n\n  {}\n", paint.strong(waiting.url()))?;
        if !opened {
            writeln!(
                out,
                "The browser is on another machine? `doorward login --device` needs none here."
            )?;
        }
        out.flush()?;
        Ok(waiting.finish(self.wait).await?)
    }

    async fn by_device(&self, client: &Client, out: &mut dyn Write) -> anyhow::Result<SignedIn> {
        let waiting = client.begin_device_login(self.scopes()).await?;
        let paint = Paint::for_output();
        writeln!(out, "On any device, open\n\n  {}\n", paint.strong(waiting.verification_uri()))?;
        writeln!(out, "and type the code\n\n  {}\n", paint.strong(waiting.user_code()))?;
        if let Some(complete) = waiting.verification_uri_complete() {
            writeln!(
                out,
                "or open this link and compare the code:\n\n  {}\n",
                paint.strong(complete)
            )?;
        }
        let ends = moment(waiting.expires_at(), SystemClock.now());
        writeln!(out, "{}", paint.label(format_args!("The code ends {ends}.")))?;
        out.flush()?;
        Ok(waiting.finish().await?)
    }

    fn scopes(&self) -> Vec<String> {
        self.scope.iter().flat_map(|scopes| scopes.split_whitespace()).map(str::to_owned).collect()
    }

    fn person(&self, claims: &Claims) -> Person {
        let person = Person::new(claims.subject.clone().unwrap_or_default());
        let name = claims.preferred_username().or(claims.name()).or(claims.email());
        let person = match name {
            Some(name) => person.with_name(name),
            None => person,
        };
        self.credential.remember(self.reach.remember(person))
    }
}

fn say(facts: &LoginFacts, out: &mut dyn Write) -> std::io::Result<()> {
    let paint = Paint::for_output();
    let who = shown(facts.person.name.as_deref().unwrap_or(&facts.person.subject));
    let (issuer, client) = (&facts.issuer, &facts.client_id);
    writeln!(
        out,
        "{} as {} at {issuer} with the client {client}.",
        paint.good("Signed in"),
        paint.strong(who)
    )?;
    let now = SystemClock.now();
    match (facts.renews, facts.refresh_expires_at, facts.access_expires_at) {
        (true, Some(until), _) => writeln!(
            out,
            "`doorward token` gives fresh tokens; unused, the login ends {}.",
            moment(until, now)
        ),
        (true, None, _) => {
            writeln!(out, "`doorward token` gives fresh tokens until the issuer ends the login.")
        }
        (false, _, until) => {
            let until = until.map_or("with its access token".to_owned(), |at| moment(at, now));
            writeln!(
                out,
                "The issuer gave no refresh token: the login ends {until}. Ask for one with --scope offline_access, \
                 or allow it for this client."
            )
        }
    }
}
