//! The logins kept on this machine, and which of them a command means.

use anyhow::Context;
use clap::Args;
use m2m::{KeptLogin, KeptLoginError, KeptLogins, LoginFacts};
use oidc_core::{Issuer, TokenEndpoint};

use super::credential::Credential;
use super::environment;
use super::reach::Reach;

/// Somebody has to sign in first.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: run `{command}`")]
pub(super) struct LoginNeeded {
    reason: String,
    command: String,
}

/// Which login; the last one made unless something is said.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Which {
    /// The issuer, as its tokens have it in `iss`
    #[arg(long, env = "DOORWARD_ISSUER", value_name = "URL")]
    pub(super) issuer: Option<Issuer>,
    /// What this program is called at the issuer
    #[arg(long, env = "DOORWARD_CLIENT_ID", value_name = "ID")]
    pub(super) client_id: Option<String>,
}

/// Where logins are kept: `$XDG_STATE_HOME/doorward/logins`, or below `~/.local/state`.
pub(super) fn kept() -> anyhow::Result<KeptLogins> {
    let state = environment::folder("XDG_STATE_HOME", ".local/state").context(
        "there is no place to keep logins: set HOME, or XDG_STATE_HOME to an absolute path",
    )?;
    Ok(KeptLogins::new(state.join("doorward/logins")))
}

impl Which {
    /// The login that is meant: the last one of this issuer and client, where they are named.
    pub(super) fn choose(&self, logins: &KeptLogins) -> anyhow::Result<LoginFacts> {
        Ok(self.find(logins)?.ok_or_else(|| self.nobody())?)
    }

    /// The same, if there is one. One that is named whole is found whatever the others are like.
    pub(super) fn find(&self, logins: &KeptLogins) -> Result<Option<LoginFacts>, KeptLoginError> {
        if let (Some(issuer), Some(client_id)) = (&self.issuer, &self.client_id) {
            return logins.of(issuer, client_id);
        }
        let fits = |facts: &LoginFacts| {
            self.issuer.as_ref().is_none_or(|issuer| *issuer == facts.issuer)
                && self.client_id.as_ref().is_none_or(|client| *client == facts.client_id)
        };
        Ok(logins.all()?.into_iter().find(fits))
    }

    fn nobody(&self) -> LoginNeeded {
        let issuer = self.issuer.as_ref().map(|issuer| format!(" at {issuer}"));
        let client = self.client_id.as_ref().map(|client| format!(" with the client {client}"));
        let reason = format!(
            "nobody is signed in{}{}",
            issuer.unwrap_or_default(),
            client.unwrap_or_default()
        );
        LoginNeeded {
            reason,
            command: login_command(self.issuer.as_ref(), self.client_id.as_deref()),
        }
    }
}

/// The login with what it was made with.
pub(super) fn open(
    logins: &KeptLogins,
    facts: &LoginFacts,
    reach: &Reach,
) -> anyhow::Result<KeptLogin> {
    let settings = &facts.person.settings;
    let credential = Credential::remembered(settings);
    let provider = reach.or_remembered(settings).provider(facts.issuer.clone(), &credential)?;
    Ok(logins.login(TokenEndpoint::new(provider, &facts.client_id, credential.auth()?)))
}

/// An error with the way out, where that is to sign in.
pub(super) fn explained(error: KeptLoginError) -> anyhow::Error {
    match &error {
        KeptLoginError::NotSignedIn { issuer, client_id }
        | KeptLoginError::Ended { issuer, client_id, .. } => {
            let command = login_command(Some(issuer), Some(client_id));
            let reason = match error {
                KeptLoginError::Ended { description: Some(why), .. } => {
                    format!("the login is over ({why})")
                }
                KeptLoginError::Ended { .. } => "the login is over".to_owned(),
                _ => "nobody is signed in".to_owned(),
            };
            LoginNeeded { reason, command }.into()
        }
        _ => error.into(),
    }
}

fn login_command(issuer: Option<&Issuer>, client_id: Option<&str>) -> String {
    let issuer = issuer.map_or("URL", Issuer::as_str);
    format!("doorward login --issuer {issuer} --client-id {}", client_id.unwrap_or("ID"))
}
