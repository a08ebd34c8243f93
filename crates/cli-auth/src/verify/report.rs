//! Result of `verify` as text, or as JSON for programs.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use oidc_core::{AccessToken, Claims, Secret, TokenRefusal, Validation, Verified};
use serde_json::{Value, json};

use super::claims::{Claimed, actors};
use super::remedy::remedy;
use crate::program::Program;
use crate::terminal::{Paint, moment, shown};

/// Claims that have a line of their own, or none because they mean nothing to a person.
const KNOWN: [&str; 27] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "auth_time",
    "jti",
    "azp",
    "client_id",
    "sid",
    "nonce",
    "acr",
    "typ",
    "scope",
    "email",
    "email_verified",
    "preferred_username",
    "name",
    "realm_access",
    "resource_access",
    "groups",
    "act",
    "given_name",
    "family_name",
    "allowed-origins",
    "session_state",
];

/// Result of the verification.
pub(super) enum Verdict {
    Valid(Arc<Verified<AccessToken>>),
    Refused(TokenRefusal),
}

/// The result, with what explains it.
pub(super) struct Report<'v> {
    program: &'v Program,
    verdict: Verdict,
    claimed: Claimed,
    validation: &'v Validation,
    now: SystemTime,
}

impl<'v> Report<'v> {
    pub(super) fn new(
        program: &'v Program,
        verdict: Verdict,
        token: &Secret,
        validation: &'v Validation,
        now: SystemTime,
    ) -> Self {
        Self { program, verdict, claimed: Claimed::of(token), validation, now }
    }

    /// For people.
    pub(super) fn print(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        match &self.verdict {
            Verdict::Valid(token) => {
                let audiences: Vec<&str> = self
                    .validation
                    .audiences()
                    .iter()
                    .map(String::as_str)
                    .filter(|name| token.audience.contains(name))
                    .collect();
                writeln!(out, "{} for {}", paint.good("valid"), audiences.join(", "))?;
                let mut lines = Lines { out, paint };
                self.header(&mut lines)?;
                self.claims(&mut lines, token)
            }
            Verdict::Refused(refusal) => {
                let word = if refusal.is_unavailable() { "not verified" } else { "refused" };
                writeln!(out, "{}: {}", paint.bad(word), refusal.code())?;
                let mut lines = Lines { out, paint };
                lines.line("reason", refusal)?;
                lines.line("what to do", self.remedy(refusal))?;
                self.header(&mut lines)?;
                let Some(claims) = &self.claimed.claims else { return Ok(()) };
                writeln!(lines.out, "{}", paint.label("Content of the token, not verified:"))?;
                self.claims(&mut lines, claims)
            }
        }
    }

    /// For programs.
    pub(super) fn as_json(&self) -> Value {
        let header = json!({
            "alg": self.claimed.header("alg"), "kid": self.claimed.header("kid"), "typ": self.claimed.header("typ"),
        });
        match &self.verdict {
            Verdict::Valid(token) => json!({
                "valid": true,
                "header": header,
                "subject": token.subject(),
                "client": token.client(),
                "expires_at": token.expires_at.map(unix),
                "expires_in": token.expires_at.map(|at| at.duration_since(self.now).unwrap_or_default().as_secs()),
                "claims": token.members(),
            }),
            Verdict::Refused(refusal) => json!({
                "valid": false,
                "code": refusal.code(),
                "reason": refusal.to_string(),
                "remedy": self.remedy(refusal),
                "temporary": refusal.is_unavailable() && refusal.mistake().is_none(),
                "header": header,
                "unverified_claims": self.claimed.claims.as_ref().map(Claims::members),
            }),
        }
    }

    fn remedy(&self, refusal: &TokenRefusal) -> String {
        remedy(self.program, refusal, self.claimed.claims.as_ref(), self.validation)
    }

    fn header(&self, lines: &mut Lines<'_>) -> io::Result<()> {
        let Some(algorithm) = self.claimed.header("alg") else { return Ok(()) };
        let mut header = shown(algorithm);
        if let Some(kid) = self.claimed.header("kid") {
            header.push_str(&format!(", key {}", shown(kid)));
        }
        if let Some(kind) = self.claimed.header("typ") {
            header.push_str(&format!(", type {}", shown(kind)));
        }
        lines.line("signed with", header)
    }

    fn claims(&self, lines: &mut Lines<'_>, claims: &Claims) -> io::Result<()> {
        let time = |time: Option<SystemTime>| time.map(|time| moment(time, self.now));
        lines.text("issuer", claims.issuer.as_deref())?;
        lines.text("subject", claims.subject.as_deref())?;
        lines.text("user name", claims.preferred_username())?;
        lines.text("name", claims.name())?;
        let email = claims.email().map(|email| {
            format!(
                "{email} ({})",
                if claims.email_verified() { "verified" } else { "not verified" }
            )
        });
        lines.text("email", email.as_deref())?;
        lines.text("client", claims.client())?;
        lines.list("audience", claims.audience.iter())?;
        lines.text("issued", time(claims.issued_at).as_deref())?;
        lines.text("valid from", time(claims.not_before).as_deref())?;
        lines.text("expires", time(claims.expires_at).as_deref())?;
        lines.text("signed in", time(claims.auth_time).as_deref())?;
        lines.text("acr", claims.acr.as_deref())?;
        lines.text("session", claims.session_id.as_deref())?;
        lines.text("token id", claims.jwt_id.as_deref())?;
        lines.list("scopes", claims.scope.iter())?;
        lines.list("roles", claims.realm_roles().iter())?;
        let clients = claims.members().get("resource_access").and_then(Value::as_object);
        for client in clients.into_iter().flat_map(|clients| clients.keys()) {
            lines
                .list(&format!("roles at {}", shown(client)), claims.client_roles(client).iter())?;
        }
        lines.list("groups", claims.groups().iter())?;
        let actors = actors(claims);
        if !actors.is_empty() {
            lines.line("acting", format!("{} for the subject", shown(&actors.join(", for "))))?;
        }
        for (name, value) in
            claims.members().iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()))
        {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.line(&shown(name), shown(&value))?;
        }
        Ok(())
    }
}

/// Writes lines of a label and a value.
struct Lines<'o> {
    out: &'o mut dyn Write,
    paint: Paint,
}

impl Lines<'_> {
    fn line(&mut self, label: &str, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.out, "  {} {text}", self.paint.label(format_args!("{label:<12}")))
    }

    fn text(&mut self, label: &str, text: Option<&str>) -> io::Result<()> {
        text.map_or(Ok(()), |text| self.line(label, shown(text)))
    }

    fn list<'t>(&mut self, label: &str, values: impl Iterator<Item = &'t str>) -> io::Result<()> {
        let values: Vec<String> = values.map(shown).collect();
        if values.is_empty() { Ok(()) } else { self.line(label, values.join(", ")) }
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
