//! The findings as text for a terminal, or as JSON.

use std::io::{self, Write};

use cli_auth::shown;
use serde::Serialize;

use super::checks::CHECKS;
use super::facts::Facts;
use super::finding::{Finding, Reads, Severity};
use super::needs::Needs;

/// The result for one issuer.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) needs: Needs,
    pub(super) facts: Facts,
    pub(super) findings: Vec<Finding>,
    /// The changes, where they were asked for.
    pub(super) fix: Option<String>,
}

/// The JSON document. Members are added, and neither removed nor changed.
#[derive(Serialize)]
struct Document<'a> {
    issuers: Vec<Issuer<'a>>,
}

#[derive(Serialize)]
struct Issuer<'a> {
    name: &'a str,
    url: &'a str,
    keycloak: bool,
    administration: bool,
    findings: Vec<Item<'a>>,
    not_checked: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
}

#[derive(Serialize)]
struct Item<'a> {
    name: &'static str,
    severity: Severity,
    problem: &'a str,
    effect: &'static str,
    setting: &'static str,
    place: &'a str,
    value: &'a str,
}

impl Report {
    /// Names of checks for which the access was missing.
    fn not_checked(&self) -> Vec<&'static str> {
        if !self.facts.keycloak || self.facts.administration.is_some() {
            return Vec::new();
        }
        let needs_administrator = |reads| match reads {
            Reads::Client => false,
            Reads::Both => self.facts.own_token.is_none() && !self.facts.logins_pushed,
            Reads::Administration => true,
        };
        let checks = CHECKS.iter().filter(|check| needs_administrator(check.reads));
        checks.map(|check| check.name).collect()
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = &self.needs.name;
        let kind = match (&self.facts.unreachable, self.facts.keycloak) {
            (Some(_), _) => "does not answer usably",
            (None, true) => "Keycloak",
            (None, false) => "not Keycloak: only discovery, clock and client are checked",
        };
        writeln!(out, "issuers.{name}: {} ({kind})", shown(&self.needs.url))?;
        for Finding { check, place, problem } in &self.findings {
            writeln!(out, "\n{} [{}]", check.name, check.severity.as_str())?;
            writeln!(out, "  problem:  {}", shown(&problem.text))?;
            writeln!(out, "  leads to: {}", check.effect)?;
            writeln!(out, "  setting:  {}", check.setting)?;
            writeln!(out, "  place:    {}", shown(place))?;
            writeln!(out, "  set:      {}", shown(&problem.value))?;
        }
        let open = self.not_checked().len();
        if open > 0 {
            let checks = crate::commands::check::counted(open, "check");
            writeln!(
                out,
                "\n{checks} not made: they read settings that only an administrator sees; write --admin-user and \
                 --admin-password-file, or --admin-token-file"
            )?;
        }
        if let Some(fix) = &self.fix {
            // Line ends are the script's own; everything else that is foreign is JSON or quoted.
            writeln!(out)?;
            fix.lines().try_for_each(|line| writeln!(out, "{}", shown(line)))?;
        }
        writeln!(out)
    }

    fn item(&self) -> Issuer<'_> {
        let findings = self.findings.iter().map(|Finding { check, place, problem }| Item {
            name: check.name,
            severity: check.severity,
            problem: &problem.text,
            effect: check.effect,
            setting: check.setting,
            place,
            value: &problem.value,
        });
        Issuer {
            name: &self.needs.name,
            url: &self.needs.url,
            keycloak: self.facts.keycloak,
            administration: self.facts.administration.is_some(),
            findings: findings.collect(),
            not_checked: self.not_checked(),
            fix: self.fix.as_deref(),
        }
    }
}

/// Prints all reports.
pub(super) fn text(reports: &[Report], out: &mut dyn Write) -> io::Result<()> {
    reports.iter().try_for_each(|report| report.write(out))?;
    let count = |severity| {
        let all = reports.iter().flat_map(|report| &report.findings);
        all.filter(|finding| finding.check.severity == severity).count()
    };
    match (count(Severity::Fails), count(Severity::Weakens)) {
        (0, 0) => writeln!(out, "nothing to change"),
        (fails, weakens) => writeln!(
            out,
            "{}: {fails} of what fails, {weakens} of what weakens",
            crate::commands::check::counted(fails + weakens, "finding")
        ),
    }
}

/// Prints all reports as one JSON document.
pub(super) fn json(reports: &[Report], out: &mut dyn Write) -> io::Result<()> {
    let document = Document { issuers: reports.iter().map(Report::item).collect() };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
