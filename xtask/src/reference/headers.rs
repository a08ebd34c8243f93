//! `headers.md`: headers removed from requests and headers sent to upstreams, from the lists that the gateway uses.

use std::fmt::Write;

use doorward::forward;
use http_canonical::{reserved, trailers};

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change crates/proxy/src/forward/upstream_fields.rs and
     crates/http-canonical/src/reserved.rs and trailers.rs instead. -->

# Headers

## Headers for the upstream

The gateway writes these itself and removes any that a client sent. In values about a user, control characters,
non-ASCII characters, `%` and `,` are percent-encoded.

| header | when | |
|---|---|---|
";

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for field in forward::upstream_fields() {
        writeln!(page, "| `{}` | {} | {} |", field.name, field.when, field.what)?;
    }
    page.push_str(
        "\nWith `identity.set` a route names more of them. A client's own fields and trailers by these names are removed on that \
         route, and on the others with one of its upstreams. A header is left out when a value of its template is missing.\n",
    );
    write!(
        page,
        "\n## Headers removed from every request\n\n\
         A header name may have letters, digits, `-` and `_` only. Names with `_` are removed, or refused with 400 where the route says \
         `headers: {{ underscores: refuse }}`, because many servers read `_` as `-`; one that would so become a name of this page, \
         such as `X_Forwarded_User`, always gets 400. \
         From `trusted_proxies`, `X-Forwarded-For`, `-Proto`, `-Host` and `X-Request-Id` are read before they are removed. The \
         gateway's own cookies are removed too, and `Authorization` when it held a token that the gateway checked, as `Bearer` or as the password of Basic.\n\n\
         Beginning with: {}.\n\nBy name: {}.\n\nOf one connection (RFC 9110 §7.6.1), with the names that `Connection` lists: {}.\n",
        list(&reserved::PREFIXES, "…"),
        list(&reserved::NAMES, ""),
        list(&reserved::HOP_BY_HOP, "")
    )?;
    write!(
        page,
        "\n## Trailers\n\n\
         Trailer fields of a request pass if the client announced them in `Trailer`, to upstreams over HTTP/1.1 and HTTP/2. Left out \
         are fields that were not announced, those with a name of the lists above, those that begin with `sec-` or \
         `access-control-`, `traceparent`, `tracestate`, and: {}. More than 64 fields or 8 KiB are refused with 400. Trailers of \
         answers pass, except those of the same list, of one connection, and those that begin with `x-doorward-`.\n",
        list(&trailers::NEVER, "")
    )?;
    page.push_str(
        "\n## Interim answers\n\n\
         100 Continue is the gateway's own. 103 Early Hints and other interim answers (1xx) of an upstream are not passed on: the HTTP \
         library can send none but 100. The final answer is not affected.\n",
    );
    page.push_str(
        "\n## Headers removed from answers\n\n\
         Headers of one connection, names that begin with `x-doorward-`, and cookies by the gateway's names. On a route with `cors`, \
         names that begin with `access-control-`; and those that `headers.response.remove` names.\n\
         \n## Headers added to answers\n\n\
         `Strict-Transport-Security: max-age=31536000` where `public_url` is https and its host neither an address nor `localhost`, unless \
         the upstream sends it or the route sets or removes it; `Cache-Control: private` where not anyone may call; those that \
         `headers.response.set` and `cors` of the route say.\n",
    );
    Ok(page)
}

fn list(names: &[&str], end: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}{end}`")).collect();
    names.join(", ")
}
