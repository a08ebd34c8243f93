//! The identity assertion: a short-lived JWT ([RFC 7519]) in which the gateway vouches for a caller to an upstream.
//!
//! It is signed with ES256, for one route (`aud`), and valid for a minute. It is made once for each identity and route and
//! reused while it has time left, so that a request costs no signature.
//!
//! [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oidc_core::Clock;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::{identity::IdentityHeaders, templates::filled};
use crate::route::{Route, SetFields};
use access_policy::Known;
use web_sessions::P256Key;

/// `x-doorward-assertion`
pub const X_DOORWARD_ASSERTION: HeaderName = HeaderName::from_static("x-doorward-assertion");

/// Lifetime of an assertion.
const LIFE: Duration = Duration::from_secs(60);
/// Remaining lifetime that an assertion must have when it is sent.
const LEFT: Duration = Duration::from_secs(20);
/// Most identities whose header values are kept.
const IDENTITIES: u64 = 20_000;
/// Most sets of groups for which one identity is kept.
const NARROWED: usize = 64;
/// Most routes whose fields are kept for one identity.
const FILLED: usize = 64;
const IDENTITY_IDLE: Duration = Duration::from_secs(300);

/// Signs assertions, and remembers what it signed.
pub struct Assertions {
    signer: ArcSwap<Signer>,
    clock: Arc<dyn Clock>,
    /// Keyed by the address of the identity, which its entry keeps alive.
    entries: moka::sync::Cache<usize, Arc<CallerHeaders>>,
}

/// Reason an assertion was not made.
#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    /// There is no key to sign with.
    #[error("no key to sign assertions with")]
    NoKey,
    /// The signature failed.
    #[error("cannot sign the assertion: {0}")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// The result is not a valid header value; never with a key that signs.
    #[error("the assertion is no header value: {0}")]
    Header(#[source] http::header::InvalidHeaderValue),
}

/// The gateway's name and the keys that it signs with.
pub struct Signer {
    issuer: String,
    header: Header,
    key: EncodingKey,
    published: Value,
}

/// One identity: its header values, and the assertions made for it.
pub(super) struct CallerHeaders {
    known: Arc<Known>,
    pub(super) headers: Arc<IdentityHeaders>,
    assertions: Mutex<Vec<Signed>>,
    /// The same identity with the groups that some route sends.
    narrowed: Mutex<Vec<Narrowed>>,
    /// The fields that some route fills from this identity.
    filled: Mutex<Vec<Filled>>,
}

struct Narrowed {
    groups: Arc<BTreeSet<String>>,
    known: Arc<Known>,
}

struct Filled {
    fields: Arc<SetFields>,
    values: Arc<[(HeaderName, HeaderValue)]>,
}

struct Signed {
    audience: String,
    expires_at: SystemTime,
    value: HeaderValue,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    /// The issuer that vouches for `sub`; `iss` is the gateway.
    idp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    roles: &'a [String],
    client_roles: &'a BTreeMap<String, Vec<String>>,
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: String,
}

impl Assertions {
    /// Signs as this signer.
    pub fn new(signer: Signer, clock: Arc<dyn Clock>) -> Self {
        Self {
            signer: ArcSwap::from_pointee(signer),
            clock,
            entries: moka::sync::Cache::builder()
                .max_capacity(IDENTITIES)
                .time_to_idle(IDENTITY_IDLE)
                .build(),
        }
    }

    /// Signs as another from now on, and forgets what was signed before.
    pub fn replace(&self, signer: Signer) {
        self.signer.store(Arc::new(signer));
        self.entries.invalidate_all();
    }

    /// The public keys as a JWK Set ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
    pub fn jwks(&self) -> Value {
        self.signer.load().published.clone()
    }

    /// The identity that the upstream of a route receives: with all groups, or with those that the route sends.
    pub fn seen_by(&self, known: &Arc<Known>, route: &Route) -> Arc<Known> {
        let Some(groups) = &route.groups else { return Arc::clone(known) };
        if known.groups.iter().all(|group| groups.contains(group)) {
            return Arc::clone(known);
        }
        let entry = self.entry(known);
        let mut narrowed = entry.narrowed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = narrowed.iter().find(|one| Arc::ptr_eq(&one.groups, groups)) {
            return Arc::clone(&found.known);
        }
        let fewer = Arc::new(with_groups_of(known, groups));
        // Each reload brings new sets.
        if narrowed.len() >= NARROWED {
            narrowed.remove(0);
        }
        narrowed.push(Narrowed { groups: Arc::clone(groups), known: Arc::clone(&fewer) });
        fewer
    }

    /// The fields that a route fills from an identity.
    pub fn filled(
        &self,
        known: &Arc<Known>,
        fields: &Arc<SetFields>,
    ) -> Arc<[(HeaderName, HeaderValue)]> {
        let entry = self.entry(known);
        let mut all = entry.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.iter().find(|one| Arc::ptr_eq(&one.fields, fields)) {
            return Arc::clone(&found.values);
        }
        let values: Arc<[_]> = filled(fields, known).into();
        // Each reload brings new fields.
        if all.len() >= FILLED {
            all.remove(0);
        }
        all.push(Filled { fields: Arc::clone(fields), values: Arc::clone(&values) });
        values
    }

    /// The header values of an identity.
    pub fn identity(&self, known: &Arc<Known>) -> Arc<IdentityHeaders> {
        Arc::clone(&self.entry(known).headers)
    }

    /// The assertion of an identity for one audience, with at least 20 s left.
    ///
    /// # Errors
    ///
    /// [`AssertionError::Sign`] or [`AssertionError::Header`].
    pub fn header(
        &self,
        known: &Arc<Known>,
        audience: &str,
    ) -> Result<HeaderValue, AssertionError> {
        self.assertion(&self.entry(known), audience)
    }

    /// The assertion of a caller for one audience: see [`Assertions::header`].
    pub(super) fn assertion(
        &self,
        entry: &CallerHeaders,
        audience: &str,
    ) -> Result<HeaderValue, AssertionError> {
        let now = self.clock.now();
        let good =
            |signed: &Signed| signed.expires_at >= now + LEFT && signed.expires_at <= now + LIFE;
        {
            let assertions = entry.lock();
            let found = assertions.iter().find(|signed| signed.audience == audience);
            if let Some(signed) = found.filter(|signed| good(signed)) {
                return Ok(signed.value.clone());
            }
        }
        let (value, expires_at) = self.sign(&entry.known, audience, now)?;
        let mut assertions = entry.lock();
        assertions.retain(|signed| signed.audience != audience && good(signed));
        assertions.push(Signed { audience: audience.to_owned(), expires_at, value: value.clone() });
        Ok(value)
    }

    /// Everything kept about an identity. Looked up once for a request.
    pub(super) fn entry(&self, known: &Arc<Known>) -> Arc<CallerHeaders> {
        let address = Arc::as_ptr(known).addr();
        let entry = self.entries.get_with(address, || {
            Arc::new(CallerHeaders {
                known: Arc::clone(known),
                headers: Arc::new(IdentityHeaders::new(known)),
                assertions: Mutex::default(),
                narrowed: Mutex::default(),
                filled: Mutex::default(),
            })
        });
        debug_assert!(
            Arc::ptr_eq(&entry.known, known),
            "an address is one identity's while cached"
        );
        entry
    }

    fn sign(
        &self,
        known: &Known,
        audience: &str,
        now: SystemTime,
    ) -> Result<(HeaderValue, SystemTime), AssertionError> {
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let exp = iat + LIFE.as_secs();
        let signer = self.signer.load();
        let claims = Claims {
            iss: &signer.issuer,
            aud: audience,
            sub: &known.subject,
            idp: &known.iss,
            preferred_username: known.preferred_username.as_deref(),
            email: known.email.as_deref(),
            email_verified: known.email.is_some().then_some(known.email_verified),
            name: known.name.as_deref(),
            roles: &known.roles,
            client_roles: &known.client_roles,
            groups: &known.groups,
            client: known.client.as_deref(),
            iat,
            exp,
            jti: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
        };
        let token = jsonwebtoken::encode(&signer.header, &claims, &signer.key)
            .map_err(AssertionError::Sign)?;
        let mut value = HeaderValue::try_from(token).map_err(AssertionError::Header)?;
        value.set_sensitive(true);
        Ok((value, UNIX_EPOCH + Duration::from_secs(exp)))
    }
}

/// The identity without the groups that are not among these.
pub fn with_groups_of(known: &Known, groups: &BTreeSet<String>) -> Known {
    let mut fewer = known.clone();
    fewer.groups.retain(|group| groups.contains(group));
    fewer
}

impl CallerHeaders {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Signed>> {
        self.assertions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer {
    /// The gateway at this URL. The first key signs, all are published.
    ///
    /// # Errors
    ///
    /// [`AssertionError::NoKey`], and [`AssertionError::Sign`] when the first key cannot sign.
    pub fn new(public_url: &Url, keys: &[P256Key]) -> Result<Self, AssertionError> {
        let first = keys.first().ok_or(AssertionError::NoKey)?;
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(first.thumbprint().to_owned());
        let key = EncodingKey::from_ec_der(first.pkcs8_der());
        // Finds a key that cannot sign at the start, not at the first request.
        jsonwebtoken::encode(&header, &json!({}), &key).map_err(AssertionError::Sign)?;
        let published = keys
            .iter()
            .map(|key| {
                json!({
                    "kty": "EC", "crv": "P-256", "x": key.x(), "y": key.y(),
                    "kid": key.thumbprint(), "use": "sig", "alg": "ES256",
                })
            })
            .collect::<Vec<_>>();
        let issuer = public_url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { issuer, header, key, published: json!({ "keys": published }) })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl fmt::Debug for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertions").field("signer", &self.signer.load()).finish_non_exhaustive()
    }
}
