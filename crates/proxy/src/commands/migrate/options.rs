//! Options of oauth2-proxy in their forms: flags, environment variables and the configuration file.
//!
//! Each becomes a name as the configuration file spells it, and its values.

use std::collections::BTreeMap;

use super::MigrateError;

/// Options that are set, by name.
#[derive(Debug, Default)]
pub(super) struct Options(BTreeMap<String, Vec<String>>);

/// Names of flags that the configuration file writes in the plural.
const LISTS: [&str; 14] = [
    "allowed_group",
    "allowed_role",
    "api_route",
    "cookie_domain",
    "email_domain",
    "extra_jwt_issuer",
    "oidc_extra_audience",
    "provider_ca_file",
    "skip_auth_route",
    "skip_auth_regex",
    "trusted_ip",
    "trusted_proxy_ip",
    "upstream",
    "whitelist_domain",
];

/// Flags that take no value after a space.
const SWITCHES: [&str; 28] = [
    "cookie_httponly",
    "cookie_secure",
    "force_https",
    "force_json_errors",
    "insecure_oidc_allow_unverified_email",
    "insecure_oidc_skip_issuer_verification",
    "insecure_oidc_skip_nonce",
    "pass_access_token",
    "pass_authorization_header",
    "pass_basic_auth",
    "pass_host_header",
    "pass_user_headers",
    "prefer_email_to_user",
    "proxy_websockets",
    "request_logging",
    "reverse_proxy",
    "session_cookie_minimal",
    "set_authorization_header",
    "set_basic_auth",
    "set_xauthrequest",
    "silence_ping_logging",
    "skip_auth_preflight",
    "skip_auth_strip_headers",
    "skip_jwt_bearer_tokens",
    "skip_oidc_discovery",
    "skip_provider_button",
    "ssl_insecure_skip_verify",
    "ssl_upstream_insecure_skip_verify",
];

impl Options {
    /// Reads a text in the form that it has.
    pub(super) fn read(&mut self, text: &str) -> Result<(), MigrateError> {
        let words = words(text);
        if words.iter().any(|word| word.starts_with("OAUTH2_PROXY_")) {
            self.environment(&words);
        } else if words.iter().any(|word| word.starts_with("--")) {
            self.flags(&words);
        } else {
            self.file(text)?;
        }
        Ok(())
    }

    /// Whether none is set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes an option, and returns its last value.
    pub(super) fn one(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)?.pop().filter(|value| !value.is_empty())
    }

    /// Removes an option, and returns its values.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let mut values = self.0.remove(name).unwrap_or_default();
        values.retain(|value| !value.is_empty());
        values
    }

    /// Removes a switch; `None` if it is not written.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.one(name)
            .map(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "t"))
    }

    /// Removes a switch that is on.
    pub(super) fn is_on(&mut self, name: &str) -> bool {
        self.switch(name) == Some(true)
    }

    /// The names that are left.
    pub(super) fn rest(self) -> impl Iterator<Item = String> {
        self.0.into_keys()
    }

    /// Adds the values of a key of the alpha configuration, if it is there.
    pub(super) fn add(&mut self, name: &str, value: &serde_json::Value) {
        use serde_json::Value;
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        };
        match value {
            Value::Array(items) => self.set(name, items.iter().filter_map(text)),
            Value::Null => {}
            one => self.set(name, text(one)),
        }
    }

    fn set(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let mut name = name.to_ascii_lowercase().replace('-', "_");
        if LISTS.contains(&name.as_str()) && name != "skip_auth_regex" {
            name.push('s');
        }
        self.0.entry(name).or_default().extend(values);
    }

    fn is_list(name: &str) -> bool {
        let name = name.to_ascii_lowercase().replace('-', "_");
        LISTS.iter().any(|known| *known == name || name.strip_suffix('s') == Some(*known))
    }

    /// A command line, or the list of arguments in a manifest.
    fn flags(&mut self, words: &[String]) {
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else { continue };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let switch = SWITCHES.contains(&flag.replace('-', "_").as_str());
                    let value = words.next_if(|next| !switch && !next.starts_with("--"));
                    (flag, value.cloned().unwrap_or_else(|| "true".to_owned()))
                }
            };
            self.set(name, [value]);
        }
    }

    /// Lines `NAME=value` or `NAME: value`, or `name: NAME` and `value: value` in a manifest.
    fn environment(&mut self, words: &[String]) {
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(setting) = word.strip_prefix("OAUTH2_PROXY_") else { continue };
            let (name, value) = match setting.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    words.next_if(|next| *next == "value:");
                    if words.peek().is_some_and(|next| *next == "valueFrom:")
                        && (setting.ends_with("SECRET") || setting.ends_with("PASSWORD"))
                    {
                        // A secret's value is never of interest, only that there is one.
                        self.set(setting, ["elsewhere".to_owned()]);
                        continue;
                    }
                    let next = words.next_if(|next| {
                        !next.starts_with("OAUTH2_PROXY_")
                            && !matches!(next.as_str(), "-" | "name:" | "valueFrom:")
                    });
                    (setting.trim_end_matches(':'), next.cloned().unwrap_or_default())
                }
            };
            if Self::is_list(name) {
                self.set(name, value.split(',').map(|part| part.trim().to_owned()));
            } else {
                self.set(name, [value]);
            }
        }
    }

    /// The configuration file: `name = value` with texts, numbers, switches and lists.
    fn file(&mut self, text: &str) -> Result<(), MigrateError> {
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let line = without_comment(line);
            if line.is_empty() {
                continue;
            }
            let wrong = || MigrateError::Unreadable {
                reason: format!("line {} is no `name = value`", number + 1),
            };
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            let mut value = value.trim().to_owned();
            while value.starts_with('[') && !value.ends_with(']') {
                let (_, more) = lines.next().ok_or_else(wrong)?;
                value.push_str(without_comment(more).trim());
            }
            let name = name.trim().trim_matches('"');
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(plain) {
                return Err(wrong());
            }
            match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => self.set(name, texts(list).ok_or_else(wrong)?),
                None => {
                    let mut value = texts(&value).ok_or_else(wrong)?;
                    self.set(name, value.pop());
                }
            }
        }
        Ok(())
    }
}

/// A line up to a `#` outside quotation marks.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '#') => return line.get(..at).unwrap_or_default().trim(),
            _ => {}
        }
    }
    line.trim()
}

/// Values separated by commas, in quotation marks or not; `None` with an open quotation mark.
fn texts(list: &str) -> Option<Vec<String>> {
    let (mut found, mut text, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' | '\'' => {
                quoted = true;
                loop {
                    match characters.next()? {
                        close if close == character => break,
                        '\\' if character == '"' => text.push(match characters.next()? {
                            'n' => '\n',
                            't' => '\t',
                            other => other,
                        }),
                        other => text.push(other),
                    }
                }
            }
            ',' => {
                if quoted || !text.is_empty() {
                    found.push(std::mem::take(&mut text));
                }
                quoted = false;
            }
            blank if blank.is_whitespace() => {}
            other => text.push(other),
        }
    }
    if quoted || !text.is_empty() {
        found.push(text);
    }
    Some(found)
}

/// The words of a text as a shell reads them; the marks of YAML and JSON lists around them are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        // Whether the word has begun, and whether its last character is a closing quotation mark.
        let (mut word, mut begun, mut closed) = (String::new(), false, false);
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            let ends = character.is_whitespace() || (closed && matches!(character, ',' | ']'));
            closed = false;
            match character {
                _ if ends => {
                    if begun {
                        words.push(std::mem::take(&mut word));
                    }
                    begun = false;
                }
                '[' | ']' | ',' if !begun => {}
                '"' | '\'' => {
                    (begun, closed) = (true, true);
                    quoted(&mut characters, character, &mut word);
                }
                '\\' => {
                    // At the end of a line it only continues the command.
                    let next = characters.next();
                    begun |= next.is_some();
                    word.extend(next);
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
    }
    words.retain(|word| word != "export" && word != "-");
    words
}

/// Reads up to the closing quotation mark.
fn quoted(characters: &mut std::str::Chars<'_>, mark: char, word: &mut String) {
    while let Some(character) = characters.next() {
        match character {
            close if close == mark => break,
            '\\' if mark == '"' => word.extend(characters.next()),
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn read(text: &str) -> Options {
        let mut options = Options::default();
        options.read(text).unwrap();
        options
    }

    #[test]
    fn each_form_names_the_same_options() {
        for text in [
            "email_domains = [ \"a.example\", 'b.example' ] # ours\nreverse_proxy = true\nclient_secret=\"a#b\"",
            "email_domains = [\n  \"a.example\",\n  \"b.example\",\n]\nreverse_proxy=true\nclient_secret = 'a#b'\n",
            "oauth2-proxy --email-domain=a.example \\\n  --email-domain b.example --reverse-proxy --client-secret 'a#b'",
            "args:\n  - --email-domain=a.example\n  - \"--email-domain=b.example\"\n  - --reverse-proxy=true\n  - --client-secret=a#b\n",
            "[\"--email-domain=a.example\", \"--email-domain=b.example\", \"--reverse-proxy\", \"--client-secret=a#b\"]",
            "OAUTH2_PROXY_EMAIL_DOMAINS=a.example,b.example\nexport OAUTH2_PROXY_REVERSE_PROXY=\"true\"\nOAUTH2_PROXY_CLIENT_SECRET=a#b",
            "environment:\n  OAUTH2_PROXY_EMAIL_DOMAINS: a.example,b.example\n  OAUTH2_PROXY_REVERSE_PROXY: \"true\"\n  OAUTH2_PROXY_CLIENT_SECRET: a#b\n",
            "env:\n  - name: OAUTH2_PROXY_EMAIL_DOMAINS\n    value: a.example,b.example\n  - name: OAUTH2_PROXY_REVERSE_PROXY\n    value: 'true'\n  - name: OAUTH2_PROXY_CLIENT_SECRET\n    value: a#b\n",
        ] {
            let mut options = read(text);
            assert_eq!(options.all("email_domains"), ["a.example", "b.example"], "{text}");
            assert!(options.is_on("reverse_proxy"), "{text}");
            assert_eq!(options.one("client_secret").as_deref(), Some("a#b"), "{text}");
            assert_eq!(options.rest().count(), 0, "{text}");
        }
    }

    #[test]
    fn a_line_that_is_no_setting_is_refused_without_quoting_it() {
        for text in ["client_secret s3cr3t", "a = \"s3cr3t", "a = [ \"s3cr3t\"", "s3cr3t! = 1"] {
            let error = Options::default().read(text).unwrap_err().to_string();
            assert!(
                error.contains("line 1 is no `name = value`") && !error.contains("s3cr3t"),
                "{error}"
            );
        }
    }
}
