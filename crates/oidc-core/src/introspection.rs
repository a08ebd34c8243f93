//! Access tokens judged by asking their issuer (RFC 7662): opaque ones, and JWTs where a revocation
//! must count at once.
//!
//! "Active" alone is not enough: issuer, audience, kind and times are checked as for a token that is
//! verified here (§4). An answer is remembered by the digest of the token for a minute at most, one
//! that says "no" for seconds, and no longer than that while the issuer is away. Whoever asks about a
//! token that is being asked about waits for the same answer. Nothing is asked about what cannot be a
//! token of this issuer, and only so much at once: what is above that is refused for now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use crate::cache_stats::CacheStats;
use crate::client_auth::Form;
use crate::foreign_text::quoted;
use crate::jose::{MAX_TOKEN_BYTES, unverified_issuer};
use crate::json;
use crate::keys::KeySource;
use crate::observer::{Event, Observer};
use crate::refusal::TokenRefusal;
use crate::token::{ClientEndpoint, TokenEndpoint, TokenEndpointError};
use crate::tokens::{AccessToken, Verified};
use crate::trusted::Trusted;
use crate::validation::Validation;

mod memory;
mod rules;

use memory::{Memory, Place, Verdict};

/// Memory for answers unless set otherwise, in bytes.
const DEFAULT_CACHE: u64 = 8 * 1024 * 1024;

/// How long an answer that says "yes" is believed unless set otherwise.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);

/// How long an answer that says "no" is believed unless set otherwise.
const DEFAULT_NEGATIVE_AGE: Duration = Duration::from_secs(10);

/// How long an issuer that could not answer is not asked about the same token again.
const PAUSE: Duration = Duration::from_secs(1);

/// How many questions are under way at once unless set otherwise.
const DEFAULT_IN_FLIGHT: usize = 32;

/// Judges access tokens by asking their issuer.
///
/// The resource server proves itself as a client of its own; a public client is answered by nobody
/// (RFC 7662 §2.1).
///
/// ```no_run
/// # async fn run(provider: oidc_core::Provider, bearer: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::{ClientAuth, Introspection, Secret, TokenEndpoint, Validation};
///
/// let validation = Validation::new(provider.issuer().clone(), "hub");
/// let auth = ClientAuth::SecretBasic(Secret::from("hunter2").into());
/// let introspection = Introspection::new(TokenEndpoint::new(provider, "hub", auth), validation);
///
/// let token = introspection.access_token(bearer).await?;
/// println!("{} may enter", token.subject());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Introspection {
    endpoint: TokenEndpoint,
    validation: Validation,
    memory: Option<Memory>,
    max_age: Duration,
    negative_age: Duration,
    audience_required: bool,
    /// One permit for each question.
    questions: Arc<Semaphore>,
    signatures: Option<Trusted>,
    observer: Option<Observer>,
}

impl Introspection {
    /// Asks the provider of `endpoint`, as its client, and holds its answers against the issuer,
    /// audiences and leeway of `validation`.
    pub fn new(endpoint: TokenEndpoint, validation: Validation) -> Self {
        Self {
            endpoint,
            validation,
            memory: Some(Memory::new(DEFAULT_CACHE)),
            max_age: DEFAULT_MAX_AGE,
            negative_age: DEFAULT_NEGATIVE_AGE,
            audience_required: true,
            questions: Arc::new(Semaphore::new(DEFAULT_IN_FLIGHT)),
            signatures: None,
            observer: None,
        }
    }

    /// How many questions are under way at once, clones included; 32 unless set. A token above that
    /// is [`TokenRefusal::IntrospectionUnavailable`], and asked about when it comes again.
    #[must_use]
    pub fn with_max_in_flight(mut self, questions: usize) -> Self {
        self.questions = Arc::new(Semaphore::new(questions.clamp(1, Semaphore::MAX_PERMITS)));
        self
    }

    /// Bounds the memory for answers about tokens that count, in bytes; 8 MiB unless set, and a
    /// quarter of it more for those that do not. With 0 nothing is remembered, and
    /// requests about the same token do not wait for each other.
    #[must_use]
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.memory = (max_bytes > 0).then(|| Memory::new(max_bytes));
        self
    }

    /// How long an answer that says "yes" is believed, and so how long a revoked token lives on here;
    /// 60 s unless set, and never past `exp`.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// How long an answer that says "no" is believed; 10 s unless set.
    #[must_use]
    pub fn with_negative_age(mut self, negative_age: Duration) -> Self {
        self.negative_age = negative_age;
        self
    }

    /// Tells `observer` of tokens verified, refused and remembered.
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Asks for signed answers and accepts no others (RFC 9701): signed by the issuer with one of
    /// `keys`, for this client, just now.
    #[must_use]
    pub fn with_signed_answers(mut self, keys: Arc<dyn KeySource>) -> Self {
        let validation =
            Validation::new(self.validation.issuer().clone(), self.endpoint.client_id())
                .with_leeway(self.validation.leeway());
        self.signatures = Some(Trusted { validation, keys });
        self
    }

    /// Accepts answers without `aud`, which is optional in RFC 7662 §2.2: then a token that the
    /// issuer made for anybody opens this door too. An `aud` that is there must still fit.
    #[must_use]
    pub fn dangerous_without_audience(mut self) -> Self {
        self.audience_required = false;
        self
    }

    /// The rules.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// The endpoint asked.
    pub fn token_endpoint(&self) -> &TokenEndpoint {
        &self.endpoint
    }

    /// Asks whether an access token counts, unless that was asked a moment ago. One that is bound to
    /// a key or certificate (`cnf`) is refused: no possession is proved here.
    ///
    /// # Errors
    /// [`TokenRefusal::Inactive`] when the issuer says no; the rule of [`Validation`] that an active
    /// token does not meet; [`TokenRefusal::IntrospectionUnavailable`] when the issuer cannot be
    /// asked.
    pub async fn access_token(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        let verified = self.without_possession(token).await?;
        match verified.members().contains_key("cnf") {
            true => Err(TokenRefusal::SenderConstrained),
            false => Ok(verified),
        }
    }

    /// Figures about remembered answers.
    pub fn cache_stats(&self) -> CacheStats {
        self.memory.as_ref().map(Memory::stats).unwrap_or_default()
    }

    /// Forgets all remembered answers.
    pub fn forget_all(&self) {
        if let Some(memory) = &self.memory {
            memory.clear();
        }
    }

    /// Judges a token up to the question who may present it.
    pub(crate) async fn without_possession(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        self.check_form(token)?;
        let verdict = match &self.memory {
            None => self.ask(token).await,
            Some(memory) => {
                let generation =
                    self.signatures.as_ref().and_then(|trusted| trusted.keys.generation());
                let ask = self.ask(token);
                let (verdict, remembered) = memory.verdict(Place::of(token), generation, ask).await;
                if let (true, Ok(_), Some(observer)) =
                    (remembered, &verdict.outcome, &self.observer)
                {
                    observer(&Event::TokenRemembered { issuer: self.validation.issuer() });
                }
                verdict
            }
        };
        let verified = verdict.outcome?;
        // What was good when it was asked about may have ended since.
        self.validation.check_times(&verified, self.endpoint.now())?;
        Ok(verified)
    }

    /// What is no token, or says itself that it is another issuer's, is sent to nobody.
    fn check_form(&self, token: &str) -> Result<(), TokenRefusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefusal::TooLarge { limit: MAX_TOKEN_BYTES });
        }
        if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            let reason = "it is empty or holds characters that no token has".to_owned();
            return Err(TokenRefusal::Malformed { part: "token", reason });
        }
        match unverified_issuer(token) {
            Some(found) if found != self.validation.issuer().as_str() => {
                Err(TokenRefusal::WrongIssuer {
                    expected: self.validation.issuer().to_string(),
                    found: quoted(&found),
                })
            }
            _ => Ok(()),
        }
    }

    /// One question, one verdict, and how long it is believed.
    async fn ask(&self, token: &str) -> Verdict {
        let Ok(_permit) = self.questions.try_acquire() else {
            // Not remembered: those who wait for this answer get it, the next may ask.
            return Verdict::new(Err(self.too_many()), Duration::ZERO, token.len());
        };
        let issuer = self.validation.issuer();
        let span = tracing::debug_span!("introspect", %issuer, outcome = field::Empty);
        let begun = Instant::now();
        let (outcome, generation) = self.asked(token).instrument(span.clone()).await;
        let took = begun.elapsed();
        span.record("outcome", outcome.as_ref().map_or_else(TokenRefusal::code, |_| "ok"));
        if let Some(observer) = &self.observer {
            observer(&match &outcome {
                Ok(_) => Event::TokenVerified { issuer, kid: None, algorithm: None, took },
                Err(refusal) => {
                    Event::TokenRefused { issuer: Some(issuer), code: refusal.code(), took }
                }
            });
        }
        let age = match &outcome {
            Ok(_) => self.max_age,
            Err(refusal) if refusal.is_unavailable() => PAUSE,
            Err(_) => self.negative_age,
        };
        Verdict::new(outcome.map(Arc::new), age, token.len()).signed(generation)
    }

    /// What is thought of the token, and the generation of the keys that the answer is signed with.
    async fn asked(
        &self,
        token: &str,
    ) -> (Result<Verified<AccessToken>, TokenRefusal>, Option<u64>) {
        let (answer, generation) = match self.answer(token).await {
            Ok(answered) => answered,
            Err(error) => return (Err(self.unavailable(&error)), None),
        };
        let now = self.endpoint.now();
        (rules::judge(answer, &self.validation, self.audience_required, now), generation)
    }

    fn too_many(&self) -> TokenRefusal {
        let refusal = TokenRefusal::IntrospectionUnavailable {
            reason: "too many other tokens are being asked about".to_owned(),
            retry_after: Some(PAUSE),
        };
        if let Some(observer) = &self.observer {
            let (issuer, code) = (Some(self.validation.issuer()), refusal.code());
            observer(&Event::TokenRefused { issuer, code, took: Duration::ZERO });
        }
        refusal
    }

    fn unavailable(&self, error: &TokenEndpointError) -> TokenRefusal {
        tracing::warn!(issuer = %self.validation.issuer(), %error, "introspection failed");
        let retry_after = match error {
            TokenEndpointError::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        };
        TokenRefusal::IntrospectionUnavailable { reason: error.to_string(), retry_after }
    }

    /// §2.1, §2.2
    async fn answer(
        &self,
        token: &str,
    ) -> Result<(rules::Answer, Option<u64>), TokenEndpointError> {
        let form: Form =
            vec![("token".into(), token.into()), ("token_type_hint".into(), "access_token".into())];
        let invalid = |reason: String| TokenEndpointError::InvalidResponse { reason };
        let Some(signatures) = &self.signatures else {
            let asked = ClientEndpoint::Introspection;
            let answer = self.endpoint.post(asked, form, StatusCode::OK).await?;
            let members = json::parse_object(answer.body()).map_err(invalid)?;
            return Ok((rules::Answer::read(members).map_err(invalid)?, None));
        };
        let asked = ClientEndpoint::SignedIntrospection;
        let answer = self.endpoint.post(asked, form, StatusCode::OK).await?;
        let jwt = std::str::from_utf8(answer.body()).unwrap_or_default();
        let (response, generation) = signatures
            .introspection_response(jwt, self.endpoint.now())
            .await
            .map_err(|refusal| invalid(format!("its signature does not hold: {refusal}")))?;
        let answer = rules::Answer::read(response.members().clone()).map_err(invalid)?;
        Ok((answer, Some(generation)))
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.endpoint)
            .field("validation", &self.validation)
            .field("max_age", &self.max_age)
            .field("negative_age", &self.negative_age)
            .finish_non_exhaustive()
    }
}
