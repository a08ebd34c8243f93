//! Tokens for tests: valid ones, and ones that are wrong in exactly one chosen way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::grant::Grant;
use crate::identifiers::{random_handle, random_session_id, random_uuid};
use crate::issuer::DevIssuer;
use crate::job::Job;
use crate::jws;
use crate::keys::KeyError;
use crate::product::{AccessForm, Unsigned};
use crate::scope::Scope;
use crate::sessions::SessionMark;
use crate::tokens::{Entitlement, LOWEST_LEVEL, Stamp, logout_claims, set_audience};

/// Lifetime of a job's token.
const JOBS_LAST: Duration = Duration::from_secs(300);

/// Order for a token outside any flow. The token of a person belongs to no session, so introspection and
/// userinfo do not accept it. For tokens that are active there, use [`DevIssuer::log_in`].
///
/// ```
/// use dev_issuer::Mint;
///
/// let other_audience = Mint::access("alice").client("gateway").audience(["other-service"]);
/// let wrong_type = Mint::access("alice").header("typ", "at+jwt").without("aud");
/// ```
#[derive(Clone, Debug)]
#[must_use = "hand it to `DevIssuer::mint`"]
pub struct Mint {
    kind: Kind,
    about: String,
    job: Option<Job>,
    client: Option<String>,
    audience: Option<Vec<String>>,
    scope: String,
    nonce: Option<String>,
    sid: Option<String>,
    issuer: Option<String>,
    lifetime: Option<Duration>,
    expired: bool,
    not_before_in: Option<Duration>,
    claims: Vec<(String, Option<Value>)>,
    headers: Vec<(String, Option<Value>)>,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Id,
    Refresh,
    Logout,
    Service,
}

#[derive(Clone, Copy, Debug)]
enum Signature {
    Good,
    By(Algorithm),
    WrongKey,
    Unsigned,
    HmacWithPublicKey,
}

/// Reason a token could not be minted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// No such person at this provider.
    #[error("unknown user {0:?}: add it to the provider first")]
    UnknownUser(String),
    /// No such client at this provider.
    #[error("unknown client {0:?}: add it to the provider first")]
    UnknownClient(String),
    /// The provider has no client that could be the default.
    #[error("missing client: add one to the provider first")]
    NoClient,
    /// The unpublished key could not be generated.
    #[error("missing signing key")]
    Key(#[source] KeyError),
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

impl Mint {
    /// An access token of this person.
    pub fn access(username: impl Into<String>) -> Self {
        Self::new(Kind::Access, username.into())
    }

    /// An ID token of this person.
    pub fn id(username: impl Into<String>) -> Self {
        Self::new(Kind::Id, username.into())
    }

    /// A refresh token of this person. The token endpoint refuses it, as it has no session.
    pub fn refresh(username: impl Into<String>) -> Self {
        Self::new(Kind::Refresh, username.into())
    }

    /// A logout token about this person.
    pub fn logout(username: impl Into<String>) -> Self {
        Self::new(Kind::Logout, username.into())
    }

    /// The access token that this client gets for itself (client credentials).
    pub fn service(client: impl Into<String>) -> Self {
        let client = client.into();
        Self { client: Some(client.clone()), ..Self::new(Kind::Service, client) }
    }

    /// The token that a platform gives this job. It names no user and no client; set its audience.
    pub fn job(job: Job) -> Self {
        Self { job: Some(job), ..Self::new(Kind::Access, String::new()) }
    }

    fn new(kind: Kind, about: String) -> Self {
        Self {
            kind,
            about,
            job: None,
            client: None,
            audience: None,
            scope: "openid profile email".to_owned(),
            nonce: None,
            sid: None,
            issuer: None,
            lifetime: None,
            expired: false,
            not_before_in: None,
            claims: Vec::new(),
            headers: Vec::new(),
            signature: Signature::Good,
        }
    }

    /// The client it was issued to (`azp`; `aud` of an ID token); the first registered one by default.
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client = Some(id.into());
        self
    }

    /// Sets `aud`, replacing the default.
    pub fn audience(mut self, audience: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.audience = Some(audience.into_iter().map(Into::into).collect());
        self
    }

    /// Sets `scope`, replacing the default.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Sets `nonce` (ID tokens).
    pub fn nonce(mut self, nonce: impl Into<String>) -> Self {
        self.nonce = Some(nonce.into());
        self
    }

    /// Sets `sid`; a new one by default.
    pub fn sid(mut self, sid: impl Into<String>) -> Self {
        self.sid = Some(sid.into());
        self
    }

    /// Sets another issuer in `iss`.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the lifetime, from now.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Makes the token expire an hour ago.
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Sets `nbf` to this time from now.
    pub fn not_before_in(mut self, delay: Duration) -> Self {
        self.not_before_in = Some(delay);
        self
    }

    /// Sets a claim, replacing its value.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.push((name.into(), Some(value.into())));
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.claims.push((name.into(), None));
        self
    }

    /// Sets a member of the header, replacing its value. Does not change how the token is signed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Leaves a member of the header out.
    pub fn without_header(mut self, name: impl Into<String>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// Signs with this algorithm: with the provider's key for it if there is one, or else with the
    /// current key, which must fit the algorithm.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.signature = Signature::By(algorithm);
        self
    }

    /// Signs with a key that is not published, under the `kid` of the current one.
    pub fn wrong_key(mut self) -> Self {
        self.signature = Signature::WrongKey;
        self
    }

    /// Sets `alg: none` and leaves out the signature.
    pub fn unsigned(mut self) -> Self {
        self.signature = Signature::Unsigned;
        self
    }

    /// Signs with `alg: HS256` and the public key's PEM as the shared secret: the classic algorithm
    /// confusion.
    pub fn hmac_with_public_key(mut self) -> Self {
        self.signature = Signature::HmacWithPublicKey;
        self
    }
}

impl DevIssuer {
    /// Signs the ordered token.
    ///
    /// # Errors
    /// If the person or client is unknown here, no client is registered, or signing fails.
    pub fn mint(&self, order: Mint) -> Result<String, MintError> {
        let Unsigned { typ, mut claims } = self.minted(&order)?;
        if let Some(delay) = order.not_before_in {
            let begins = self.provider.clock.seconds() + delay.as_secs();
            claims.insert("nbf".to_owned(), json!(begins));
        }
        for (name, value) in order.claims {
            match value {
                Some(value) => drop(claims.insert(name, value)),
                None => drop(claims.remove(&name)),
            }
        }
        let keys = &self.provider.keys;
        let usual = &self.provider.token_algorithms;
        let ordered = match (order.signature, order.kind) {
            (Signature::By(algorithm), _) => Some(algorithm),
            (Signature::Good, Kind::Access | Kind::Service) => usual.access,
            (Signature::Good, Kind::Id) => usual.id,
            (Signature::Good, Kind::Logout) => usual.logout,
            _ => None,
        };
        let current = keys.signing_with(ordered.unwrap_or(keys.algorithm()));
        let mut header = self.provider.header(&current, typ);
        let algorithm = match order.signature {
            Signature::By(algorithm) => algorithm,
            _ => current.algorithm(),
        };
        header.insert("alg".to_owned(), json!(order.signature.name(algorithm)));
        for (name, value) in order.headers {
            match value {
                Some(value) => drop(header.insert(name, value)),
                None => drop(header.remove(&name)),
            }
        }
        let token = match order.signature {
            Signature::Good | Signature::By(_) => {
                jws::sign(&header, &claims, current.signs(), algorithm.into())?
            }
            Signature::WrongKey => {
                let unpublished = keys.unpublished().map_err(MintError::Key)?;
                jws::sign(&header, &claims, unpublished.signs(), algorithm.into())?
            }
            Signature::Unsigned => format!("{}.", jws::signing_input(&header, &claims)?),
            Signature::HmacWithPublicKey => {
                let key = jsonwebtoken::EncodingKey::from_secret(current.public_pem().as_bytes());
                jws::sign(&header, &claims, &key, jsonwebtoken::Algorithm::HS256)?
            }
        };
        Ok(token)
    }

    /// The ordered token in the provider's product. A product with opaque access tokens has Keycloak's here.
    fn minted(&self, order: &Mint) -> Result<Unsigned, MintError> {
        if let Some(job) = &order.job {
            let stamp = self.minted_stamp(order, order.lifetime.unwrap_or(JOBS_LAST));
            return Ok(job.token(&stamp, order.audience.as_deref().unwrap_or_default()));
        }
        let entitled = self.entitlement(order)?;
        let lifetime = self.provider.access_token_lifetime(&entitled.client);
        let stamp = self.minted_stamp(order, order.lifetime.unwrap_or(lifetime));
        let sid = entitled.session.as_ref().map(|session| session.id.as_str());
        let product = self.provider.product;
        let mut typ = Some("JWT");
        let mut claims = match order.kind {
            Kind::Access | Kind::Service => {
                let own = entitled.access_claims(&stamp);
                match product.access(&entitled, &own) {
                    AccessForm::Own | AccessForm::Opaque => own,
                    AccessForm::IdToken => product.id(&entitled, entitled.id_claims(&stamp, None)),
                    AccessForm::Jwt(token) => {
                        typ = token.typ;
                        token.claims
                    }
                }
            }
            Kind::Id => product.id(&entitled, entitled.id_claims(&stamp, None)),
            Kind::Refresh => entitled.refresh_claims(&stamp, &random_uuid(), &random_handle()),
            Kind::Logout => logout_claims(
                &stamp,
                &entitled.user.subject,
                &entitled.client.id,
                sid.unwrap_or_default(),
            ),
        };
        if order.kind == Kind::Logout {
            typ = Some("logout+jwt");
        }
        if let Some(audience) = &order.audience {
            set_audience(&mut claims, audience.clone());
        }
        Ok(Unsigned { typ, claims })
    }

    fn minted_stamp(&self, order: &Mint, lifetime: Duration) -> Stamp {
        let mut stamp = self.provider.stamp(lifetime);
        if order.expired {
            stamp.now = stamp.now.saturating_sub(3600 + lifetime.as_secs());
            stamp.expires = stamp.now + lifetime.as_secs();
        }
        if let Some(issuer) = &order.issuer {
            stamp.issuer.clone_from(issuer);
        }
        stamp
    }

    fn entitlement(&self, order: &Mint) -> Result<Entitlement, MintError> {
        let registry = &self.provider.registry;
        let client = match &order.client {
            Some(id) => registry.client(id).ok_or_else(|| MintError::UnknownClient(id.clone()))?,
            None => registry.first_client().ok_or(MintError::NoClient)?,
        };
        let scope = Scope::parse(&order.scope);
        if order.kind == Kind::Service {
            let mut own = Scope::default();
            scope.words().filter(|word| *word != "openid").for_each(|word| own.add(word));
            return Ok(Entitlement::of_machine(client, own));
        }
        let user = registry.user(&order.about);
        let user = user.ok_or_else(|| MintError::UnknownUser(order.about.clone()))?;
        let session = SessionMark {
            id: order.sid.clone().unwrap_or_else(random_session_id),
            auth_time: self.provider.clock.now(),
            level: LOWEST_LEVEL.to_owned(),
        };
        Ok(Entitlement {
            nonce: order.nonce.clone(),
            ..Entitlement::of_person(user, client, scope, session, Grant::AuthorizationCode)
        })
    }
}

impl Signature {
    /// The `alg` of the header, where `algorithm` is that of a valid signature.
    fn name(self, algorithm: Algorithm) -> String {
        match self {
            Self::Good | Self::By(_) | Self::WrongKey => algorithm.to_string(),
            Self::Unsigned => "none".to_owned(),
            Self::HmacWithPublicKey => "HS256".to_owned(),
        }
    }
}
