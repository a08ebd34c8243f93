//! `refusals.md`: every code and its status, from the table that the answers use.

use std::fmt::Write;

use doorward::{refusal::Fault, respond::entries};
use http_canonical::framing::Reason;
use oidc_core::TokenRefusal;
use oidc_core::dpop::ProofRefusal;
use oidc_core::verify::PresentationRefusal;

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change crates/proxy/src/respond/table.rs instead. -->

# Codes of refusals

Every code with its status. [Refusals](../refusals.md) explains each and says what to do. `code` is in the
problem document, the audit line, and the label `outcome` of `doorward_requests_total`.

| code | status | fault | `Retry-After` | met when |
|---|---|---|---|---|
";

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for entry in entries() {
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            entry.code,
            entry.status.as_u16(),
            match entry.fault {
                Fault::Client => "client",
                Fault::Upstream => "upstream",
                Fault::Gateway => "gateway",
            },
            if entry.retry { "yes" } else { "" },
            entry.met
        )?;
    }
    let passing = ["keys_unavailable", "introspection_unavailable", "proof_memory_unavailable"];
    let codes = TokenRefusal::CODES.iter().chain(PresentationRefusal::CODES);
    let codes = codes.chain(ProofRefusal::CODES).filter(|code| !passing.contains(code));
    let codes: Vec<String> = codes.map(|code| format!("`{code}`")).collect();
    write!(
        page,
        "\n## Tokens\n\n401: {}.\n\n503 with `Retry-After`: `keys_unavailable`, `introspection_unavailable`, `proof_memory_unavailable`.\n\n\
         ## Requests that break a rule of HTTP\n\n\
         Found before the request is routed; the connection is closed. The reason is the label `reason` \
         of `doorward_malformed_requests_total`.\n\n| reason | status | |\n|---|---|---|\n",
        codes.join(", ")
    )?;
    for reason in Reason::ALL {
        writeln!(
            page,
            "| `{}` | {} | {} |",
            reason.as_str(),
            reason.status().as_u16(),
            reason.sentence()
        )?;
    }
    Ok(page)
}
