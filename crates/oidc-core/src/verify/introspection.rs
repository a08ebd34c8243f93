//! Access tokens checked by asking their issuer (RFC 7662): opaque tokens, and JWTs whose
//! revocation must take effect at once.
//!
//! "Active" alone is not enough: issuer, audience, kind and times are checked as for a token that
//! is verified here (§4). A positive answer is remembered by the digest of the token for a minute
//! at most, a negative one for seconds; an outage of the issuer does not extend these times.
//! Concurrent requests with the same token share one question. A token that cannot be from this
//! issuer is refused without a question. The number of concurrent questions is limited; a token
//! above the limit is refused for now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use crate::client::{ClientEndpoint, Form, TokenEndpoint, TokenEndpointError};
use crate::jose::{MAX_TOKEN_BYTES, unverified_issuer};
use crate::json;
use crate::keys::KeySource;
use crate::observer::{Event, Observer};
use crate::refusal::TokenRefusal;
use crate::token::AccessToken;
use crate::verify::trusted::Trusted;
use crate::verify::{CacheStats, Validation, Verified};

mod memory;
mod rules;

use memory::{Memory, Place, Verdict};

/// Memory for answers unless set otherwise, in bytes.
const DEFAULT_CACHE: u64 = 8 * 1024 * 1024;

/// Age limit of a positive answer unless set otherwise.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);

/// Age limit of a negative answer unless set otherwise.
const DEFAULT_NEGATIVE_AGE: Duration = Duration::from_secs(10);

/// Pause before the same token is introspected again after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Number of concurrent questions unless set otherwise.
const DEFAULT_IN_FLIGHT: usize = 32;

/// Checks access tokens by asking their issuer.
///
/// The resource server must authenticate as a confidential client; issuers do not answer a public
/// one (RFC 7662 §2.1).
///
/// ```no_run
/// # async fn run(provider: oidc_core::provider::Provider, bearer: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::client::{ClientAuth, TokenEndpoint};
/// use oidc_core::verify::Introspection;
/// use oidc_core::{Secret, Validation};
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
    /// Asks the provider of `endpoint`, as its client, and checks its answers against the issuer,
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

    /// Sets the number of concurrent questions, clones included; 32 unless set. A token above that
    /// is [`TokenRefusal::IntrospectionUnavailable`], and asked about when it comes again.
    #[must_use]
    pub fn with_max_in_flight(mut self, questions: usize) -> Self {
        self.questions = Arc::new(Semaphore::new(questions.clamp(1, Semaphore::MAX_PERMITS)));
        self
    }

    /// Bounds the memory for answers about valid tokens, in bytes; 8 MiB unless set, plus a quarter
    /// of it for invalid tokens. With 0 nothing is remembered, and concurrent requests with the
    /// same token each ask.
    #[must_use]
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.memory = (max_bytes > 0).then(|| Memory::new(max_bytes));
        self
    }

    /// Sets the age limit of a positive answer, and so how long a revoked token is still accepted
    /// here; 60 s unless set, and never past `exp`.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets the age limit of a negative answer; 10 s unless set.
    #[must_use]
    pub fn with_negative_age(mut self, negative_age: Duration) -> Self {
        self.negative_age = negative_age;
        self
    }

    /// Reports tokens verified, refused and remembered to `observer`.
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
    /// issuer made for another service is accepted here too. If `aud` is present, it must still
    /// match.
    #[must_use]
    pub fn dangerous_without_audience(mut self) -> Self {
        self.audience_required = false;
        self
    }

    /// The rules.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// The endpoint used to ask the issuer.
    pub fn token_endpoint(&self) -> &TokenEndpoint {
        &self.endpoint
    }

    /// Checks an access token, with the issuer's answer or a remembered one. A token that is bound
    /// to a key or certificate (`cnf`) is refused, because possession is not proved here.
    ///
    /// # Errors
    /// [`TokenRefusal::Inactive`] when the issuer says the token is not active; the rule of
    /// [`Validation`] that an active token does not meet;
    /// [`TokenRefusal::IntrospectionUnavailable`] when the issuer cannot be asked.
    pub async fn access_token(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        let verified = self.without_possession(token).await?;
        match verified.contains("cnf") {
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

    /// Checks a token except whether its sender may use it.
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
        // A remembered token may have expired since.
        self.validation.check_times(&verified, self.endpoint.now())?;
        Ok(verified)
    }

    /// Refuses text that is not a token, and JWTs that claim another issuer; they are not sent to
    /// the endpoint.
    fn check_form(&self, token: &str) -> Result<(), TokenRefusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefusal::TooLarge { limit: MAX_TOKEN_BYTES });
        }
        if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            let reason = "it is empty or holds characters that no token has".to_owned();
            return Err(TokenRefusal::Malformed { part: "token", reason });
        }
        match unverified_issuer(token) {
            Some(found) if !self.validation.names_issuer(&found) => {
                Err(self.validation.wrong_issuer(&found))
            }
            _ => Ok(()),
        }
    }

    /// One question, its verdict, and the verdict's lifetime.
    async fn ask(&self, token: &str) -> Verdict {
        let Ok(_permit) = self.questions.try_acquire() else {
            // Not remembered: callers that wait for this answer get it, the next caller may ask.
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

    /// The verdict on the token, and the generation of the keys that signed the answer.
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
            reason: "too many introspections are under way".to_owned(),
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
