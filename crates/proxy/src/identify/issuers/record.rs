//! Records of sessions: from a finished login, and from a refresh (OpenID Connect Core 1.0 §3.1.3, §5.3, §12).
//!
//! Claims about another subject are never taken over.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use access_policy::Known;
use oidc_core::client::{TokenEndpointError, TokenSet};
use oidc_core::login::{Login, UserInfoError};
use oidc_core::verify::dangerous_unverified_claims;
use oidc_core::{AccessToken, Claims, Secret, TokenRefusal, Verified};
use web_sessions::{Record, RenewError};

use super::IssuerClient;
use crate::{config::UserInfo, metric};

/// Lifetime of an access token when the issuer states none.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(300);

impl IssuerClient {
    /// The record of a finished login.
    ///
    /// # Errors
    ///
    /// [`UserInfoError::WrongSubject`] when the UserInfo answer is about another subject; any other error where UserInfo is
    /// required.
    pub async fn record(&self, login: Login, now: SystemTime) -> Result<Record, UserInfoError> {
        let Login { tokens, id_token, .. } = login;
        let access = self.access_token_about(&tokens, &id_token).await;
        let access = access.as_deref().map(|access| &***access);
        let known = match self.identity(&tokens.access_token, &id_token, access).await {
            Err(error) if self.needs(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(issuer = self.name, %error, "UserInfo is not read");
                self.claims.read_session(&id_token, access)
            }
            Ok(known) => known,
        };
        let expires_at = tokens.expires_at.or_else(|| id_token.expires_at);
        let expires_at = expires_at.unwrap_or(now + UNKNOWN_LIFETIME);
        let provider_session = id_token.session_id.clone();
        Ok(Record::new(Known::clone(&known), tokens.access_token, expires_at, now)
            .with_refresh_token(tokens.refresh_token)
            .with_id_token(tokens.id_token)
            .with_id_token_algorithm(id_token.algorithm())
            .with_provider_session(provider_session))
    }

    /// The `refresh_token` grant for a session (RFC 6749 §6).
    pub(super) async fn renew(&self, record: &Record) -> Result<Record, RenewError> {
        let Some(refresh_token) = &record.refresh_token else {
            return Err(RenewError::NoRefreshToken);
        };
        let refreshed = self
            .client
            .refresh(refresh_token, &record.known.subject)
            .await
            .map_err(|error| self.renew_error(&error))?;
        let tokens = refreshed.tokens;
        let mut next = record.clone();
        let new_id_token = refreshed.id_token.as_ref();
        // OpenID Connect Core 1.0 §12.2: the issuer stays the same, and so does the tenant.
        if !self.tenants.is_empty()
            && new_id_token.is_some_and(|token| token.issuer.as_ref() != Some(&record.known.iss))
        {
            return Err(self.of_another());
        }
        next.known =
            self.renewed_identity(record, &tokens, new_id_token.map(|token| &***token)).await?;
        if let Some(id_token) = new_id_token {
            next.id_token_algorithm = id_token.algorithm();
        }
        let expires_at =
            tokens.expires_at.or_else(|| new_id_token.and_then(|id_token| id_token.expires_at));
        next.access_expires_at = expires_at.unwrap_or(self.clock.now() + UNKNOWN_LIFETIME);
        next.access_token = tokens.access_token;
        if tokens.refresh_token.is_some() {
            next.refresh_token = tokens.refresh_token;
        }
        if tokens.id_token.is_some() {
            next.id_token = tokens.id_token;
        }
        metric::refreshed(&self.name, "ok");
        Ok(next)
    }

    /// The identity after a refresh. Without a new ID token, which OpenID Connect Core 1.0 §12.2 leaves to the issuer, the
    /// claims of the former one stay; those of the access token are the new one's.
    async fn renewed_identity(
        &self,
        record: &Record,
        tokens: &TokenSet,
        id_token: Option<&Claims>,
    ) -> Result<Arc<Known>, RenewError> {
        let subject = &record.known.subject;
        let access = match id_token {
            Some(id_token) => self.access_token_about(tokens, id_token).await,
            // Nothing else in this answer names its subject.
            None => match self.own.access_token(tokens.access_token.expose()).await {
                Ok(access)
                    if access.subject() != subject
                        || !self.is_tenant(&access, &record.known.iss) =>
                {
                    return Err(self.of_another());
                }
                access => self.readable(access),
            },
        };
        let former = || {
            let kept = dangerous_unverified_claims(record.id_token.as_ref()?.expose())?;
            (kept.subject.as_deref() == Some(subject)).then_some(kept)
        };
        let former = if id_token.is_some() { None } else { former() };
        let Some(id_claims) = id_token.or(former.as_ref()) else {
            // The cookie store drops an ID token that makes a cookie too large.
            let Some(access) = access else { return Ok(Arc::clone(&record.known)) };
            let mut known = self.claims.read(&access);
            keep_names(Arc::make_mut(&mut known), &record.known);
            return Ok(known);
        };
        let access = access.as_deref().map(|access| &***access);
        let asks = self.asks_user_info(id_claims, access);
        if id_token.is_none() && access.is_none() && !asks {
            return Ok(Arc::clone(&record.known));
        }
        match self.identity(&tokens.access_token, id_claims, access).await {
            Ok(known) => Ok(known),
            Err(UserInfoError::WrongSubject) => {
                metric::refreshed(&self.name, "bad_user_info");
                Err(RenewError::refused(UserInfoError::WrongSubject.to_string()))
            }
            // The next refresh asks again.
            Err(error) if error.is_temporary() => {
                tracing::warn!(issuer = self.name, %error, "UserInfo is not read: the session keeps its former claims");
                Ok(Arc::clone(&record.known))
            }
            Err(error) => {
                tracing::warn!(issuer = self.name, %error, "UserInfo is not read");
                let mut known = self.claims.read_session(id_claims, access);
                keep_names(Arc::make_mut(&mut known), &record.known);
                Ok(known)
            }
        }
    }

    /// The tokens of a refresh are about another subject than the session.
    fn of_another(&self) -> RenewError {
        metric::refreshed(&self.name, "wrong_subject");
        tracing::warn!(
            issuer = self.name,
            "the refreshed access token is about another subject: the session ends"
        );
        RenewError::refused("refreshed tokens are about another subject")
    }

    /// The access token of an answer whose ID token is about this subject, if it is a JWT of this issuer that was issued to
    /// this client about the same subject. Any other access token adds nothing to the identity.
    async fn access_token_about(
        &self,
        tokens: &TokenSet,
        id_token: &Claims,
    ) -> Option<Arc<Verified<AccessToken>>> {
        let access = self.own.access_token(tokens.access_token.expose()).await;
        let access = self.readable(access)?;
        let iss = id_token.issuer.as_deref().unwrap_or_default();
        if id_token.subject.as_deref() == Some(access.subject()) && self.is_tenant(&access, iss) {
            return Some(access);
        }
        tracing::warn!(
            issuer = self.name,
            "access token is about another subject than the ID token; it is not read for roles"
        );
        None
    }

    /// Whether a token is of this tenant, where there are several.
    fn is_tenant(&self, token: &Claims, iss: &str) -> bool {
        self.tenants.is_empty() || token.issuer.as_deref() == Some(iss)
    }

    fn readable(
        &self,
        access: Result<Arc<Verified<AccessToken>>, TokenRefusal>,
    ) -> Option<Arc<Verified<AccessToken>>> {
        access
            .inspect_err(|refusal| {
                tracing::debug!(issuer = self.name, reason = %refusal, "access token is not read for roles");
            })
            .ok()
    }

    /// The identity in an ID token, with what the access token and, if it is asked for, UserInfo add.
    async fn identity(
        &self,
        access_token: &Secret,
        id_token: &Claims,
        access: Option<&Claims>,
    ) -> Result<Arc<Known>, UserInfoError> {
        if !self.asks_user_info(id_token, access) {
            return Ok(self.claims.read_session(id_token, access));
        }
        let subject = id_token.subject.as_deref().unwrap_or_default();
        let info = self.client.user_info(access_token, subject).await?;
        Ok(self.claims.read_session(&self.claims.with_user_info(id_token, &info), access))
    }

    /// Whether UserInfo is asked for, in addition to these claims.
    fn asks_user_info(&self, id_token: &Claims, access: Option<&Claims>) -> bool {
        match self.user_info {
            UserInfo::Never => false,
            UserInfo::Always => true,
            UserInfo::WhenMissing => {
                let offers = |metadata: Arc<oidc_core::provider::ProviderMetadata>| {
                    metadata.userinfo_endpoint.is_some()
                };
                self.provider.current().is_some_and(offers)
                    && self.claims.lacks(&self.wanted, id_token, access)
            }
        }
    }

    /// Whether a login fails without UserInfo.
    fn needs(&self, error: &UserInfoError) -> bool {
        self.user_info == UserInfo::Always || matches!(error, UserInfoError::WrongSubject)
    }

    fn renew_error(&self, error: &TokenEndpointError) -> RenewError {
        if error.is_temporary() {
            metric::refreshed(&self.name, "unavailable");
            return RenewError::unavailable(error.to_string());
        }
        match error {
            TokenEndpointError::InvalidGrant { .. } => {
                metric::refreshed(&self.name, "invalid_grant");
                RenewError::refused(error.to_string())
            }
            // OpenID Connect Core 1.0 §12.2: these tokens are not about the person who signed in.
            TokenEndpointError::IdToken(_) => {
                metric::refreshed(&self.name, "bad_id_token");
                RenewError::refused(error.to_string())
            }
            // The operator has to correct a client that is misconfigured at the provider; the session stays.
            _ => {
                metric::refreshed(&self.name, "error");
                RenewError::unavailable(error.to_string())
            }
        }
    }
}

/// Keeps the names and the address of the former identity where the new claims have none.
fn keep_names(known: &mut Known, former: &Known) {
    let Known { preferred_username, email, email_verified, name, .. } = known;
    if email.is_none() {
        email.clone_from(&former.email);
        *email_verified = former.email_verified;
    }
    for (own, former) in [(preferred_username, &former.preferred_username), (name, &former.name)] {
        if own.is_none() {
            own.clone_from(former);
        }
    }
}
