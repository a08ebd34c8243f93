//! `doorward explain`: what the gateway would decide about a request, step by step.
//!
//! Asks the very routes and rules that `serve` uses. `--token` is read, not verified: verification needs the issuer's keys, and
//! the question here is what the rules say.

use std::{io::Write, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use oidc_core::Claims;
use serde_json::{Value, json};
use url::Url;

use super::Outcome;
use crate::{
    assemble, config::Config, identify::claims::ClaimReader, refusal::Refusal, route::Route,
};
use access_policy::{Caller, Decision, Step};
use http_canonical::{CanonicalHost, CanonicalMethod, CanonicalPath, Keep};

/// The question.
#[derive(Debug, Args)]
pub struct Explain {
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = "doorward.yaml")]
    config: PathBuf,
    /// The request's method
    #[arg(long, default_value = "GET")]
    method: CanonicalMethod,
    /// The request's URL, as the browser or program would write it
    #[arg(long)]
    url: Url,
    #[command(flatten)]
    caller: CallerArguments,
    /// The issuer the claims come from; needed when several are configured
    #[arg(long)]
    issuer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct CallerArguments {
    /// A JSON file of claims, as in a token's payload
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// An access token; read, not verified
    #[arg(long)]
    token: Option<String>,
    /// Nobody is signed in (the default)
    #[arg(long)]
    anonymous: bool,
}

/// The answer.
struct Answer {
    outcome: Outcome,
    verdict: String,
    route: Option<Arc<Route>>,
    steps: Vec<Step>,
    upstream: Option<String>,
}

impl Explain {
    /// Prints the decision.
    ///
    /// # Errors
    ///
    /// A configuration with problems, a URL or claims that cannot be read.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let config = Config::load(&self.config)?.config;
        let identity = self.identity(&config)?;
        let answer = self.decide(&config, &identity)?;
        if self.json {
            writeln!(out, "{}", self.as_json(&answer, &identity))?;
        } else {
            self.print(out, &answer, &identity)?;
        }
        Ok(answer.outcome)
    }

    fn decide(&self, config: &Config, identity: &Caller) -> anyhow::Result<Answer> {
        let routes = assemble::routes(config)?;
        let authority = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => bail!("--url needs a host: {}", self.url),
        };
        let host: CanonicalHost = authority.parse().context("--url: the host")?;
        let path = CanonicalPath::parse(self.url.path(), Keep::ALL).context("--url: the path")?;
        let route = match routes.choose(&host, &path) {
            Ok(route) => route,
            Err(refusal) => return Ok(Answer::without_route(&refusal)),
        };
        let steps = route.policy.explain(&self.method, &path, identity);
        let decision = route.policy.decide(&self.method, &path, identity);
        let (outcome, verdict) = match &decision {
            Decision::Allow { rule, .. } => (Outcome::Fine, format!("allowed by rule {rule}")),
            Decision::SignIn { rule } => (
                Outcome::LoginNeeded,
                format!(
                    "rule {rule} needs somebody signed in: a browser is sent to sign in, a program gets 401"
                ),
            ),
            Decision::Ambiguous { .. } => {
                (Outcome::Refused, "refused: the path can be read in two ways (400)".to_owned())
            }
            Decision::Deny { rule: Some(rule), unmet } => (
                Outcome::Refused,
                format!("refused by rule {rule}: the caller {}", unmet.summary()),
            ),
            Decision::Deny { rule: None, .. } => {
                (Outcome::Refused, "refused: no rule speaks about this path and method".to_owned())
            }
        };
        let upstream = matches!(outcome, Outcome::Fine)
            .then(|| route.upstream.as_ref())
            .flatten()
            .map(|upstream| {
                let targets: Vec<&str> = upstream.targets().collect();
                let path = upstream.rewritten(&path);
                format!("{} {path} at {}", self.method, targets.join(" or "))
            });
        Ok(Answer { outcome, verdict, route: Some(route), steps, upstream })
    }

    fn identity(&self, config: &Config) -> anyhow::Result<Caller> {
        let claims = match (&self.caller.claims, &self.caller.token) {
            (Some(file), _) => {
                let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
                Claims::parse(&bytes).with_context(|| format!("{}", file.display()))?
            }
            (None, Some(token)) => {
                let payload = token.split('.').nth(1).context("--token is not a JWT")?;
                let bytes = URL_SAFE_NO_PAD.decode(payload).context("--token is not a JWT")?;
                Claims::parse(&bytes).context("--token")?
            }
            (None, None) => return Ok(Caller::Anonymous),
        };
        let (name, issuer) = self.issuer(config, &claims)?;
        Ok(Caller::Known(ClaimReader::new(name, &issuer.url, issuer.claims.clone()).read(&claims)))
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
                .with_context(|| format!("--issuer {name} is not in the configuration"));
        }
        let by_url =
            issuers.clone().find(|(_, issuer)| claims.issuer.as_ref() == Some(&issuer.url));
        match (by_url, issuers.next(), issuers.next()) {
            (Some(found), ..) => Ok(found),
            (None, Some(only), None) => Ok(only),
            _ => bail!("several issuers are configured: say which with --issuer"),
        }
    }

    fn print(
        &self,
        out: &mut dyn Write,
        answer: &Answer,
        identity: &Caller,
    ) -> std::io::Result<()> {
        writeln!(out, "request   {} {}", self.method, self.url)?;
        match identity {
            Caller::Anonymous => writeln!(out, "caller    nobody is signed in")?,
            Caller::Known(known) => {
                writeln!(
                    out,
                    "caller    {} ({} at {})",
                    known.display_name(),
                    known.subject,
                    known.issuer
                )?;
                let lists =
                    [("roles", &known.roles), ("groups", &known.groups), ("scopes", &known.scopes)];
                for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
                    writeln!(out, "          {name}: {}", values.join(", "))?;
                }
            }
        }
        if let Some(route) = &answer.route {
            writeln!(out, "route     {} ({}{})", route.name, route.host, route.prefix.as_str())?;
        }
        for step in &answer.steps {
            let shadow = if step.shadow { " (shadow, not enforced)" } else { "" };
            writeln!(out, "rule {}    {}{shadow}", step.rule, step.because)?;
        }
        writeln!(out, "decision  {}", answer.verdict)?;
        if let Some(upstream) = &answer.upstream {
            writeln!(out, "upstream  {upstream}")?;
        }
        Ok(())
    }

    fn as_json(&self, answer: &Answer, identity: &Caller) -> Value {
        let decision = match answer.outcome {
            Outcome::Fine => "allow",
            Outcome::LoginNeeded => "sign_in",
            _ => "refuse",
        };
        json!({
            "method": self.method.as_str(),
            "url": self.url.as_str(),
            "subject": match identity { Caller::Known(known) => Some(&known.subject), Caller::Anonymous => None },
            "route": answer.route.as_ref().map(|route| &route.name),
            "rules": answer.steps.iter().map(|step| json!({
                "rule": step.rule, "applies": step.applies, "because": step.because, "shadow": step.shadow,
            })).collect::<Vec<_>>(),
            "decision": decision,
            "reason": answer.verdict,
            "upstream": answer.upstream,
        })
    }
}

impl Answer {
    fn without_route(refusal: &Refusal) -> Self {
        Self {
            outcome: Outcome::Refused,
            verdict: format!("refused with {}: {refusal}", refusal.status()),
            route: None,
            steps: Vec::new(),
            upstream: None,
        }
    }
}
