//! The provider's state, which all endpoints share.
//!
//! Holds the realm's registry, keys and lifetimes, and issues tokens. Each part of the state is
//! changed through the type that owns it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::authorization_request::AuthorizationRequest;
use crate::backchannel::Backchannel;
use crate::client::DevClient;
use crate::clock::{Clock, seconds};
use crate::codes::Codes;
use crate::cookies::Cookies;
use crate::devices::Devices;
use crate::dialect::Dialect;
use crate::dpop::Proofs;
use crate::faults::{Endpoint, Fault, Faults};
use crate::forms::Forms;
use crate::grant::GrantCounts;
use crate::jws::{self, Claims};
use crate::keys::{Keys, SigningKey};
use crate::presented_tokens::PresentedTokens;
use crate::product::{AccessForm, Product, Unsigned};
use crate::public_keys::TrustedIssuers;
use crate::pushed_requests::PushedRequests;
use crate::registry::Registry;
use crate::sessions::{Link, Session, Sessions};
use crate::shared::Shared;
use crate::token_response::TokenResponse;
use crate::tokens::{self, Entitlement, Stamp};
use crate::used_identifiers::UsedIdentifiers;

#[derive(Clone, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
    pub(crate) session: Duration,
}

/// Signature algorithms of tokens, where they differ from the first key's.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenAlgorithms {
    pub(crate) access: Option<Algorithm>,
    pub(crate) id: Option<Algorithm>,
    pub(crate) logout: Option<Algorithm>,
}

impl TokenAlgorithms {
    pub(crate) fn all(&self) -> impl Iterator<Item = Algorithm> {
        [self.access, self.id, self.logout].into_iter().flatten()
    }
}

#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) product: Product,
    /// The issuer identifier.
    pub(crate) issuer: String,
    /// Beginning of the endpoints that clients call: the issuer identifier without a trailing slash, unless it has a public URL.
    pub(crate) base: String,
    /// Path of [`Provider::base`].
    pub(crate) path: String,
    pub(crate) dialect: Shared<Dialect>,
    pub(crate) realm: String,
    pub(crate) clock: Clock,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) rotate_refresh_tokens: bool,
    /// Levels of sign-in that it has (`acr`).
    pub(crate) sign_in_levels: Vec<String>,
    pub(crate) registry: Registry,
    pub(crate) keys: Keys,
    pub(crate) token_algorithms: TokenAlgorithms,
    pub(crate) announced: Option<Vec<Algorithm>>,
    pub(crate) sessions: Sessions,
    pub(crate) codes: Codes,
    pub(crate) devices: Devices,
    pub(crate) pushed_requests: PushedRequests,
    pub(crate) forms: Forms,
    pub(crate) cookies: Cookies,
    pub(crate) faults: Faults,
    pub(crate) grants: GrantCounts,
    pub(crate) used_assertions: UsedIdentifiers,
    pub(crate) proofs: Proofs,
    pub(crate) presented: PresentedTokens,
    pub(crate) trusted: TrustedIssuers,
    pub(crate) backchannel: Backchannel,
}

impl Provider {
    /// An endpoint's URL for clients, from its path under the issuer.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// An endpoint's URL for browsers.
    pub(crate) fn public_at(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.trim_end_matches('/'))
    }

    /// The header of a token that `key` signs, with this `typ`.
    pub(crate) fn header(&self, key: &SigningKey, typ: Option<&str>) -> Claims {
        let mut header = jws::header(key, typ);
        if !self.dialect.lock().names_keys() {
            header.remove("kid");
        }
        header
    }

    /// The issuer that this endpoint states; another one under [`Fault::WrongIssuer`].
    pub(crate) fn stated_issuer(&self, endpoint: Endpoint) -> String {
        match self.faults.active(endpoint) {
            Fault::WrongIssuer => format!("{}-impostor", self.issuer),
            _ => self.issuer.clone(),
        }
    }

    /// Signs a user in, at the lowest level.
    pub(crate) fn begin_session(&self, username: &str) -> Session {
        self.begin_session_of(username, tokens::LOWEST_LEVEL)
    }

    /// Signs a user in for a request, at the level that it asks for.
    pub(crate) fn begin_session_for(
        &self,
        request: &AuthorizationRequest,
        username: &str,
    ) -> Session {
        let level = request.level(&self.sign_in_levels);
        self.begin_session_of(username, level.unwrap_or(tokens::LOWEST_LEVEL))
    }

    fn begin_session_of(&self, username: &str, level: &str) -> Session {
        let now = self.clock.now();
        self.sessions.begin(username, level, now, now + self.lifetimes.session)
    }

    /// Lifetime of an access token for this client.
    pub(crate) fn access_token_lifetime(&self, client: &DevClient) -> Duration {
        client.access_token_lifetime.unwrap_or(self.lifetimes.access_token)
    }

    pub(crate) fn stamp(&self, lifetime: Duration) -> Stamp {
        let now = self.clock.seconds();
        Stamp {
            issuer: self.stated_issuer(Endpoint::Token),
            realm: self.realm.clone(),
            now,
            expires: now + lifetime.as_secs(),
        }
    }

    /// `id_token_signing_alg_values_supported` of discovery.
    pub(crate) fn announced_algorithms(&self) -> Value {
        let announced = match &self.announced {
            Some(announced) => announced.clone(),
            None => self.keys.algorithms().collect(),
        };
        let names: Vec<_> = announced.iter().map(Algorithm::to_string).collect();
        json!(names)
    }

    /// Signs with the first of the current keys.
    pub(crate) fn sign(
        &self,
        claims: &Claims,
        typ: &str,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign_with(None, claims, Some(typ))
    }

    /// Signs with the current key for this algorithm, or with the first.
    fn sign_with(
        &self,
        algorithm: Option<Algorithm>,
        claims: &Claims,
        typ: Option<&str>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let algorithm = algorithm.unwrap_or(self.keys.algorithm());
        let key = self.keys.signing_with(algorithm);
        jws::sign(&self.header(&key, typ), claims, key.signs(), key.algorithm().into())
    }

    /// The tokens that `entitled` is entitled to; a refresh token if there is a link for it.
    pub(crate) fn issue(
        &self,
        entitled: &Entitlement,
        refresh: Option<&Link>,
    ) -> Result<TokenResponse, jsonwebtoken::errors::Error> {
        let lifetime = self.access_token_lifetime(&entitled.client);
        let stamp = self.stamp(lifetime);
        let algorithms = &self.token_algorithms;
        let mut access_claims = entitled.access_claims(&stamp);
        self.dialect.lock().change_access_token(&mut access_claims);
        let own = self.sign_with(algorithms.access, &access_claims, Some("JWT"))?;
        let access_token = match self.product.access(entitled, &access_claims) {
            _ if entitled.client.opaque_access_tokens => self.presented.issue_opaque(own),
            AccessForm::Own => own,
            AccessForm::Opaque => self.presented.issue_opaque(own),
            AccessForm::Jwt(Unsigned { typ, claims }) => {
                self.presented.stands_for(self.sign_with(algorithms.access, &claims, typ)?, own)
            }
            AccessForm::IdToken => {
                self.presented.stands_for(self.sign_id(entitled, &stamp, None)?, own)
            }
        };
        let id_token = match entitled.scope.contains("openid") && entitled.session.is_some() {
            true => Some(self.sign_id(entitled, &stamp, Some(&access_token))?),
            false => None,
        };
        let refresh = refresh.filter(|_| self.product.refreshes(entitled));
        let refresh_stamp = self.stamp(self.refresh_token_lifetime(entitled));
        let refresh_token = match refresh {
            Some(link) => Some(self.sign_refresh(entitled, &refresh_stamp, link)?),
            None => None,
        };
        Ok(TokenResponse {
            access_token,
            id_token,
            refresh_expires_in: match refresh_token {
                Some(_) => refresh_stamp.expires.saturating_sub(refresh_stamp.now),
                None => 0,
            },
            refresh_token,
            token_type: entitled.token_type(),
            expires_in: lifetime.as_secs(),
            scope: entitled.scope.to_string(),
            session_state: entitled.session.as_ref().map(|session| session.id.clone()),
        })
    }

    /// An ID token, with `at_hash` of the access token that is issued beside it.
    fn sign_id(
        &self,
        entitled: &Entitlement,
        stamp: &Stamp,
        access_token: Option<&str>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let algorithm = self.token_algorithms.id.unwrap_or(self.keys.algorithm());
        let mut claims = entitled.id_claims(stamp, access_token.map(|token| (token, algorithm)));
        if self.faults.active(Endpoint::Token) == Fault::WrongNonce {
            claims.insert("nonce".to_owned(), json!("not-the-nonce-that-was-sent"));
        }
        self.dialect.lock().change_id_token(&mut claims);
        let sign = |claims: &Claims| self.sign_with(self.token_algorithms.id, claims, Some("JWT"));
        if self.product == Product::Keycloak {
            return sign(&claims);
        }
        let own = sign(&claims)?;
        let presented = sign(&self.product.id(entitled, claims))?;
        Ok(self.presented.stands_for(presented, own))
    }

    /// Lifetime of a refresh token, which never exceeds that of its session.
    fn refresh_token_lifetime(&self, entitled: &Entitlement) -> Duration {
        let session = entitled.session.as_ref();
        let live = session.and_then(|mark| self.sessions.live(&mark.id, self.clock.now()));
        let left = live.and_then(|session| self.time_until(session.ends_at));
        left.map_or(self.lifetimes.refresh_token, |left| left.min(self.lifetimes.refresh_token))
    }

    fn time_until(&self, end: SystemTime) -> Option<Duration> {
        let left = seconds(end).checked_sub(self.clock.seconds())?;
        Some(Duration::from_secs(left))
    }

    pub(crate) fn sign_refresh(
        &self,
        entitled: &Entitlement,
        stamp: &Stamp,
        link: &Link,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = entitled.refresh_claims(stamp, &link.jti, &link.chain);
        let mut header = Claims::new();
        header.insert("alg".to_owned(), json!("HS512"));
        header.insert("typ".to_owned(), json!("JWT"));
        header.insert("kid".to_owned(), json!("dev-refresh"));
        let key = jsonwebtoken::EncodingKey::from_secret(self.keys.refresh_secret());
        jws::sign(&header, &claims, &key, jsonwebtoken::Algorithm::HS512)
    }

    /// The claims of an access token of this provider that is active now: signed, unexpired, not
    /// revoked, its session alive.
    pub(crate) fn live_access_token(&self, token: &str) -> Option<Claims> {
        let claims = jws::open(&self.presented.resolve(token), &self.keys).ok()?;
        let is_access = matches!(jws::text(&claims, "typ"), Some("Bearer" | "DPoP"));
        (is_access && self.is_live(&claims)).then_some(claims)
    }

    /// True if these claims are unexpired and not revoked, and their session has the client.
    pub(crate) fn is_live(&self, claims: &Claims) -> bool {
        let now = self.clock.now();
        let revoked = jws::text(claims, "jti").is_none_or(|jti| self.sessions.is_revoked(jti));
        let session_lives = match (jws::text(claims, "sid"), jws::text(claims, "azp")) {
            (Some(sid), Some(client)) => self.sessions.has_client(sid, client, now),
            (Some(_), None) => false,
            (None, _) => true,
        };
        !revoked && session_lives && jws::is_current(claims, seconds(now))
    }

    /// Ends a session and notifies its clients. Returns the number of clients that answered with 2xx.
    pub(crate) async fn end_session(&self, session: &Session) -> usize {
        if self.sessions.end(&session.id).is_none() {
            return 0;
        }
        let Some(user) = self.registry.user(&session.username) else { return 0 };
        let stamp = self.stamp(Duration::from_secs(120));
        let clients: Vec<DevClient> =
            session.clients().filter_map(|id| self.registry.client(id)).collect();
        let messages = clients.iter().filter_map(|client| {
            let uri = client.backchannel_logout_uri.clone()?;
            let claims = tokens::logout_claims(&stamp, &user.subject, &client.id, &session.id);
            match self.sign_with(self.token_algorithms.logout, &claims, Some("logout+jwt")) {
                Ok(token) => Some((uri, token)),
                Err(error) => {
                    tracing::warn!(client = client.id, %error, "logout token not signed");
                    None
                }
            }
        });
        self.backchannel.deliver(messages.collect()).await
    }
}
