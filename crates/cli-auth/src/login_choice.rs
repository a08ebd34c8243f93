//! Choice of a kept login: the last one made, unless the flags name another.

use clap::Args;
use oidc_core::Issuer;
use oidc_core::client::TokenEndpoint;

use crate::credential::Credential;
use crate::environment;
use crate::error::CommandError;
use crate::issuer_connection::IssuerConnection;
use crate::kept_login::{KeptLogin, KeptLoginError, KeptLogins, LoginFacts};
use crate::program::Program;

/// Flags that name a login.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct LoginChoice {
    /// Issuer URL, exactly as in the `iss` of its tokens
    #[arg(long, env = "DOORWARD_ISSUER", value_name = "URL")]
    pub(crate) issuer: Option<Issuer>,
    /// Client id of this program at the issuer
    #[arg(long, env = "DOORWARD_CLIENT_ID", value_name = "ID")]
    pub(crate) client_id: Option<String>,
}

/// The folder of the kept logins: `$XDG_STATE_HOME/doorward/logins`, or below `~/.local/state`.
pub(crate) fn kept_logins() -> Result<KeptLogins, CommandError> {
    let state = environment::folder("XDG_STATE_HOME", ".local/state");
    let state = state.ok_or(CommandError::NoStateFolder)?;
    Ok(KeptLogins::new(state.join("doorward/logins")))
}

impl LoginChoice {
    /// True if a flag names the issuer or the client.
    pub(crate) fn is_given(&self) -> bool {
        self.issuer.is_some() || self.client_id.is_some()
    }

    /// The last login of this issuer and client.
    pub(crate) fn choose(
        &self,
        program: &Program,
        logins: &KeptLogins,
    ) -> Result<LoginFacts, CommandError> {
        self.find(logins)?.ok_or_else(|| self.not_signed_in(program))
    }

    /// The same; `None` if there is none. A login that is named by issuer and client is found even if another login's file
    /// is unreadable.
    pub(crate) fn find(&self, logins: &KeptLogins) -> Result<Option<LoginFacts>, KeptLoginError> {
        if let (Some(issuer), Some(client_id)) = (&self.issuer, &self.client_id) {
            return logins.of(issuer, client_id);
        }
        let fits = |facts: &LoginFacts| {
            self.issuer.as_ref().is_none_or(|issuer| *issuer == facts.issuer)
                && self.client_id.as_ref().is_none_or(|client| *client == facts.client_id)
        };
        Ok(logins.all()?.into_iter().find(fits))
    }

    fn not_signed_in(&self, program: &Program) -> CommandError {
        let issuer = self.issuer.as_ref().map(|issuer| format!(" at {issuer}"));
        let client = self.client_id.as_ref().map(|client| format!(" with the client {client}"));
        CommandError::LoginNeeded {
            reason: format!(
                "not signed in{}{}",
                issuer.unwrap_or_default(),
                client.unwrap_or_default()
            ),
            command: program.login_command(self.issuer.as_ref(), self.client_id.as_deref()),
        }
    }
}

/// Opens the login with the settings it was made with.
pub(crate) fn open(
    program: &Program,
    logins: &KeptLogins,
    facts: &LoginFacts,
    connection: &IssuerConnection,
) -> Result<KeptLogin, CommandError> {
    let settings = &facts.person.settings;
    let credential = Credential::remembered(settings);
    let connection = connection.or_remembered(settings);
    let provider = connection.provider(program, facts.issuer.clone(), &credential)?;
    Ok(logins.login(TokenEndpoint::new(provider, &facts.client_id, credential.auth()?)))
}

/// Adds the command that signs in, where that is the remedy.
pub(crate) fn with_remedy(program: &Program, error: KeptLoginError) -> CommandError {
    let (issuer, client_id, reason) = match &error {
        KeptLoginError::NotSignedIn { issuer, client_id } => {
            (issuer, client_id, "not signed in".to_owned())
        }
        KeptLoginError::Ended { issuer, client_id, description } => {
            let why = description.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            (issuer, client_id, format!("the login ended{why}"))
        }
        _ => return error.into(),
    };
    let command = program.login_command(Some(issuer), Some(client_id));
    CommandError::LoginNeeded { reason, command }
}
