//! `doctor.md`: every finding of `doorward doctor`, from the table of its checks.

use std::fmt::Write;

use doorward::commands::doctor::{CHECKS, Reads};

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change crates/proxy/src/commands/doctor/checks.rs instead. -->

# Findings of `doorward doctor`

`doorward doctor --config doorward.yaml` reads the settings of Keycloak and names those that do not fit the configuration. It
changes nothing there. [The guide](../guides/keycloak.md#check-the-realm) shows how to run it. An issuer that is not Keycloak
gets the findings about discovery, clock and client only.

| exit code | |
|---|---|
| 0 | no finding |
| 1 | findings |
| 2 | wrong arguments, a configuration that cannot be read, or an administrator that Keycloak refuses |

`--json` prints one document. Members are added to it, and neither removed nor changed:

| member | |
|---|---|
| `issuers[].name`, `.url` | the issuer |
| `.keycloak`, `.administration` | whether it is Keycloak, and whether its settings were read as an administrator |
| `.findings[].name` | a name of this page |
| `.findings[].severity` | `fails` or `weakens` |
| `.findings[].problem`, `.effect`, `.setting`, `.place`, `.value` | one sentence each, and the setting with its place in the admin console and its value |
| `.not_checked[]` | names of checks that need an administrator |
| `.fix` | with `--fix`, the changes as text |

*fails*: logins, tokens or sign-outs fail. *weakens*: they work, with less protection. Without an administrator, the checks \"of the
client\" are made; \"in part\" means that an administrator's settings show more.

";

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for check in CHECKS {
        let reads = match check.reads {
            Reads::Client => "of the client",
            Reads::Both => "of the client, in part",
            Reads::Administration => "of an administrator",
        };
        writeln!(page, "## `{}`\n\n{}\n", check.name, check.summary)?;
        writeln!(page, "- **{}**: {}.", check.severity.as_str(), check.effect)?;
        writeln!(page, "- Setting: {}.", check.setting)?;
        writeln!(page, "- Place: {}.", check.place.replace("{client}", "the client"))?;
        writeln!(page, "- Access: {reads}.\n")?;
    }
    // One line end at the end of the page.
    page.truncate(page.trim_end().len());
    page.push('\n');
    Ok(page)
}
