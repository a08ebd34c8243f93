//! `doorward token`: a fresh access token, for the person who signed in here, or for a machine with its own credential.
//!
//! The token goes where it is asked to go (standard output, a child's environment, a file) and nowhere else. Tokens of machines and
//! exchanged ones are shared among runs, so that 1,000 short jobs make one request.

#[path = "../../proxy/src/commands/token/cache.rs"]
mod cache;
#[path = "../../proxy/src/commands/token/output.rs"]
mod output;
#[path = "../../proxy/src/commands/token/watch.rs"]
mod watch;

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use m2m::{
    AccessToken, CachedTokens, ClientCredentials, Exchange, IssuerTokens, PresentedToken,
    TokenSource,
};
use oidc_core::{Scope, TokenEndpoint};

use super::credential::Credential;
use super::logins::{self, Which};
use super::reach::Reach;
use super::terminal::{self, Warnings};
use super::{Outcome, WrongUsage, patience};
use output::Output;

/// Whose token, for what, and where it goes.
#[derive(Debug, Args)]
pub struct Token {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    credential: Credential,
    /// What the token may be used for; several, or with spaces between them
    #[arg(long, env = "DOORWARD_SCOPE", value_name = "SCOPE")]
    scope: Vec<String>,
    /// Whom the token is for. For a person the login's token is exchanged (RFC 8693)
    #[arg(long, env = "DOORWARD_AUDIENCE", value_name = "NAME")]
    audience: Vec<String>,
    /// The service the token is for, as a URL (RFC 8707)
    #[arg(long, env = "DOORWARD_RESOURCE", value_name = "URL")]
    resource: Vec<String>,
    /// Ask the issuer anew, and share nothing with other runs
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Token {
    /// Gives the token to whoever it is for.
    ///
    /// # Errors
    ///
    /// `LoginNeeded` when a person has to sign in; the issuer's refusal; [`WrongUsage`].
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let watched = self.output.watched();
        terminal::show(if watched.is_some() { Warnings::All } else { Warnings::OfWhatGoesOn });
        let tokens =
            if self.credential.is_given() { self.of_machine()? } else { self.of_person().await? };
        if let Some(file) = watched {
            return watch::keep_fresh(tokens.as_ref(), file).await;
        }
        let token: AccessToken = tokens.token().await?;
        self.output.give(&token, out)
    }

    fn of_machine(&self) -> anyhow::Result<Arc<dyn TokenSource>> {
        let (Some(issuer), Some(client_id)) = (&self.which.issuer, &self.which.client_id) else {
            let usage = "a credential belongs to a client: --issuer URL --client-id ID";
            return Err(WrongUsage(usage).into());
        };
        let provider = self.reach.provider(issuer.clone(), &self.credential)?;
        let endpoint = TokenEndpoint::new(provider, client_id, self.credential.auth()?);
        let tokens = IssuerTokens::new(endpoint, self.client_credentials()?);
        Ok(self.shared(tokens, Some(&self.credential)))
    }

    async fn of_person(&self) -> anyhow::Result<Arc<dyn TokenSource>> {
        let kept = logins::kept()?;
        let facts = self.which.choose(&kept)?;
        let login = logins::open(&kept, &facts, &self.reach)?;
        // Asked first, as it says in words of its own when somebody has to sign in.
        patience::undisturbed(login.access_token()).await?.map_err(logins::explained)?;
        if self.audience.is_empty() && self.resource.is_empty() && self.scope().is_none() {
            return Ok(Arc::new(login));
        }
        let endpoint = login.endpoint().clone();
        let subject = PresentedToken::from_source(login);
        Ok(self.shared(IssuerTokens::exchange(endpoint, subject, self.exchange()), None))
    }

    fn client_credentials(&self) -> anyhow::Result<ClientCredentials> {
        let mut asked = ClientCredentials::new();
        if let Some(scope) = self.scope() {
            asked = asked.with_scope(&scope.to_string());
        }
        match self.audience.as_slice() {
            [] => {}
            [audience] => asked = asked.with_audience(audience),
            _ => {
                return Err(
                    WrongUsage("a machine's token is asked for one --audience at a time").into()
                );
            }
        }
        for resource in &self.resource {
            asked = asked.with_resource(resource);
        }
        Ok(asked)
    }

    fn exchange(&self) -> Exchange {
        let mut wanted = Exchange::new();
        for audience in &self.audience {
            wanted = wanted.with_audience(audience);
        }
        for resource in &self.resource {
            wanted = wanted.with_resource(resource);
        }
        match self.scope() {
            Some(scope) => wanted.with_scope(&scope.to_string()),
            None => wanted,
        }
    }

    fn scope(&self) -> Option<Scope> {
        let scope: Scope = self.scope.iter().flat_map(|scopes| scopes.split_whitespace()).collect();
        (!scope.is_empty()).then_some(scope)
    }

    /// One request for all runs, where there is a place to share; for a single run nothing has to be remembered.
    fn shared(
        &self,
        tokens: impl TokenSource + 'static,
        credential: Option<&Credential>,
    ) -> Arc<dyn TokenSource> {
        let files = if self.no_cache { None } else { cache::files(credential) };
        let cached = CachedTokens::new(tokens);
        match files {
            Some(files) => Arc::new(cached.with_file_cache(&files)),
            None => Arc::new(cached),
        }
    }
}
