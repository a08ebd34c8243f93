//! `session`: the end of the session, as JSON; `session/refresh`: fresh tokens now.
//!
//! Asking does not count as activity, so that a page may ask every minute without keeping an idle session alive.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::Response;
use serde_json::json;
use web_sessions::{LiveSession, RenewError};

use crate::{
    endpoints::{Call, Endpoints, json, sign_in_needed},
    refusal::Refusal,
};

impl Endpoints {
    pub(super) async fn session(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let Some(session) = self.session_of(&call.request).await? else {
            return Err(sign_in_needed(&call));
        };
        Ok(self.describe(&session))
    }

    pub(super) async fn session_refresh(&self, call: Call) -> Result<Response<Body>, Refusal> {
        self.same_origin(&call.request)?;
        let Some(session) = self.session_of(&call.request).await? else {
            return Err(sign_in_needed(&call));
        };
        match self.sessions.renew_now(&session).await {
            Ok(_) => {
                let headers = call.request.headers();
                if let Some(presented) = self.cookies.session_ticket(headers) {
                    let newer =
                        self.cookies.newer_session(headers, &presented, &session, self.lifetime);
                    call.notes.set_cookies(newer);
                }
                Ok(self.describe(&session))
            }
            Err(error) if error.session_ended() => Err(sign_in_needed(&call)),
            Err(RenewError::Store(error)) => Err(error.into()),
            Err(error) => Err(Refusal::ProviderUnavailable {
                issuer: session.known().issuer.clone(),
                reason: error.to_string(),
            }),
        }
    }

    fn describe(&self, session: &LiveSession) -> Response<Body> {
        let ends = self.sessions.ends(session);
        let answer = json!({
            "session": session.id().as_str(),
            "ends_at": seconds(ends.lifetime_at),
            "idle_ends_at": seconds(ends.idle_at),
            "token_expires_at": seconds(ends.token_at),
        });
        json(&answer)
    }
}

/// Seconds since 1970, as `exp` counts them (RFC 7519 §2).
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
