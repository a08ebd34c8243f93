//! Changes as a script of `kcadm.sh`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::finding::{Change, NewMapper, Setting};
use super::Changes;

/// A word of the shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// An option that sets a member to a JSON value.
fn set(setting: &Setting) -> String {
    format!(" \\\n  -s {}", word(&format!("{}={}", setting.member, setting.value)))
}

fn create(path: &str, realm: &str, body: &Value) -> String {
    format!("kcadm.sh create {path} -r {realm} -b {}", word(&body.to_string()))
}

/// The script.
pub(super) fn script(changes: &Changes<'_>) -> String {
    let realm = word(changes.realm);
    let mut script = format!(
        "# Sign in first: kcadm.sh config credentials --server {} --realm master --user YOUR_NAME\n\
         set -eu\n",
        word(changes.server)
    );
    let needs_clients = changes
        .all
        .iter()
        .any(|change| !matches!(change, Change::Realm(_) | Change::Mapper { .. }));
    let needs_scopes = changes
        .all
        .iter()
        .any(|change| matches!(change, Change::NewScope { .. } | Change::ScopeTaken { .. }));
    if needs_clients {
        script.push_str(&format!(
            "client() {{ kcadm.sh get clients -r {realm} -q \"clientId=$1\" --fields id --format csv --noquotes; }}\n"
        ));
    }
    if needs_scopes {
        script.push_str(&format!(
            "scope() {{ kcadm.sh get client-scopes -r {realm} --fields id,name --format csv --noquotes |\n  \
             awk -F, -v name=\"$1\" '$2 == name {{ print $1 }}'; }}\n"
        ));
    }
    settings(changes, &realm, &mut script);
    for change in &changes.all {
        // Writing to a string does not fail.
        let _ = match change {
            Change::Realm(_) | Change::Client { .. } => Ok(()),
            Change::NewMapper { client, mapper } => {
                let path =
                    format!("\"clients/$(client {})/protocol-mappers/models\"", word(client));
                writeln!(script, "{}", create(&path, &realm, &mapper.representation()))
            }
            Change::Mapper { path, setting, .. } => {
                writeln!(script, "kcadm.sh update {} -r {realm}{}", word(path), set(setting))
            }
            Change::NewScope { name, mapper } => new_scope(&mut script, &realm, name, mapper),
            Change::ScopeTaken { client, scope, default, .. } => {
                let kind = if *default { "default" } else { "optional" };
                writeln!(
                    script,
                    "kcadm.sh delete \"clients/$(client {})/{kind}-client-scopes/$(scope {})\" -r {realm}",
                    word(client),
                    word(scope)
                )
            }
            Change::RoleInScope { client, role } => {
                let (at, target) = match role.split_once(':') {
                    None => (word(&format!("roles/{role}")), "realm".to_owned()),
                    Some((owner, role)) => (
                        format!("\"clients/$(client {})/roles/\"{}", word(owner), word(role)),
                        format!("clients/$(client {})", word(owner)),
                    ),
                };
                writeln!(
                    script,
                    "printf '[%s]' \"$(kcadm.sh get {at} -r {realm})\" |\n  \
                     kcadm.sh create \"clients/$(client {})/scope-mappings/{target}\" -r {realm} -f -",
                    word(client)
                )
            }
        };
    }
    script
}

/// One update of the realm, and one of each client.
fn settings(changes: &Changes<'_>, realm: &str, script: &mut String) {
    let of_realm = changes.of_realm();
    if !of_realm.is_empty() {
        let _ = write!(script, "kcadm.sh update realms/{realm}");
        of_realm.into_iter().for_each(|setting| script.push_str(&set(setting)));
        script.push('\n');
    }
    for client in changes.clients() {
        let _ = write!(script, "kcadm.sh update \"clients/$(client {})\" -r {realm}", word(client));
        for change in &changes.all {
            if let Change::Client { client: of, setting } = change
                && of == client
            {
                script.push_str(&set(setting));
            }
        }
        script.push('\n');
    }
}

fn new_scope(script: &mut String, realm: &str, name: &str, mapper: &NewMapper) -> std::fmt::Result {
    let body = json!({
        "name": name,
        "protocol": "openid-connect",
        "attributes": { "include.in.token.scope": "false" },
        "protocolMappers": [mapper.representation()],
    });
    writeln!(script, "{}", create("client-scopes", realm, &body))?;
    writeln!(
        script,
        "for name in ; do # write here the clients that request tokens for this audience"
    )?;
    writeln!(
        script,
        "  kcadm.sh update \"clients/$(client \"$name\")/default-client-scopes/$(scope {})\" -r {realm} -b '{{}}'",
        word(name)
    )?;
    writeln!(script, "done")
}
