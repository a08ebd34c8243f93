//! Facts that every token of the issuer depends on: its address, its clock, its signatures.

use serde_json::json;

use super::super::facts::Facts;
use super::super::finding::{Change, Check, Problem, Reads, Setting, Severity, Terraform};
use super::super::needs::Needs;
use super::{own_client, quoted};

/// Attributes of a client that choose an algorithm, and the tokens that it is for.
const CHOICES: [(&str, &str, &str); 2] = [
    (
        "access.token.signed.response.alg",
        "attributes.\"access.token.signed.response.alg\"",
        "access tokens",
    ),
    ("id.token.signed.response.alg", "attributes.\"id.token.signed.response.alg\"", "ID tokens"),
];

const RFC_9068: &str = "access.token.header.type.rfc9068";

pub(super) const ISSUER_UNREACHABLE: Check = Check {
    name: "issuer_unreachable",
    severity: Severity::Fails,
    summary: "The issuer gives no usable metadata under `url`.",
    effect: "no user can sign in and no token is accepted",
    setting: "Frontend URL, or the server's option `--hostname`",
    place: "Realm settings → General",
    reads: Reads::Client,
    judge: |needs, facts| {
        let problem = |reason: &String| {
            Problem::new(
                format!("the issuer gives no usable metadata: {reason}"),
                needs.url.clone(),
            )
        };
        facts.unreachable.as_ref().map(problem).into_iter().collect()
    },
};

pub(super) const ISSUER_OVER_HTTP: Check = Check {
    name: "issuer_over_http",
    severity: Severity::Weakens,
    summary: "The issuer is addressed by plain http, and not on this machine.",
    effect: "codes, tokens and the client's secret can be read and changed on the way",
    setting: "Frontend URL, or the server's option `--hostname`; then `url` in the configuration",
    place: "Realm settings → General",
    reads: Reads::Client,
    judge: |needs, _| {
        let plain = needs
            .url
            .strip_prefix("http://")
            .filter(|_| needs.url.parse::<oidc_core::Issuer>().is_err());
        let problem = |rest: &str| {
            Problem::new(format!("{} uses plain http", needs.url), format!("https://{rest}"))
        };
        plain.map(problem).into_iter().collect()
    },
};

pub(super) const CLOCK_SKEW: Check = Check {
    name: "clock_skew",
    severity: Severity::Fails,
    summary: "The clocks of the issuer and of this machine differ by more than `leeway`.",
    effect: "fresh tokens are refused as not yet valid, or expired ones are accepted",
    setting: "the clock of the machine, by NTP",
    place: "no setting of Keycloak: the server that it runs on, or this machine",
    reads: Reads::Client,
    judge: |needs, facts| {
        let leeway = i64::try_from(needs.leeway.as_secs()).unwrap_or(i64::MAX);
        let far = facts.clock_ahead.filter(|ahead| ahead.saturating_abs() > leeway);
        let problem = |ahead: i64| {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            let (seconds, leeway) = (ahead.saturating_abs(), needs.leeway.as_secs());
            Problem::new(
                format!(
                    "the issuer's clock is {seconds} s {side} this machine's, more than the `leeway` of {leeway} s"
                ),
                "the right time on both machines",
            )
        };
        far.map(problem).into_iter().collect()
    },
};

pub(super) const ALGORITHM_NOT_ACCEPTED: Check = Check {
    name: "algorithm_not_accepted",
    severity: Severity::Fails,
    summary: "Tokens are signed with an algorithm that the configuration does not accept.",
    effect: "logins or bearer tokens are refused",
    setting: "Access token signature algorithm, ID token signature algorithm; for the realm: Default Signature Algorithm",
    place: "Clients → {client} → Advanced → Fine grain OpenID Connect configuration; Realm settings → Tokens",
    reads: Reads::Both,
    judge: algorithms,
};

fn algorithms(needs: &Needs, facts: &Facts) -> Vec<Problem> {
    let accepted = |name: &str| needs.algorithms.iter().any(|own| own == name);
    let offered = facts.algorithms.iter().find(|name| accepted(name));
    let best = offered.or(needs.algorithms.first()).cloned().unwrap_or_default();
    let list = quoted(&needs.algorithms);
    let mut problems = Vec::new();
    if facts.unreachable.is_none() && !facts.algorithms.is_empty() && offered.is_none() {
        let announced = quoted(&facts.algorithms);
        problems.push(Problem::new(
            format!(
                "the issuer announces {announced} for ID tokens, and the gateway accepts {list}"
            ),
            best.clone(),
        ));
    }
    let Some((administration, client)) = own_client(needs, facts) else {
        let other = |alg: &&String| !alg.is_empty() && !accepted(alg);
        let token = facts.own_token.as_ref().map(|token| &token.algorithm).filter(other);
        problems.extend(token.map(|alg| {
            let text =
                format!("access tokens are signed with `{alg}`, and the gateway accepts {list}");
            Problem::new(text, best.clone())
        }));
        return problems;
    };
    for (name, member, tokens) in CHOICES {
        if let Some(alg) = client.attribute(name).filter(|alg| !accepted(alg)) {
            let text = format!("{tokens} are signed with `{alg}`, and the gateway accepts {list}");
            let setting = Setting::new(member, name, json!(best))
                .written_as(Terraform::Extra(name, json!(best)));
            let change = Change::Client { client: needs.client.clone(), setting };
            problems.push(Problem::new(text, best.clone()).with([change]));
        }
    }
    let all_chosen = CHOICES.iter().all(|(name, ..)| client.attribute(name).is_some());
    let default = administration.realm.default_signature_algorithm.as_deref();
    if let Some(alg) = default.filter(|alg| !alg.is_empty() && !accepted(alg) && !all_chosen) {
        let text = format!("the realm signs tokens with `{alg}`, and the gateway accepts {list}");
        let setting =
            Setting::new("defaultSignatureAlgorithm", "default_signature_algorithm", json!(best));
        problems.push(Problem::new(text, best).with([Change::Realm(setting)]));
    }
    problems
}

pub(super) const TOKEN_TYPE_NOT_ACCEPTED: Check = Check {
    name: "token_type_not_accepted",
    severity: Severity::Fails,
    summary: "The header `typ` of access tokens does not fit `profile`.",
    effect: "bearer tokens are refused",
    setting: "Use \"at+jwt\" as access token header type",
    place: "Clients → {client} → Advanced → Open ID Connect Compatibility Modes",
    reads: Reads::Both,
    judge: |needs, facts| {
        let Some(wanted) = needs.at_jwt else { return Vec::new() };
        let found = match own_client(needs, facts) {
            Some((_, client)) => Some(client.attribute(RFC_9068) == Some("true")),
            None => facts.own_token.as_ref().map(|token| token.kind.as_deref() == Some("at+jwt")),
        };
        if found.is_none_or(|found| found == wanted) {
            return Vec::new();
        }
        let (has, profile) = match wanted {
            true => ("`JWT`", "`rfc9068`"),
            false => ("`at+jwt`", "`keycloak`"),
        };
        let value = if wanted { "true" } else { "false" };
        let setting =
            Setting::new("attributes.\"access.token.header.type.rfc9068\"", RFC_9068, value)
                .written_as(Terraform::Extra(RFC_9068, json!(value)));
        let text =
            format!("access tokens have the `typ` {has}, which the profile {profile} refuses");
        let value = if wanted { "on" } else { "off, or `profile: rfc9068` in the configuration" };
        let change = Change::Client { client: needs.client.clone(), setting };
        vec![Problem::new(text, value).with([change])]
    },
};
