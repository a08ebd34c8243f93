//! `doorward explain`: the decision of the gateway about a request, step by step.
//!
//! Evaluates the same routes and rules as `serve`. `--token` is read, not verified: verification needs the issuer's keys, which
//! the rules do not depend on.

mod sent;

use std::{collections::BTreeMap, io::Write, path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use oidc_core::{Claims, Clock as _, SystemClock};
use serde_json::{Value, json};
use url::Url;

use cli_auth::shown;

use super::Outcome;
use crate::{
    assemble,
    config::{Config, Loaded, RoutePlace},
    identify::claims::ClaimReader,
    refusal::Refusal,
    route::Route,
};
use access_policy::{AccessRequest, Caller, Decision, Known, Message, Step, Times};
use api_keys::ApiKey;
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

#[derive(Debug, Args)]
#[group(multiple = false)]
struct CallerArguments {
    /// A JSON file with claims, as in the payload of a token
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// An access token; it is read, not verified
    #[arg(long)]
    token: Option<String>,
    /// Explain for an anonymous caller (the default)
    #[arg(long)]
    anonymous: bool,
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
}

impl Explain {
    /// Prints the decision.
    ///
    /// # Errors
    ///
    /// A configuration with problems, a URL or claims that cannot be read.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let Loaded { config, mut places, .. } = Config::load(&self.config)?;
        let identity = self.identity(&config)?;
        let mut explanation = self.decide(&config, &identity)?;
        explanation.place = explanation.route.as_ref().and_then(|route| places.remove(&route.name));
        if self.json {
            writeln!(out, "{}", self.as_json(&explanation, &identity))?;
        } else {
            self.print(out, &explanation, &identity)?;
        }
        Ok(explanation.outcome)
    }

    fn decide(&self, config: &Config, identity: &Caller) -> anyhow::Result<Explanation> {
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
        let now = self.at.unwrap_or_else(|| SystemClock.now());
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

    fn identity(&self, config: &Config) -> anyhow::Result<Caller> {
        let claims = match (&self.caller.claims, &self.caller.token) {
            (Some(file), _) => {
                let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
                if is_token(&bytes) {
                    bail!(
                        "invalid --claims {0}: it holds a token, not the JSON of its claims; write `--token \"$(cat {0})\"`",
                        file.display()
                    );
                }
                Claims::parse(&bytes).with_context(|| format!("{}", file.display()))?
            }
            (None, Some(token)) if ApiKey::is_like(token) => anyhow::bail!(
                "invalid --token: an API key, which only the running gateway can read; write `--claims FILE` with the claims of its owner"
            ),
            (None, Some(token)) => {
                let payload = token.split('.').nth(1).context("invalid --token: not a JWT")?;
                let bytes =
                    URL_SAFE_NO_PAD.decode(payload).context("invalid --token: not a JWT")?;
                Claims::parse(&bytes).context("--token")?
            }
            (None, None) => return Ok(Caller::Anonymous),
        };
        let (name, issuer) = self.issuer(config, &claims)?;
        Ok(Caller::Known(ClaimReader::new(name, issuer).read(&claims)))
    }

    fn issuer<'c>(
        &self,
        config: &'c Config,
        claims: &Claims,
    ) -> anyhow::Result<(&'c String, &'c crate::config::IssuerConfig)> {
        let mut issuers = config.issuers.iter();
        if let Some(name) = &self.issuer {
            return issuers
                .find(|(known, _)| *known == name)
                .with_context(|| format!("unknown --issuer {name}: not in the configuration"));
        }
        let by_url = issuers.clone().find(|(_, issuer)| assemble::is_origin(issuer, claims));
        match (by_url, issuers.next(), issuers.next()) {
            (Some(found), ..) => Ok(found),
            (None, Some(only), None) => Ok(only),
            _ => bail!("missing --issuer: several issuers are configured"),
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

/// Whether a file holds a JWT instead of claims.
fn is_token(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.starts_with(b"eyJ") && text.iter().all(inside)
}

impl Explanation {
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
        }
    }
}
