//! Answers of the test issuer.

use std::sync::Arc;

use ::http::{Request, Response};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use url::Url;

use super::{SUBJECT, TestIssuer, TestKey, answer};

/// The request that a code was issued for.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    client_id: String,
    redirect_uri: String,
    nonce: Option<String>,
    challenge: String,
}

/// An answer that a test has set.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    status: u16,
    content_type: String,
    body: String,
}

pub(super) fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        "authorization_response_iss_parameter_supported": true,
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
    })
}

pub(super) fn jwks(keys: &[Arc<TestKey>]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

type Pairs = Vec<(String, String)>;

fn value<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

impl TestIssuer {
    /// Logs a user in: follows the authorization URL and returns the query of the redirect back.
    pub fn authorize(&self, url: &Url) -> String {
        let mut request: Pairs = url.query_pairs().into_owned().collect();
        if let Some(uri) = value(&request, "request_uri") {
            let client_id = value(&request, "client_id").map(str::to_owned);
            request = self.state().pushed.remove(uri).expect("the request was pushed");
            assert_eq!(value(&request, "client_id").map(str::to_owned), client_id);
        }
        assert_eq!(value(&request, "response_type"), Some("code"));
        assert_eq!(value(&request, "code_challenge_method"), Some("S256"));
        let code = format!("code-{}", self.serial());
        let granted = Granted {
            client_id: value(&request, "client_id").expect("client_id").to_owned(),
            redirect_uri: value(&request, "redirect_uri").expect("redirect_uri").to_owned(),
            nonce: value(&request, "nonce").map(str::to_owned),
            challenge: value(&request, "code_challenge").expect("code_challenge").to_owned(),
        };
        self.state().codes.insert(code.clone(), granted);
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", value(&request, "state").expect("state"))
            .append_pair("iss", self.issuer().as_str())
            .append_pair("session_state", "s")
            .finish()
    }

    pub(super) fn respond(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        let fixed = {
            let state = self.state();
            state
                .answers
                .iter()
                .find(|(suffix, _)| path.ends_with(suffix.as_str()))
                .map(|(_, a)| a.clone())
        };
        if let Some(Fixed { status, content_type, body }) = fixed {
            return answer(status, &content_type, body);
        }
        let form: Pairs = url::form_urlencoded::parse(request.body()).into_owned().collect();
        let name = path.rsplit('/').next().unwrap_or_default();
        let (status, body) = match name {
            "openid-configuration" => (200, self.state().metadata.clone()),
            "jwks" => (200, jwks(&self.state().keys)),
            "token" => self.token(&form),
            "par" => {
                let uri = format!("urn:ietf:params:oauth:request_uri:{}", self.serial());
                self.state().pushed.insert(uri.clone(), form);
                (201, json!({"request_uri": uri, "expires_in": 60}))
            }
            "userinfo" => (200, json!({"sub": SUBJECT, "name": "Alice Example"})),
            "revoke" => (200, json!({})),
            _ => (404, json!({})),
        };
        answer(status, "application/json", body.to_string())
    }

    fn token(&self, form: &[(String, String)]) -> (u16, Value) {
        match value(form, "grant_type") {
            Some("authorization_code") => self.exchange(form),
            Some("refresh_token") => (200, self.token_set("gateway", None)),
            Some("client_credentials") => {
                let token = self.access_token(value(form, "audience").unwrap_or("account"));
                (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": 300}))
            }
            _ => (400, json!({"error": "unsupported_grant_type"})),
        }
    }

    fn exchange(&self, form: &[(String, String)]) -> (u16, Value) {
        let granted = value(form, "code").and_then(|code| self.state().codes.remove(code));
        let verifier = value(form, "code_verifier").unwrap_or_default();
        let challenge =
            URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        match granted {
            Some(granted)
                if granted.challenge == challenge
                    && value(form, "redirect_uri") == Some(granted.redirect_uri.as_str()) =>
            {
                (200, self.token_set(&granted.client_id, granted.nonce.as_deref()))
            }
            _ => (400, json!({"error": "invalid_grant", "error_description": "Code not valid"})),
        }
    }

    /// Answers like this, of this media type, on paths that end in `path`.
    pub fn answer_as(&self, path: &str, status: u16, content_type: &str, body: impl Into<String>) {
        let fixed = Fixed { status, content_type: content_type.to_owned(), body: body.into() };
        self.state().answers.insert(path.to_owned(), fixed);
    }

    /// A token response as Keycloak writes it.
    pub fn token_set(&self, client_id: &str, nonce: Option<&str>) -> Value {
        let access_token = self.access_token(client_id);
        let mut claims = self.id_claims(client_id, nonce);
        if self.signing_key().algorithm().as_str().ends_with("256") {
            let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
            claims["at_hash"] = json!(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
        }
        json!({
            "access_token": access_token, "expires_in": 300, "refresh_expires_in": 1800,
            "refresh_token": format!("refresh-{}", self.serial()), "token_type": "bearer",
            "id_token": self.sign(&claims), "not-before-policy": 0, "session_state": "s",
            "scope": "openid profile",
        })
    }
}
