//! Counts the tokens of exchanges with a model API, in passing.
//!
//! A complete answer without usage counts as unknown and takes nothing from a budget; on a route with one, streams without usage
//! are refused before they begin. An answer that is broken off has not stated its usage yet: it takes an estimate from the
//! budget, or a client could use a model for nothing by leaving early.

use std::{borrow::Cow, sync::Arc};

use access_policy::Caller;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_canonical::{CanonicalMethod, CanonicalPath};

use crate::{
    audit::{SpentTokens, Tally},
    listen::{Body, NotWhole, whole_body},
    metric,
    refusal::Refusal,
    review::Permit,
    route::Route,
    throttle::tokens_left_fields,
    usage::{Question, UsageReader, known_client, known_model, question},
};

/// The largest request that is read where users have a budget of tokens: pictures are in it.
const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

/// The body of a request, on a route whose answers are read: see [`ask`].
///
/// # Errors
///
/// Those of [`ask`].
pub(super) async fn asked(
    route: &Route,
    method: &CanonicalMethod,
    path: &CanonicalPath,
    headers: &mut HeaderMap,
    body: Body,
) -> Result<Body, Refusal> {
    match route.usage {
        None => Ok(body),
        Some(_) => Box::pin(ask(route, method, path, headers, body)).await,
    }
}

/// Asks the upstream for an answer that can be read. Where users have a budget of tokens, refuses a request for a stream without
/// usage.
///
/// # Errors
///
/// [`Refusal::StreamWithoutUsage`], [`Refusal::BodyTooLarge`], and [`Refusal::Malformed`] for a body that servers could read
/// differently.
async fn ask(
    route: &Route,
    method: &CanonicalMethod,
    path: &CanonicalPath,
    headers: &mut HeaderMap,
    body: Body,
) -> Result<Body, Refusal> {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let has_budget = route.per_user.is_some_and(|limits| limits.tokens_per_day.is_some());
    if !has_budget || !is_post(method) || is_form(headers) {
        return Ok(body);
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::Malformed {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            reason: Cow::Borrowed(
                "this service reads its requests: send them without `Content-Encoding`",
            ),
        });
    }
    let most = route.body_limit.and_then(|limit| usize::try_from(limit).ok());
    let most = most.map_or(LARGEST_REQUEST, |limit| limit.min(LARGEST_REQUEST));
    let whole = whole_body(body, most).await.map_err(|failed| match failed {
        NotWhole::TooLarge => Refusal::BodyTooLarge { limit: most as u64 },
        NotWhole::BrokenOff => malformed(failed.to_string()),
    })?;
    // The Responses API states the usage of every stream.
    let states_usage = path.compared().ends_with("/responses");
    match question(&whole) {
        Ok(Question::StreamWithoutUsage) if !states_usage => {
            Err(Refusal::StreamWithoutUsage { route: route.name.clone() })
        }
        Ok(_) => Ok(Body::from(whole)),
        Err(unread) => Err(malformed(unread.to_string())),
    }
}

fn malformed(reason: String) -> Refusal {
    Refusal::Malformed { status: StatusCode::BAD_REQUEST, reason: Cow::Owned(reason) }
}

fn is_post(method: &CanonicalMethod) -> bool {
    method.as_str() == Method::POST.as_str()
}

/// Whether the body is a form with files, such as audio to transcribe. It asks for no stream of tokens.
fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &[u8] = b"multipart/form-data";
    headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).is_some_and(|value| {
        value.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM))
    })
}

/// Reads the usage of one answer.
pub(super) struct Metering {
    /// Absent for an answer that can state no usage.
    reader: Option<UsageReader>,
    permit: Arc<Permit>,
}

impl Metering {
    /// Reads an answer with this head, if it is one of a model. Tells the user what is left of a budget.
    pub(super) fn of(
        status: StatusCode,
        headers: &mut HeaderMap,
        permit: &Arc<Permit>,
    ) -> Option<Box<Self>> {
        permit.route.usage?;
        if let (Some(counted), Some(limits)) = (&permit.counted, permit.route.per_user)
            && let Some(budget) = counted.budget(limits)
        {
            tokens_left_fields(headers, budget.most, budget.left, budget.renewed);
        }
        let is_answer = status.is_success() && is_post(&permit.method);
        let reader = UsageReader::of(status, headers);
        is_answer.then(|| Box::new(Self { reader, permit: Arc::clone(permit) }))
    }

    /// Reads the next piece.
    pub(super) fn read(&mut self, piece: &[u8]) {
        if let Some(reader) = &mut self.reader {
            reader.read(piece);
        }
    }

    /// Counts the answer, which has ended: whole or broken off, after a request of so many bytes.
    pub(super) fn end(mut self: Box<Self>, whole: bool, asked: u64, tally: &Tally) {
        if let Some(reader) = &mut self.reader {
            reader.end();
        }
        let route = self.permit.route.name.as_str();
        let Some(spent) = self.spent(whole, asked) else {
            metric::model_answer(route, "unknown");
            return;
        };
        metric::model_answer(route, if spent.estimated { "estimated" } else { "counted" });
        if let Some(counted) = &self.permit.counted {
            counted.used_tokens(spent.total);
        }
        if !spent.estimated {
            let known = match &self.permit.caller {
                Caller::Known(known) => Some(known),
                Caller::Anonymous => None,
            };
            metric::model_tokens(
                metric::ModelTokens {
                    route,
                    issuer: known.map_or("-", |known| &known.issuer),
                    client: known_client(known.and_then(|known| known.client.as_deref())),
                    model: known_model(spent.model.as_deref()),
                },
                spent.input,
                spent.output,
            );
        }
        tally.spent(spent);
    }

    fn spent(&self, whole: bool, asked: u64) -> Option<SpentTokens> {
        let reader = self.reader.as_ref()?;
        let model = reader.model().map(str::to_owned);
        if let Some(usage) = reader.usage() {
            let (total, input, output) = (usage.total, usage.input, usage.output);
            return Some(SpentTokens { model, total, input, output, estimated: false });
        }
        // A document that is whole and states nothing is no answer of a model, such as a list of tokens.
        if whole && !reader.is_stream() {
            return None;
        }
        let (input, output) = (asked / 4, reader.estimate());
        let total = input.saturating_add(output);
        Some(SpentTokens { model, total, input, output, estimated: true })
    }
}
