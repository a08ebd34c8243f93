//! Refusals of sign-ins that an issuer's answer ended.

use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{LoginError, UserInfoError};
use oidc_core::provider::{IssuerMisconfigured, ProviderError};

use crate::{
    endpoints::return_to::HOME, identify::issuers::IssuerClient, metric, refusal::Refusal,
};

/// A login that could not begin or end. An unavailable or misconfigured provider is not the user's fault.
pub(super) fn of_login(issuer: &IssuerClient, error: &LoginError) -> Refusal {
    if let Some(mistake) = error.mistake() {
        return misconfigured(issuer, mistake);
    }
    if error.is_temporary() {
        return unavailable(issuer, error.to_string());
    }
    metric::login(issuer.name(), "failed");
    tracing::warn!(issuer = issuer.name(), reason = %error, "sign-in failed");
    failed("login_failed", "The identity provider's answer could not be accepted.")
}

/// A login whose UserInfo answer is refused, or is missing where it is required.
pub(super) fn of_user_info(issuer: &IssuerClient, error: &UserInfoError) -> Refusal {
    if let UserInfoError::Provider(ProviderError::Misconfigured(mistake)) = error {
        return misconfigured(issuer, mistake);
    }
    if error.is_temporary() {
        return unavailable(issuer, error.to_string());
    }
    metric::login(issuer.name(), "failed");
    tracing::warn!(issuer = issuer.name(), reason = %error, "sign-in failed: UserInfo is not accepted");
    failed("login_failed", "The identity provider's answer about you could not be accepted.")
}

/// An answer to an authorization request that is not accepted.
pub(super) fn of_callback(issuer: &IssuerClient, refusal: &CallbackRefusal) -> Refusal {
    match refusal {
        CallbackRefusal::Unavailable(ProviderError::Misconfigured(mistake)) => {
            misconfigured(issuer, mistake)
        }
        CallbackRefusal::Unavailable(error) => unavailable(issuer, error.to_string()),
        _ => {
            let outcome = match refusal {
                CallbackRefusal::Provider { .. } => "refused_by_provider",
                other => other.code(),
            };
            metric::login(issuer.name(), outcome);
            Refusal::SignInFailed {
                reason: refusal.to_string().into(),
                code: refusal.code(),
                return_to: HOME.to_owned(),
            }
        }
    }
}

/// A login that the provider ended before it was finished.
pub(super) fn ended_meanwhile(issuer: &IssuerClient) -> Refusal {
    metric::login(issuer.name(), "ended_meanwhile");
    failed("ended_meanwhile", "The identity provider signed you out while you signed in.")
}

fn unavailable(issuer: &IssuerClient, reason: String) -> Refusal {
    metric::login(issuer.name(), "provider_unavailable");
    Refusal::ProviderUnavailable { issuer: issuer.name().to_owned(), reason }
}

fn misconfigured(issuer: &IssuerClient, mistake: &IssuerMisconfigured) -> Refusal {
    metric::login(issuer.name(), "issuer_misconfigured");
    tracing::error!(issuer = issuer.name(), member = mistake.member, reason = %mistake, "the issuer is misconfigured");
    Refusal::IssuerMisconfigured { issuer: issuer.name().to_owned(), reason: mistake.to_string() }
}

fn failed(code: &'static str, reason: &'static str) -> Refusal {
    Refusal::SignInFailed { reason: reason.into(), code, return_to: HOME.to_owned() }
}
