//! `doorward explain`: the decision of the gateway about a request, step by step.
//!
//! Evaluates the same routes and rules as `serve`. `--token` is read, not verified: verification needs the issuer's keys, which
//! the rules do not depend on. `--certificate` is judged as in a handshake, but for the proof of its key.

mod caller;
mod certificate;
mod sent;

use std::{collections::BTreeMap, io::Write, path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use oidc_core::{Clock as _, SystemClock};
use serde_json::{Value, json};
use url::Url;

use cli_auth::shown;

use self::{caller::CallerArguments, certificate::Evidence};
use super::Outcome;
use crate::{
    assemble,
    config::{Config, Loaded, RoutePlace},
    refusal::Refusal,
    route::Route,
};
use access_policy::{AccessRequest, Caller, Decision, Known, Message, Step, Times};
use http_canonical::{CanonicalHost, CanonicalMethod, CanonicalPath, Keep};

/// Arguments of the command.
#[derive(Debug, Args)]
pub struct Explain {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "doorward.yaml")]
    config: PathBuf,
    /// The method of the request
    #[arg(long, default_value = "GET")]
    method: CanonicalMethod,
    /// The URL of the request, as a browser or program writes it
    #[arg(long)]
    url: Url,
    #[command(flatten)]
    caller: CallerArguments,
    /// The client's certificate (PEM), and those between it and its authority; without a token it is the caller
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The method of the MCP message that the request carries
    #[arg(long, value_name = "METHOD")]
    mcp_method: Option<String>,
    /// The tool that the request calls, as `tools/call` of MCP
    #[arg(long, value_name = "NAME", conflicts_with = "mcp_method")]
    tool: Option<String>,
    /// The time of the request, as `2026-11-30T09:00:00Z`; now by default
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
    at: Option<SystemTime>,
    /// The issuer of the claims; required if several are configured
    #[arg(long)]
    issuer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A decision and the steps that lead to it.
struct Explanation {
    outcome: Outcome,
    verdict: String,
    route: Option<Arc<Route>>,
    /// The place of the route in the configuration.
    place: Option<RoutePlace>,
    steps: Vec<Step>,
    upstream: Option<String>,
    /// Fields about the caller that the upstream receives.
    fields: BTreeMap<String, String>,
    notes: Vec<String>,
    /// The certificate and the binding of the token.
    evidence: Evidence,
}

impl Explain {
    /// Prints the decision.
    ///
    /// # Errors
    ///
    /// A configuration with problems, a URL or claims that cannot be read.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let Loaded { config, mut places, .. } = Config::load(&self.config)?;
        let now = self.at.unwrap_or_else(|| SystemClock.now());
        let claims = self.caller.read(&config, self.issuer.as_deref())?;
        let file = self.certificate.as_deref();
        let evidence = Evidence::of(&config, self.url.host_str(), file, claims.as_ref(), now)?;
        let identity = evidence.caller(claims.as_ref());
        let mut explanation = self.decide(&config, &identity, now)?;
        explanation.take(evidence);
        explanation.place = explanation.route.as_ref().and_then(|route| places.remove(&route.name));
        if self.json {
            writeln!(out, "{}", self.as_json(&explanation, &identity))?;
        } else {
            self.print(out, &explanation, &identity)?;
        }
        Ok(explanation.outcome)
    }

    fn decide(
        &self,
        config: &Config,
        identity: &Caller,
        now: SystemTime,
    ) -> anyhow::Result<Explanation> {
        let routes = assemble::routes(config)?;
        let authority = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => bail!("invalid --url {}: missing host", self.url),
        };
        let host: CanonicalHost = authority.parse().context("--url: the host")?;
        let path = CanonicalPath::parse(self.url.path(), Keep::ALL).context("--url: the path")?;
        let route = match routes.choose(&host, &path) {
            Ok(route) => route,
            Err(refusal) => return Ok(Explanation::without_route(&refusal)),
        };
        let request = AccessRequest::new(&self.method, &path)
            .with_host(host.name())
            .with_times(Some(Times::beginning(now)))
            .with_message(self.message(&route));
        let steps = route.policy.explain(&request, identity);
        let decision = route.policy.decide(&request, identity);
        let unread = request.message == Message::Unread;
        let sign_in = |rule: usize| {
            format!(
                "rule {rule} requires sign-in: a browser is redirected to sign in, a program gets 401"
            )
        };
        let (outcome, verdict) = match &decision {
            Decision::Allow { rule, .. } => (Outcome::Fine, format!("allowed by rule {rule}")),
            // A message decides nothing for a caller who has to sign in first.
            Decision::Ambiguous { rule } if unread && matches!(identity, Caller::Anonymous) => {
                (Outcome::LoginNeeded, sign_in(*rule))
            }
            Decision::SignIn { rule } => (Outcome::LoginNeeded, sign_in(*rule)),
            Decision::Ambiguous { .. } if unread => (
                Outcome::Refused,
                "not decided: the rules speak of messages of MCP; write `--tool NAME` or `--mcp-method METHOD`"
                    .to_owned(),
            ),
            Decision::Ambiguous { .. } => {
                (Outcome::Refused, "refused: the path can be read in two ways (400)".to_owned())
            }
            Decision::Deny { rule: Some(rule), unmet } if unmet.step_up.is_some() => (
                Outcome::LoginNeeded,
                format!(
                    "rule {rule} requires another sign-in: the caller {}; a browser is redirected to sign in again, a program gets 401",
                    unmet.summary()
                ),
            ),
            Decision::Deny { rule: Some(rule), unmet } => (
                Outcome::Refused,
                format!("refused by rule {rule}: the caller {}", unmet.summary()),
            ),
            Decision::Deny { rule: None, .. } => {
                (Outcome::Refused, "refused: no rule matches this path and method".to_owned())
            }
        };
        let (outcome, verdict) = match sent::lacks_scopes(&route, identity) {
            Some(lacks) => (Outcome::Refused, lacks),
            None => (outcome, verdict),
        };
        let upstream = matches!(outcome, Outcome::Fine)
            .then(|| route.upstream.as_ref())
            .flatten()
            .map(|upstream| {
                let targets: Vec<&str> = upstream.targets().collect();
                let path = upstream.rewritten(&path);
                format!("{} {path} at {}", self.method, targets.join(" or "))
            });
        let fields = match &upstream {
            Some(_) => sent::fields(&route, identity),
            None => BTreeMap::new(),
        };
        let notes = sent::notes(&route);
        Ok(Explanation {
            outcome,
            verdict,
            route: Some(route),
            place: None,
            steps,
            upstream,
            fields,
            notes,
            evidence: Evidence::default(),
        })
    }

    /// The message of the request. Without arguments, a POST carries one that is not known.
    fn message(&self, route: &Route) -> Message<'_> {
        match (&self.tool, &self.mcp_method) {
            (Some(tool), _) => Message::Read { method: "tools/call", name: Some(tool) },
            (None, Some(method)) => Message::Read { method, name: None },
            (None, None) if self.method.as_str() == "POST" && route.policy.depends_on_message() => {
                Message::Unread
            }
            (None, None) => Message::None,
        }
    }

    fn print(
        &self,
        out: &mut dyn Write,
        explanation: &Explanation,
        identity: &Caller,
    ) -> std::io::Result<()> {
        writeln!(out, "request   {} {}", self.method, self.url)?;
        match identity {
            Caller::Anonymous => writeln!(out, "caller    anonymous")?,
            Caller::Known(known) if known.workload => {
                let subject = shown(&known.subject);
                writeln!(out, "caller    workload {subject} at {}", known.issuer)?;
                lists(out, known)?;
            }
            Caller::Known(known) => {
                writeln!(
                    out,
                    "caller    {} ({} at {})",
                    shown(known.display_name()),
                    shown(&known.subject),
                    known.issuer
                )?;
                lists(out, known)?;
            }
        }
        for (name, text) in explanation.evidence.lines() {
            writeln!(out, "{name:<10}{}", shown(text))?;
        }
        if let Some(route) = &explanation.route {
            write!(out, "route     {} ({}{})", route.name, route.host, route.prefix.as_str())?;
            match &explanation.place {
                Some(place) => writeln!(out, " at {}", shown(&place.route.to_string()))?,
                None => writeln!(out)?,
            }
        }
        for step in &explanation.steps {
            let shadow = if step.shadow { " (shadow, not enforced)" } else { "" };
            let place = explanation.rule(step.rule).map(|place| format!(" ({})", shown(&place)));
            let place = place.unwrap_or_default();
            writeln!(out, "rule {}    {}{shadow}{place}", step.rule, shown(&step.because))?;
        }
        writeln!(out, "decision  {}", shown(&explanation.verdict))?;
        if let Some(upstream) = &explanation.upstream {
            writeln!(out, "upstream  {upstream}")?;
        }
        for (name, value) in &explanation.fields {
            writeln!(out, "header    {name}: {}", shown(value))?;
        }
        for note in &explanation.notes {
            writeln!(out, "note      {}", shown(note))?;
        }
        Ok(())
    }

    fn as_json(&self, explanation: &Explanation, identity: &Caller) -> Value {
        let decision = match explanation.outcome {
            Outcome::Fine => "allow",
            Outcome::LoginNeeded => "sign_in",
            _ => "deny",
        };
        json!({
            "method": self.method.as_str(),
            "url": self.url.as_str(),
            "subject": match identity { Caller::Known(known) => Some(&known.subject), Caller::Anonymous => None },
            "certificate": explanation.evidence.as_json(),
            "workload": matches!(identity, Caller::Known(known) if known.workload),
            "route": explanation.route.as_ref().map(|route| &route.name),
            "place": explanation.place.as_ref().map(|place| place.route.to_string()),
            "rules": explanation.steps.iter().map(|step| json!({
                "rule": step.rule, "place": explanation.rule(step.rule), "applies": step.applies, "because": step.because, "shadow": step.shadow,
            })).collect::<Vec<_>>(),
            "decision": decision,
            "reason": explanation.verdict,
            "upstream": explanation.upstream,
            "headers": explanation.fields,
            "notes": explanation.notes,
        })
    }
}

/// Prints the roles, groups and scopes of a caller that has some.
fn lists(out: &mut dyn Write, known: &Known) -> std::io::Result<()> {
    let lists = [("roles", &known.roles), ("groups", &known.groups), ("scopes", &known.scopes)];
    for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        writeln!(out, "          {name}: {}", shown(&values.join(", ")))?;
    }
    Ok(())
}

impl Explanation {
    /// With what the gateway makes of the certificate before it asks the rules.
    fn take(&mut self, evidence: Evidence) {
        if let Some(refused) = evidence.refused() {
            (self.outcome, self.verdict) = (Outcome::Refused, refused.to_owned());
            self.upstream = None;
            self.fields.clear();
        }
        self.evidence = evidence;
    }

    /// The place of a rule in the configuration; rules count from 1.
    fn rule(&self, number: usize) -> Option<String> {
        let rules = &self.place.as_ref()?.rules;
        rules.get(number.checked_sub(1)?).map(ToString::to_string)
    }

    fn without_route(refusal: &Refusal) -> Self {
        Self {
            outcome: Outcome::Refused,
            verdict: format!("refused with {}: {refusal}", refusal.status()),
            route: None,
            place: None,
            steps: Vec::new(),
            upstream: None,
            fields: BTreeMap::new(),
            notes: Vec::new(),
            evidence: Evidence::default(),
        }
    }
}
