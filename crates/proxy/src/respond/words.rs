//! Texts of a refusal for the person or program that receives it.
//!
//! A cause that is for the log alone is never included: a caller learns that an upstream is unavailable, not its address.

use crate::refusal::Refusal;
use crate::respond::pages::{sentence, shown};

/// Texts of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// The cause, in a few words.
    pub(super) title: String,
    /// The cause, in a sentence.
    pub(super) detail: String,
    /// Advice for a person.
    pub(super) advice: Option<&'static str>,
}

impl Words {
    fn new(title: &str, detail: impl AsRef<str>, advice: impl Into<Option<&'static str>>) -> Self {
        Self { title: title.to_owned(), detail: shown(detail.as_ref(), 500), advice: advice.into() }
    }
}

const WAIT: &str = "Try again in a moment. This signs no user out.";

impl Refusal {
    /// The texts of the refusal by a service of this name, without parts that are for the log only.
    pub(super) fn words(&self, service: Option<&str>) -> Words {
        let service = service.map_or_else(|| "The service".to_owned(), |title| shown(title, 60));
        match self {
            Self::Malformed { status, reason } if status.is_server_error() => {
                Words::new("This cannot be served", sentence(reason), None)
            }
            Self::Malformed { reason, .. } => Words::new(
                "This request is ambiguous or malformed",
                sentence(reason),
                "Check the address for stray characters. If a link on a page brought you here, report it to the owner of that page.",
            ),
            Self::Misdirected { instead } => Words::new(
                "Nothing is served under this name",
                format!(
                    "This gateway does not serve the host and port that were asked for. Its address is {}.",
                    shown(instead, 300)
                ),
                "Check the address. If it used to work, the service may have moved.",
            ),
            Self::NoRoute => Words::new(
                "Page not found",
                "No service behind this gateway has this address.",
                "Check the address, or begin at the list of your services.",
            ),
            Self::IssuerMisconfigured { .. } => misconfigured(),
            Self::BadCredentials(refusal) if refusal.mistake().is_some() => misconfigured(),
            Self::BadCredentials(refusal) if refusal.is_unavailable() => Words::new(
                "Sign-in cannot be checked right now",
                "The identity provider is out of reach, so the token cannot be verified.",
                WAIT,
            ),
            Self::BadCredentials(refusal) => Words::new(
                "The token is not accepted",
                sentence(&refusal.to_string()),
                "Ask the issuer for a new token and try again.",
            ),
            Self::Unproven(unproven) if unproven.reason.is_unavailable() => Words::new(
                "The proof of the token cannot be checked right now",
                sentence(&unproven.reason.to_string()),
                WAIT,
            ),
            Self::Unproven(unproven) => Words::new(
                "The token is not accepted from this sender",
                sentence(&unproven.reason.to_string()),
                "Send the token together with the proof of its key: a DPoP proof for this request, or the client certificate.",
            ),
            Self::InvalidKey(_) => Words::new(
                "The API key does not count",
                "The API key is mistyped, unknown, expired, revoked or suspended.",
                "Make another key, or sign in once if you have not for a while. The owner of this platform finds the reason in the log, under the reference.",
            ),
            Self::KeyElsewhere { .. } => Words::new(
                "The API key is for other services",
                "The API key is valid, and this service is not among those it was made for.",
                "Make a key for this service.",
            ),
            Self::CredentialsDisagree => Words::new(
                "Two callers in one request",
                "The request has credentials of two callers, such as a token and another user's session cookie.",
                "Send one of them. In a browser, sign out or remove the token.",
            ),
            Self::LoginNeeded { .. } => Words::new(
                "Sign-in needed",
                "This needs a signed-in user: send a session cookie, or an access token in the Authorization header.",
                None,
            ),
            Self::StrongerSignInNeeded { needed, .. } => Words::new(
                "Sign in again",
                format!("To use {}, the caller {}.", shown(&needed.title, 80), needed.missing),
                "Sign in again, and go on from there. A program asks the issuer for a token with the level and age named here.",
            ),
            Self::Forbidden { title, unmet, .. } => Words::new(
                "Access refused",
                format!("The caller may not use {}: {}.", shown(title, 80), unmet.summary()),
                "Ask the owner of this service for access, and quote the reference.",
            ),
            Self::ForeignOrigin { origin } => Words::new(
                "Stopped: this came from another site",
                format!("A page of {} tried to do this in your name.", shown(origin, 100)),
                "Open the service by its own address instead.",
            ),
            Self::BodyTooLarge { limit } => Words::new(
                "Too large",
                format!("This service takes at most {limit} bytes in one request."),
                "Send less at once, or ask the owner of this service to raise the limit.",
            ),
            Self::UpstreamUnavailable { .. } => Words::new(
                &format!("{service} cannot be reached"),
                format!("{service} serves this address, and does not answer."),
                WAIT,
            ),
            Self::UpstreamInvalid { too_large: true, .. } => Words::new(
                "The service's answer is too large",
                "The header section of the service's answer is larger than the gateway passes on.",
                "Often a cookie of this service has grown: remove its cookies and try again, or report it to its owner.",
            ),
            Self::UpstreamInvalid { .. } => Words::new(
                "The service's answer cannot be read",
                "The service answered in a way that breaks a rule of HTTP.",
                "Report it to the owner of this service, and quote the reference.",
            ),
            Self::UpstreamTimeout { after, .. } => Words::new(
                &format!("{service} takes too long"),
                format!(
                    "{service} did not begin to answer within {}.",
                    humantime::format_duration(*after)
                ),
                WAIT,
            ),
            Self::TooMany { .. } => Words::new(
                "Too many requests at once",
                "More sign-ins, unknown tokens or wrong API keys came at once than the gateway checks.",
                WAIT,
            ),
            Self::UserLimitReached { limit: "requests_per_second", most, .. } => Words::new(
                "Too many requests in a second",
                format!("{service} takes {most} requests of one user in a second."),
                WAIT,
            ),
            Self::UserLimitReached { limit: "tokens_per_day", most, .. } => Words::new(
                "The tokens of today are used up",
                format!("{service} gives {most} tokens to one user in a day (UTC)."),
                "Try again tomorrow, or ask the owner of this service for more.",
            ),
            Self::McpMessage(fault) => Words::new(
                "This message of MCP is refused",
                sentence(&fault.to_string()),
                "Send it as the specification of MCP of 2026-07-28 says, or with a client that does.",
            ),
            Self::StreamWithoutUsage { .. } => Words::new(
                "The stream must state its usage",
                format!(
                    "{service} counts tokens: a request with `\"stream\": true` needs `\"stream_options\": {{\"include_usage\": true}}` too."
                ),
                "Add the option to the request. Client libraries have a parameter for it.",
            ),
            Self::UserLimitReached { limit, most, .. } => Words::new(
                "Too much at once",
                format!(
                    "{service} takes {most} {} of one user at the same time.",
                    if *limit == "concurrent_streams" { "open streams" } else { "requests" }
                ),
                "Close other pages or jobs that use this service, or wait until they are done.",
            ),
            Self::ProviderUnavailable { .. } => Words::new(
                "Sign-in is out of reach right now",
                "The identity provider does not answer.",
                WAIT,
            ),
            Self::ExchangeRefused { .. } => Words::new(
                "No token for this service",
                format!(
                    "The identity provider gives no token for {service} in exchange for yours."
                ),
                "Sign out and in again. If that does not help, ask the operators of this platform, and quote the reference.",
            ),
            Self::ExchangeInvalid { .. } => Words::new(
                "No usable token for this service",
                "The identity provider answered the request for this service's token with something else.",
                "Report it to the operators of this platform, and quote the reference.",
            ),
            Self::StoreUnavailable { .. } => Words::new(
                "Sessions are out of reach right now",
                "The gateway cannot read its sessions at the moment.",
                WAIT,
            ),
            Self::SignInFailed { reason, .. } => {
                Words::new("Sign-in did not finish", sentence(reason), "Begin again.")
            }
            Self::Draining => Words::new(
                "Restarting",
                "This gateway is about to restart and takes no new requests.",
                WAIT,
            ),
            Self::Internal { .. } => Words::new(
                "Something went wrong here",
                "The gateway failed on this request.",
                "Try again. If it happens again, report it to the operators of this platform, and quote the reference.",
            ),
        }
    }
}

fn misconfigured() -> Words {
    Words::new(
        "Sign-in is not set up correctly",
        "The gateway and the identity provider do not fit each other. Trying again does not help.",
        "Report it to the operators of this platform, and quote the reference.",
    )
}
