//! `login`: signs a person in on their own machine, by a browser (RFC 8252) or by a code typed on another device (RFC 8628), and
//! keeps the login for `token`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use oidc_core::login::{Login as SignedIn, LoopbackRedirect};
use oidc_core::{Claims, Client, Clock, SystemClock};
use url::Url;

use crate::browser;
use crate::credential::Credential;
use crate::error::CommandError;
use crate::issuer_connection::IssuerConnection;
use crate::kept_login::{KeptLogins, LoginFacts, Person};
use crate::login_choice::{self, LoginChoice};
use crate::outcome::Outcome;
use crate::program::Program;
use crate::terminal::{Paint, moment, shown};

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct Login {
    #[command(flatten)]
    choice: LoginChoice,
    /// Scope of the login, beside `openid`; repeat it, or separate several by spaces
    #[arg(long, env = "DOORWARD_SCOPE", value_name = "SCOPE", default_value = "profile email")]
    scope: Vec<String>,
    /// Sign in on another device: print a code to type on a page there
    #[arg(long)]
    device: bool,
    /// Print the page to open instead of opening a browser
    #[arg(long)]
    no_browser: bool,
    /// Port of the redirect URI http://127.0.0.1:PORT/callback; a free one by default
    #[arg(long, conflicts_with = "device")]
    port: Option<u16>,
    /// Redirect URI on this machine, as registered at the issuer
    #[arg(long, value_name = "URL", conflicts_with_all = ["device", "port"])]
    redirect_uri: Option<Url>,
    /// Longest wait for the browser
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME", conflicts_with = "device")]
    wait: Duration,
    #[command(flatten)]
    credential: Credential,
    #[command(flatten)]
    connection: IssuerConnection,
}

impl Login {
    /// Signs in, and prints who is signed in and until when.
    pub(crate) async fn run(
        mut self,
        program: &Program,
        out: &mut (dyn Write + Send),
    ) -> Result<Outcome, CommandError> {
        let kept = login_choice::kept_logins()?;
        self.complete(&kept)?;
        let (Some(issuer), Some(client_id)) =
            (self.choice.issuer.clone(), self.choice.client_id.clone())
        else {
            let usage = "missing issuer or client; give --issuer URL --client-id ID";
            return Err(CommandError::WrongUsage(usage));
        };
        let provider = self.connection.provider(program, issuer, &self.credential)?;
        let keys = Arc::new(IssuerConnection::keys(provider.clone()));
        let client = Client::new(provider, keys, client_id, self.credential.auth()?);
        let signed_in = match self.device {
            true => self.by_device(&client, out).await?,
            false => self.by_browser(program, &client, out).await?,
        };
        let person = self.person(&signed_in.id_token);
        let login = kept.login(client.token_endpoint().clone());
        let facts = login.keep(person, signed_in.tokens).await?;
        print(program, &facts, out)?;
        Ok(Outcome::Fine)
    }

    /// Takes what the flags do not give from the last login.
    fn complete(&mut self, kept: &KeptLogins) -> Result<(), CommandError> {
        let named = self.choice.issuer.is_some() && self.choice.client_id.is_some();
        let last = match self.choice.find(kept) {
            // An unreadable login is about to be replaced.
            Err(_) if named => None,
            found => found?,
        };
        if let Some(last) = last {
            if !self.credential.is_given() {
                self.credential = Credential::remembered(&last.person.settings);
            }
            self.connection = self.connection.or_remembered(&last.person.settings);
            self.choice.issuer.get_or_insert(last.issuer);
            self.choice.client_id.get_or_insert(last.client_id);
        }
        Ok(())
    }

    async fn by_browser(
        &self,
        program: &Program,
        client: &Client,
        out: &mut (dyn Write + Send),
    ) -> Result<SignedIn, CommandError> {
        let redirect = match (&self.redirect_uri, self.port) {
            (Some(uri), _) => LoopbackRedirect::bind_to(uri).await?,
            (None, Some(port)) => {
                let uri = Url::parse(&format!("http://127.0.0.1:{port}/callback"))?;
                LoopbackRedirect::bind_to(&uri).await?
            }
            (None, None) => LoopbackRedirect::bind().await?,
        };
        let request = redirect.request().with_scopes(self.scopes());
        let waiting = redirect.begin(client, request).await?;
        let opened =
            !self.no_browser && browser::is_there() && browser::open(waiting.url().as_str());
        let what = if opened {
            "Your browser opens this page; if not, open it yourself"
        } else {
            "Open this page in a browser on this machine"
        };
        writeln!(out, "{what}:\n\n  {}\n", Paint::for_output().strong(waiting.url()))?;
        if !opened {
            let name = program.name();
            writeln!(out, "If the browser is on another machine, use `{name} login --device`.")?;
        }
        out.flush()?;
        Ok(waiting.finish(self.wait).await?)
    }

    async fn by_device(
        &self,
        client: &Client,
        out: &mut (dyn Write + Send),
    ) -> Result<SignedIn, CommandError> {
        let waiting = client.begin_device_login(self.scopes()).await?;
        let paint = Paint::for_output();
        writeln!(out, "On any device, open\n\n  {}\n", paint.strong(waiting.verification_uri()))?;
        writeln!(out, "and type the code\n\n  {}\n", paint.strong(waiting.user_code()))?;
        if let Some(complete) = waiting.verification_uri_complete() {
            let complete = paint.strong(complete);
            writeln!(out, "or open this link and compare the code:\n\n  {complete}\n")?;
        }
        let expires = moment(waiting.expires_at(), SystemClock.now());
        writeln!(out, "{}", paint.label(format_args!("The code expires {expires}.")))?;
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
        self.credential.remember(self.connection.remember(person))
    }
}

fn print(program: &Program, facts: &LoginFacts, out: &mut dyn Write) -> std::io::Result<()> {
    let (paint, program) = (Paint::for_output(), program.name());
    let user = shown(facts.person.display_name());
    let (issuer, client) = (&facts.issuer, &facts.client_id);
    let (done, user) = (paint.good("Signed in"), paint.strong(user));
    writeln!(out, "{done} as {user} at {issuer} with the client {client}.")?;
    let now = SystemClock.now();
    match (facts.renews, facts.refresh_expires_at, facts.access_expires_at) {
        (true, Some(until), _) => writeln!(
            out,
            "`{program} token` prints fresh tokens. Without use, the login ends {}.",
            moment(until, now)
        ),
        (true, None, _) => {
            writeln!(out, "`{program} token` prints fresh tokens until the issuer ends the login.")
        }
        (false, _, until) => {
            let until = until.map_or("with its access token".to_owned(), |at| moment(at, now));
            writeln!(
                out,
                "The issuer gave no refresh token, so the login ends {until}. Request one with --scope offline_access, or \
                 enable refresh tokens for this client."
            )
        }
    }
}
