//! `headers.md`: what is taken from a request and what an upstream is told, from the lists that do it.

use std::fmt::Write;

use doorward::forward;
use http_canonical::reserved;

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change crates/proxy/src/forward/upstream_fields.rs and
     crates/http-canonical/src/reserved.rs instead. -->

# Headers

## What an upstream is told

The gateway writes these itself; what a client sent under these names never arrives. In values about a person, control characters, what is
not ASCII, `%` and `,` are percent-encoded.

| header | when | |
|---|---|---|
";

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for field in forward::upstream_fields() {
        writeln!(page, "| `{}` | {} | {} |", field.name, field.when, field.what)?;
    }
    write!(
        page,
        "\n## What is taken from every request\n\n\
         A header name may have letters, digits and `-` only: a request with another, such as `X_Forwarded_User`, gets 400. \
         From `trusted_proxies`, `X-Forwarded-For`, `-Proto`, `-Host` and `X-Request-Id` are read before they go. The \
         gateway's own cookies go too, and `Authorization` when it was a bearer token that the gateway checked.\n\n\
         Beginning with: {}.\n\nBy name: {}.\n\nOf one connection (RFC 9110 §7.6.1), with whatever `Connection` names: {}.\n",
        list(&reserved::PREFIXES, "…"),
        list(&reserved::NAMES, ""),
        list(&reserved::HOP_BY_HOP, "")
    )?;
    page.push_str(
        "\n## What is taken from an answer\n\n\
         Headers of one connection, everything beginning with `x-doorward-`, and cookies by the gateway's names.\n",
    );
    Ok(page)
}

fn list(names: &[&str], end: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}{end}`")).collect();
    names.join(", ")
}
