//! The lines of the audit log: of a request, and of the end of a stream.
//!
//! Every request has a line, so a log of JSON gets it in its final form. A log of another form gets the same fields as an event.

use std::{fmt, time::Duration};

use access_policy::Caller;
use http::StatusCode;
use tracing::Level;

use super::{Trail, name_of, tally::SpentTokens};
use crate::{
    identify::Credential,
    log,
    mcp::McpMessage,
    refusal::{Fault, Refusal},
};

/// Way to the identity where it is that of an API key's owner.
const VIA_KEY: &str = "api_key";

/// Facts of the audit line beside the record of the request.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) outcome: &'static str,
    pub(super) status: StatusCode,
    pub(super) refusal: Option<&'a Refusal>,
    /// Time to the head of the answer.
    pub(super) took: Duration,
    pub(super) exchange: Option<Exchanged<'a>>,
}

/// An exchange with an upstream, as the audit line shows it.
#[derive(Clone, Copy)]
pub(super) struct Exchanged<'a> {
    pub(super) request_id: &'a str,
    pub(super) upstream: &'a str,
    /// Bytes of the bodies, from the client and to it, once both are over.
    pub(super) bytes: Option<(u64, u64)>,
    /// Tokens of an answer of a model.
    pub(super) spent: Option<&'a SpentTokens>,
}

/// End of an open stream.
pub(crate) struct StreamEnd<'a> {
    /// `websocket`, `events` or `grpc`
    pub(crate) protocol: &'static str,
    pub(crate) route: &'a str,
    pub(crate) path: &'a str,
    pub(crate) request_id: &'a str,
    /// The target.
    pub(crate) upstream: &'a str,
    /// The caller when the stream was opened, and its proof.
    pub(crate) sender: (&'a Caller, &'a Credential),
    pub(crate) reason: &'a dyn fmt::Display,
    /// Bytes from the client.
    pub(crate) received: u64,
    /// Bytes to the client.
    pub(crate) sent: u64,
    pub(crate) took: Duration,
    /// Tokens of an answer of a model.
    pub(crate) spent: Option<&'a SpentTokens>,
}

/// Writes the audit line of a stream's end. The line of its beginning has the same `request_id`.
pub(crate) fn stream_ended(end: &StreamEnd<'_>) {
    let (caller, credential) = end.sender;
    let known = match caller {
        Caller::Known(known) => Some(known),
        Caller::Anonymous => None,
    };
    let key = match credential {
        Credential::Key { key, .. } => Some(key),
        Credential::None
        | Credential::Bearer { .. }
        | Credential::Session(_)
        | Credential::Certificate { .. } => None,
    };
    tracing::info!(
        target: "doorward::audit",
        protocol = end.protocol,
        route = end.route,
        path = end.path,
        request_id = end.request_id,
        issuer = known.map(|known| known.issuer.as_str()),
        subject = known.map(|known| known.subject.as_str()),
        user = known.and_then(|known| known.preferred_username.as_deref()),
        client = known.and_then(|known| known.client.as_deref()),
        credential = name_of(credential),
        via = key.map(|_| VIA_KEY),
        key = key.map(|key| key.record().id.as_str()),
        upstream = end.upstream,
        reason = %end.reason,
        bytes_received = end.received,
        bytes_sent = end.sent,
        took_ms = u64::try_from(end.took.as_millis()).unwrap_or(u64::MAX),
        model = end.spent.and_then(|spent| spent.model.as_deref()),
        tokens = end.spent.map(|spent| spent.total),
        tokens_input = end.spent.map(|spent| spent.input),
        tokens_output = end.spent.map(|spent| spent.output),
        tokens_estimated = end.spent.filter(|spent| spent.estimated).map(|_| true),
        "stream ended"
    );
}

impl Trail {
    /// Writes the line of a request.
    pub(super) fn write(&self, line: &Line<'_>) {
        match log::direct() {
            Some(log) => {
                let has_id = line.exchange.is_some();
                log.write(line.level(), "request", has_id, |fields| self.fields(line, fields));
            }
            None => self.event(line),
        }
    }

    /// The fields of the line. [`Trail::event`] has the same ones in the same order.
    fn fields(&self, line: &Line<'_>, fields: &mut log::Line<'_>) {
        fields.text("decision", line.decision());
        fields.text("outcome", line.outcome);
        fields.number("status", line.status.as_u16().into());
        fields.text("method", self.method.as_str());
        fields.text("path", &self.target);
        fields.text("route", self.route_name());
        if let Some(rule) = self.rule {
            fields.number("rule", rule as u64);
        }
        if let Some(known) = self.known.as_deref() {
            fields.text("issuer", &known.issuer);
            fields.text("subject", &known.subject);
            fields.optional("user", known.preferred_username.as_deref());
            fields.optional("client", known.client.as_deref());
        }
        if let Some(message) = self.message.as_deref() {
            fields.text("mcp_method", &message.method);
            fields.optional("mcp_tool", message.tool());
        }
        fields.text("credential", self.credential);
        if let Some(key) = &self.key {
            fields.text("via", VIA_KEY);
            fields.text("key", key.record().id.as_str());
        }
        if let Some(address) = self.client {
            fields.display("address", address);
        }
        if let Some(refusal) = line.refusal {
            fields.display("reason", refusal);
        }
        fields.number("took_us", line.took_us());
        if let Some(span) = &self.span {
            fields.display("trace_id", span.trace());
        }
        if let Some(Exchanged { request_id, upstream, bytes, spent }) = line.exchange {
            // Written after the request, whose task would have given the id.
            fields.text("request_id", request_id);
            fields.text("upstream", upstream);
            if let Some((received, sent)) = bytes {
                fields.number("bytes_received", received);
                fields.number("bytes_sent", sent);
            }
            if let Some(spent) = spent {
                fields.optional("model", spent.model.as_deref());
                fields.number("tokens", spent.total);
                fields.number("tokens_input", spent.input);
                fields.number("tokens_output", spent.output);
                if spent.estimated {
                    fields.flag("tokens_estimated");
                }
            }
        }
    }

    /// Writes the line as an event.
    fn event(&self, line: &Line<'_>) {
        let Line { outcome, status, refusal, exchange, .. } = *line;
        let reason = refusal.map(ToString::to_string);
        let known = self.known.as_deref();
        macro_rules! audit {
            ($level:ident $(, $more:ident = $value:expr)*) => {
                tracing::$level!(
                    target: "doorward::audit",
                    decision = line.decision(),
                    outcome,
                    status = status.as_u16(),
                    method = self.method.as_str(),
                    path = self.target.as_str(),
                    route = self.route_name(),
                    rule = self.rule,
                    issuer = known.map(|known| known.issuer.as_str()),
                    subject = known.map(|known| known.subject.as_str()),
                    user = known.and_then(|known| known.preferred_username.as_deref()),
                    client = known.and_then(|known| known.client.as_deref()),
                    mcp_method = self.message.as_deref().map(|message| message.method.as_str()),
                    mcp_tool = self.message.as_deref().and_then(McpMessage::tool),
                    credential = self.credential,
                    via = self.key.as_ref().map(|_| VIA_KEY),
                    key = self.key.as_ref().map(|key| key.record().id.as_str()),
                    address = self.client.map(tracing::field::display),
                    reason = reason.as_deref(),
                    took_us = line.took_us(),
                    trace_id = self.span.as_ref().map(|span| tracing::field::display(span.trace())),
                    $($more = $value,)*
                    "request"
                )
            };
        }
        match exchange {
            // Written after the request, whose span would have given the id.
            Some(Exchanged { request_id, upstream, bytes, spent }) => audit!(
                info,
                request_id = request_id,
                upstream = upstream,
                bytes_received = bytes.map(|(received, _)| received),
                bytes_sent = bytes.map(|(_, sent)| sent),
                model = spent.and_then(|spent| spent.model.as_deref()),
                tokens = spent.map(|spent| spent.total),
                tokens_input = spent.map(|spent| spent.input),
                tokens_output = spent.map(|spent| spent.output),
                tokens_estimated = spent.filter(|spent| spent.estimated).map(|_| true)
            ),
            None if line.level() == Level::WARN => audit!(warn),
            None => audit!(info),
        }
    }
}

impl Line<'_> {
    fn decision(&self) -> &'static str {
        match self.refusal {
            None => "allow",
            Some(Refusal::LoginNeeded { .. } | Refusal::StrongerSignInNeeded { .. }) => "sign_in",
            Some(_) => "deny",
        }
    }

    /// A warning where the fault is not the client's.
    fn level(&self) -> Level {
        match (self.exchange, self.refusal) {
            (None, Some(refusal)) if refusal.fault() != Fault::Client => Level::WARN,
            _ => Level::INFO,
        }
    }

    fn took_us(&self) -> u64 {
        u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
