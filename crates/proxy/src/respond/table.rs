//! Every refusal once, for the reference page: its code, its status, and its cause.

use std::time::Duration;

use http::StatusCode;

use crate::{
    mcp_fault::McpFault,
    refusal::{Fault, Refusal},
};

/// One refusal, in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The code for programs.
    pub code: &'static str,
    /// The status that goes with it.
    pub status: StatusCode,
    /// The party at fault.
    pub fault: Fault,
    /// Whether the answer has a `Retry-After`.
    pub retry: bool,
    /// The condition that causes it.
    pub met: &'static str,
}

/// Every refusal in the order of the line, except those of tokens and of requests that break a rule of HTTP.
pub fn entries() -> Vec<Entry> {
    let of = |refusal: &Refusal| Entry {
        code: refusal.code(),
        status: refusal.status(),
        fault: refusal.fault(),
        retry: refusal.retry_after().is_some(),
        met: met(refusal),
    };
    one_of_each().iter().map(of).collect()
}

/// The condition for each refusal, independent of its fields. A new refusal does not compile without its line.
fn met(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed { .. } => {
            "Two parsers could read the request differently, or it breaks a rule of HTTP."
        }
        Refusal::Misdirected { .. } => {
            "No route serves the host, or the gateway does not serve it at this port."
        }
        Refusal::NoRoute => "No route of the host owns the path.",
        Refusal::BadCredentials(_) => "A token was presented and is not valid.",
        Refusal::Unproven(_) => "A token is bound to a key, and the request does not prove it.",
        Refusal::InvalidKey(_) => {
            "An API key was presented that is mistyped, unknown, expired, revoked or suspended; the log has the reason."
        }
        Refusal::KeyElsewhere { .. } => {
            "A valid API key was presented on a route that is not among its routes."
        }
        Refusal::CredentialsDisagree => {
            "Two credentials for the gateway, such as a token and a session cookie, name two callers."
        }
        Refusal::LoginNeeded { redirect: true, .. } => {
            "The caller is not signed in: a browser's navigation is redirected to sign in."
        }
        Refusal::LoginNeeded { .. } => {
            "The caller is not signed in: other requests get a challenge."
        }
        Refusal::StrongerSignInNeeded { redirect: true, .. } => {
            "Only a stronger or newer sign-in is missing: a browser's navigation is redirected to sign in again."
        }
        Refusal::StrongerSignInNeeded { .. } => {
            "Only a stronger or newer sign-in is missing: other requests get a challenge (RFC 9470)."
        }
        Refusal::Forbidden { .. } => {
            "The caller is known and lacks what the deciding rule requires."
        }
        Refusal::ForeignOrigin { .. } => "A WebSocket or a form came from another site's page.",
        Refusal::BodyTooLarge { .. } => "The body is larger than `limits.body`.",
        Refusal::UpstreamUnavailable { .. } => {
            "The upstream cannot be reached, or broke off before its answer began."
        }
        Refusal::UpstreamInvalid { .. } => {
            "The upstream's answer has a header section that is too large, or breaks a rule of HTTP."
        }
        Refusal::UpstreamTimeout { .. } => {
            "The upstream did not begin its answer within `timeouts.response_head`."
        }
        Refusal::TooMany { .. } => {
            "One address, or all of them together, asked for more sign-ins, or sent more tokens that only the issuer can read, than the issuer is asked about; or sent too many wrong API keys."
        }
        Refusal::UserLimitReached { .. } => {
            "The user has reached a bound of the route's `limits.per_user`."
        }
        Refusal::McpMessage(_) => {
            "The rules of the route speak of messages of MCP, and the message is of an older revision, is a batch, or its body and its header fields disagree."
        }
        Refusal::StreamWithoutUsage { .. } => {
            "The request asks for a stream without usage, on a route with `limits.per_user.tokens_per_day`."
        }
        Refusal::ProviderUnavailable { .. } => {
            "The issuer cannot be reached, and the request cannot be decided without it."
        }
        Refusal::IssuerMisconfigured { .. } => {
            "The issuer cannot be used until its configuration is corrected, here or at the provider."
        }
        Refusal::ExchangeRefused { .. } => {
            "The issuer gives no token for the upstream in exchange for the caller's: `identity.access_token.exchange`."
        }
        Refusal::ExchangeInvalid { .. } => {
            "The issuer's answer to a token exchange is no token that an upstream could take."
        }
        Refusal::StoreUnavailable { .. } => "The session store cannot be reached.",
        Refusal::SignInFailed { .. } => {
            "A sign-in did not finish; what was wrong with it has a code of its own."
        }
        Refusal::Draining => "The gateway is shutting down.",
        Refusal::Internal { .. } => "A fault of the gateway's own.",
    }
}

fn one_of_each() -> Vec<Refusal> {
    let login = |redirect| Refusal::LoginNeeded {
        route: String::new(),
        redirect,
        return_to: String::new(),
        level: None,
    };
    let stronger = |redirect| Refusal::StrongerSignInNeeded {
        route: String::new(),
        redirect,
        return_to: String::new(),
        needed: Box::default(),
    };
    vec![
        Refusal::Malformed { status: StatusCode::BAD_REQUEST, reason: "".into() },
        Refusal::Misdirected { instead: String::new() },
        Refusal::NoRoute,
        Refusal::BodyTooLarge { limit: 0 },
        Refusal::InvalidKey(api_keys::KeyRefusal::Malformed),
        Refusal::KeyElsewhere { id: String::new(), route: String::new() },
        Refusal::CredentialsDisagree,
        login(true),
        login(false),
        stronger(true),
        stronger(false),
        Refusal::SignInFailed { reason: "".into(), code: "login_failed", return_to: String::new() },
        Refusal::Forbidden {
            route: String::new(),
            title: String::new(),
            who: String::new(),
            rule: None,
            unmet: Box::default(),
            bearer: false,
        },
        Refusal::ForeignOrigin { origin: String::new() },
        Refusal::UpstreamUnavailable { route: String::new(), reason: String::new() },
        Refusal::UpstreamInvalid { route: String::new(), reason: String::new(), too_large: false },
        Refusal::UpstreamTimeout { route: String::new(), after: Duration::ZERO },
        Refusal::TooMany { what: "", retry_after: Duration::ZERO },
        Refusal::UserLimitReached {
            route: String::new(),
            limit: "concurrent_requests",
            most: 0,
            retry_after: Duration::ZERO,
        },
        Refusal::McpMessage(McpFault::Batch),
        Refusal::StreamWithoutUsage { route: String::new() },
        Refusal::ProviderUnavailable { issuer: String::new(), reason: String::new() },
        Refusal::IssuerMisconfigured { issuer: String::new(), reason: String::new() },
        Refusal::ExchangeRefused {
            route: String::new(),
            issuer: String::new(),
            reason: String::new(),
        },
        Refusal::ExchangeInvalid {
            route: String::new(),
            issuer: String::new(),
            reason: String::new(),
        },
        Refusal::StoreUnavailable { reason: String::new() },
        Refusal::Draining,
        Refusal::Internal { reason: String::new() },
    ]
}
