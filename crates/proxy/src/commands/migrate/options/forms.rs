//! The forms in which options of oauth2-proxy are written: the configuration file, command lines, variables, and manifests that
//! hold any of them.

use serde_json::Value;
use toml::Table;

use super::{Options, Source};
use crate::commands::migrate::{MigrateError, manifests};

/// Beginning of the name of each variable.
const PREFIX: &str = "OAUTH2_PROXY_";

/// Stands for a value that a manifest takes from elsewhere: a rule that names it lets no caller in.
const ELSEWHERE: &str = "replace-me.invalid";

/// Flags by which a list of arguments is known as oauth2-proxy's.
const MARKS: [&str; 8] = [
    "client-id",
    "config",
    "cookie-secret",
    "email-domain",
    "http-address",
    "oidc-issuer-url",
    "provider",
    "upstream",
];

/// Flags that take no value after a space.
const SWITCHES: [&str; 43] = [
    "allow_query_semicolons",
    "auth_logging",
    "bearer_token_login_fallback",
    "cookie_csrf_per_request",
    "cookie_httponly",
    "cookie_secure",
    "disable_keep_alives",
    "display_htpasswd_form",
    "encode_state",
    "entra_id_federated_token_auth",
    "errors_to_info_log",
    "force_https",
    "force_json_errors",
    "gcp_healthchecks",
    "insecure_oidc_allow_unverified_email",
    "insecure_oidc_skip_issuer_verification",
    "insecure_oidc_skip_nonce",
    "logging_compress",
    "logging_local_time",
    "pass_access_token",
    "pass_authorization_header",
    "pass_basic_auth",
    "pass_host_header",
    "pass_user_headers",
    "prefer_email_to_user",
    "proxy_websockets",
    "redis_insecure_skip_tls_verify",
    "redis_use_cluster",
    "redis_use_sentinel",
    "relative_redirect_url",
    "request_logging",
    "reverse_proxy",
    "session_cookie_minimal",
    "set_authorization_header",
    "set_basic_auth",
    "set_xauthrequest",
    "skip_auth_preflight",
    "skip_auth_strip_headers",
    "skip_jwt_bearer_tokens",
    "skip_provider_button",
    "ssl_insecure_skip_verify",
    "ssl_upstream_insecure_skip_verify",
    "standard_logging",
];

impl Options {
    /// Reads a text in the form that it has.
    pub(in crate::commands::migrate) fn read(&mut self, text: &str) -> Result<(), MigrateError> {
        let file = text.parse::<Table>();
        // `["--provider=oidc"]` is an array of JSON, and the head of a table in TOML. oauth2-proxy reads no tables.
        if let Ok(file) = &file
            && !file.values().any(toml::Value::is_table)
        {
            self.file(file);
            return Ok(());
        }
        if let Ok(documents) = manifests::read("the manifest", text)
            && documents.iter().any(|document| document.is_object() || document.is_array())
        {
            let mut commands = 0;
            for document in &documents {
                self.manifest(document, &mut commands)?;
            }
            return Ok(());
        }
        let words = self.lines(text)?;
        if words.iter().any(|word| word.starts_with("--") || word.starts_with(PREFIX)) {
            self.flags(&words);
            return Ok(());
        }
        match file {
            Err(error)
                if words.len() > usize::from(words.iter().any(|word| word == "oauth2-proxy")) =>
            {
                let start = error.span().map_or(0, |span| span.start);
                let line = text.get(..start).unwrap_or(text).lines().count().max(1);
                // The parser's own message quotes the text.
                Err(MigrateError::Unreadable {
                    reason: format!("line {line} is no `name = value`"),
                })
            }
            _ => Ok(()),
        }
    }

    /// The configuration file: texts, numbers, switches and lists.
    fn file(&mut self, file: &Table) {
        for (name, value) in file {
            if let Some(name) = name.strip_prefix(PREFIX) {
                self.set_text(Source::Variables, name, &plain(value));
                continue;
            }
            match value {
                toml::Value::Array(items) => self.set(Source::File, name, items.iter().map(plain)),
                one => self.set_text(Source::File, name, &plain(one)),
            }
        }
    }

    /// Variables, lists of arguments and files anywhere in a manifest of Kubernetes or Compose, or in values of Helm.
    fn manifest(&mut self, node: &Value, commands: &mut usize) -> Result<(), MigrateError> {
        match node {
            Value::Array(items) => {
                let words: Vec<String> = items.iter().filter_map(shown).collect();
                self.arguments(&words, commands)?;
                for item in items {
                    self.manifest(item, commands)?;
                }
            }
            Value::Object(keys) => {
                let name = node["name"].as_str().and_then(|name| name.strip_prefix(PREFIX));
                if let Some(name) = name {
                    self.variable(name, node);
                }
                for (key, value) in keys {
                    if let Some(name) = key.strip_prefix(PREFIX) {
                        self.set_text(Source::Variables, name, &shown(value).unwrap_or_default());
                        continue;
                    }
                    match value {
                        Value::String(text) if key == "configFile" || key.ends_with(".cfg") => {
                            self.read(text)?;
                        }
                        // Helm's chart has a map of flags.
                        Value::Object(flags) if key == "extraArgs" => {
                            for (flag, value) in flags {
                                self.set_text(
                                    Source::Flags,
                                    flag,
                                    &shown(value).unwrap_or_default(),
                                );
                            }
                        }
                        Value::String(text) if key == "command" || key == "args" => {
                            let words = words(text)?;
                            self.arguments(&words, commands)?;
                        }
                        _ => self.manifest(value, commands)?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A list of arguments, if it is one of oauth2-proxy. A second one is of another process, whose rules are not these.
    fn arguments(&mut self, items: &[String], commands: &mut usize) -> Result<(), MigrateError> {
        let mut all = Vec::new();
        for item in items {
            // An argument of a shell holds a command line.
            if item.contains(" --") && !item.starts_with("--") {
                all.extend(words(item)?)
            } else {
                all.push(item.clone())
            }
        }
        for variable in all.iter().filter_map(|word| word.strip_prefix(PREFIX)) {
            if let Some((name, value)) = variable.split_once('=') {
                self.set_text(Source::Variables, name, value);
            }
        }
        let marked = |word: &String| {
            let flag = word.strip_prefix("--").unwrap_or_default();
            MARKS.contains(&flag.split('=').next().unwrap_or_default())
        };
        if all.iter().any(marked) {
            *commands += 1;
            if *commands > 1 {
                let reason =
                    "the manifest has two command lines; keep that of one oauth2-proxy".to_owned();
                return Err(MigrateError::Unreadable { reason });
            }
            self.flags(&all);
        }
        Ok(())
    }

    /// An entry of `env`, with a value or a reference to one.
    fn variable(&mut self, name: &str, entry: &Value) {
        if let Some(value) = shown(&entry["value"]) {
            self.set_text(Source::Variables, name, &value);
        } else if name.ends_with("SECRET") || name.ends_with("PASSWORD") {
            // A secret's value is never of interest, only that there is one.
            self.set(Source::Variables, name, ["elsewhere".to_owned()]);
        } else {
            self.set(Source::Variables, name, [ELSEWHERE.to_owned()]);
            self.elsewhere.push(format!("{PREFIX}{name}"));
        }
    }

    /// Sets the variables of a shell's or Docker's text; returns the words of all other lines.
    fn lines(&mut self, text: &str) -> Result<Vec<String>, MigrateError> {
        let mut rest = String::new();
        for line in text.replace("\\\n", " ").lines() {
            let line = line.trim();
            let assigned = line.strip_prefix("export ").unwrap_or(line).trim_start();
            match assigned.strip_prefix(PREFIX).and_then(|setting| setting.split_once('=')) {
                Some((name, value)) if !value.contains(" --") => {
                    let quoted = value.contains(['"', '\'']);
                    let value =
                        if quoted { words(value)?.join(" ") } else { value.trim().to_owned() };
                    self.set_text(Source::Variables, name, &value);
                }
                _ => {
                    rest.push_str(line);
                    rest.push('\n');
                }
            }
        }
        words(&rest)
    }

    /// A command line, which may begin with variables.
    fn flags(&mut self, words: &[String]) {
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let assigned = word.strip_prefix(PREFIX).and_then(|setting| setting.split_once('='));
            if let Some((name, value)) = assigned {
                self.set_text(Source::Variables, name, value);
            }
            let Some(flag) = word.strip_prefix("--") else { continue };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let switch = SWITCHES.contains(&flag.replace('-', "_").as_str());
                    let value = words.next_if(|next| !switch && !next.starts_with("--"));
                    (flag, value.cloned().unwrap_or_else(|| "true".to_owned()))
                }
            };
            self.set_text(Source::Flags, name, &value);
        }
    }
}

/// A text, number or switch of TOML.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(switch) => switch.to_string(),
        // No option is a date or a nested list.
        _ => String::new(),
    }
}

/// A text, number or switch of YAML.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The words of a text as a shell reads them.
fn words(text: &str) -> Result<Vec<String>, MigrateError> {
    let open = || MigrateError::Unreadable { reason: "a quotation mark is not closed".to_owned() };
    let mut words = Vec::new();
    let (mut word, mut begun) = (String::new(), false);
    let text = text.replace("\\\n", " ");
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            blank if blank.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            // A remark, up to the end of its line.
            '#' if !begun => drop(characters.find(|character| *character == '\n')),
            '"' | '\'' => {
                begun = true;
                loop {
                    match characters.next().ok_or_else(open)? {
                        close if close == character => break,
                        '\\' if character == '"' => word.extend(characters.next()),
                        other => word.push(other),
                    }
                }
            }
            '\\' => {
                begun = true;
                word.extend(characters.next());
            }
            other => {
                begun = true;
                word.push(other);
            }
        }
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests;
