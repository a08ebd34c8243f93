//! `token`: a fresh access token, of the person who signed in or of a client with a credential of its own.
//!
//! The token goes only where the flags send it: standard output, the environment of a command, or a file. Tokens of clients and
//! exchanged tokens are shared among runs, so that 1,000 short jobs make one request.

mod output;
mod sharing;
mod watch;

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use m2m::{CachedTokens, ClientCredentials, Exchange, IssuerTokens, PresentedToken, TokenSource};
use oidc_core::client::TokenEndpoint;
use oidc_core::token::Scope;

use crate::credential::Credential;
use crate::error::CommandError;
use crate::issuer_connection::IssuerConnection;
use crate::login_choice::{self, LoginChoice};
use crate::outcome::Outcome;
use crate::program::Program;
use crate::signals::Signals;
use crate::warnings::Warnings;
use output::Output;

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct Token {
    #[command(flatten)]
    choice: LoginChoice,
    #[command(flatten)]
    credential: Credential,
    /// Scope of the token; repeat it, or separate several by spaces
    #[arg(long, env = "DOORWARD_SCOPE", value_name = "SCOPE")]
    scope: Vec<String>,
    /// Audience of the token; for a person the login's token is exchanged (RFC 8693)
    #[arg(long, env = "DOORWARD_AUDIENCE", value_name = "NAME")]
    audience: Vec<String>,
    /// URL of the service that the token is for (RFC 8707)
    #[arg(long, env = "DOORWARD_RESOURCE", value_name = "URL")]
    resource: Vec<String>,
    /// Always ask the issuer, and share nothing with other runs
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    connection: IssuerConnection,
    #[command(flatten)]
    output: Output,
}

impl Token {
    /// Gets the token and sends it where the flags say.
    pub(crate) async fn run(
        self,
        program: &Program,
        out: &mut (dyn Write + Send),
    ) -> Result<Outcome, CommandError> {
        let watched = self.output.watched();
        if watched.is_some() { Warnings::All } else { Warnings::Survived }.show();
        if self.credential.is_given() {
            let tokens = self.of_client(program)?;
            return match watched {
                Some(file) => {
                    watch::keep_fresh(program, &mut Signals::listen()?, &*tokens, file).await
                }
                None => self.output.give(&tokens.token().await?, out),
            };
        }
        // A person's refresh token may be usable once only: its answer must be written.
        let mut signals = Signals::listen()?;
        let tokens = signals.finish(self.of_person(program)).await??;
        match watched {
            Some(file) => watch::keep_fresh(program, &mut signals, &*tokens, file).await,
            None => self.output.give(&signals.finish(tokens.token()).await??, out),
        }
    }

    fn of_client(&self, program: &Program) -> Result<Arc<dyn TokenSource>, CommandError> {
        let (Some(issuer), Some(client_id)) = (&self.choice.issuer, &self.choice.client_id) else {
            let usage =
                "missing issuer or client of the credential; give --issuer URL --client-id ID";
            return Err(CommandError::WrongUsage(usage));
        };
        let provider = self.connection.provider(program, issuer.clone(), &self.credential)?;
        let endpoint = TokenEndpoint::new(provider, client_id, self.credential.auth()?);
        let tokens = IssuerTokens::new(endpoint, self.client_credentials()?);
        Ok(self.shared(tokens, Some(&self.credential)))
    }

    async fn of_person(&self, program: &Program) -> Result<Arc<dyn TokenSource>, CommandError> {
        let kept = login_choice::kept_logins()?;
        let facts = self.choice.choose(program, &kept)?;
        let login = login_choice::open(program, &kept, &facts, &self.connection)?;
        // Asked before any exchange, because only the login's own error says that the person has to sign in.
        login.access_token().await.map_err(|error| login_choice::with_remedy(program, error))?;
        if self.audience.is_empty() && self.resource.is_empty() && self.scope().is_none() {
            return Ok(Arc::new(login));
        }
        let endpoint = login.endpoint().clone();
        let subject = PresentedToken::from_source(login);
        Ok(self.shared(IssuerTokens::exchange(endpoint, subject, self.exchange()), None))
    }

    fn client_credentials(&self) -> Result<ClientCredentials, CommandError> {
        let mut wanted = ClientCredentials::new();
        if let Some(scope) = self.scope() {
            wanted = wanted.with_scope(&scope.to_string());
        }
        match self.audience.as_slice() {
            [] => {}
            [audience] => wanted = wanted.with_audience(audience),
            _ => {
                let usage =
                    "invalid --audience: a client requests one audience at a time; give one";
                return Err(CommandError::WrongUsage(usage));
            }
        }
        Ok(self.resource.iter().fold(wanted, ClientCredentials::with_resource))
    }

    fn exchange(&self) -> Exchange {
        let wanted = self.audience.iter().fold(Exchange::new(), Exchange::with_audience);
        let wanted = self.resource.iter().fold(wanted, Exchange::with_resource);
        match self.scope() {
            Some(scope) => wanted.with_scope(&scope.to_string()),
            None => wanted,
        }
    }

    fn scope(&self) -> Option<Scope> {
        let scope: Scope = self.scope.iter().flat_map(|scopes| scopes.split_whitespace()).collect();
        (!scope.is_empty()).then_some(scope)
    }

    /// Makes one request for all runs, if there is a folder to share tokens in.
    fn shared(
        &self,
        tokens: impl TokenSource + 'static,
        credential: Option<&Credential>,
    ) -> Arc<dyn TokenSource> {
        let files = if self.no_cache { None } else { sharing::files(credential) };
        let cached = CachedTokens::new(tokens);
        match files {
            Some(files) => Arc::new(cached.with_file_cache(&files)),
            None => Arc::new(cached),
        }
    }
}
