//! `config.md`: the configuration, from its JSON Schema, which the types and their comments give.

use std::collections::VecDeque;
use std::fmt::Write;

use anyhow::Context;
use serde_json::{Map, Value};

const HEAD: &str = "\
<!-- Written by `cargo run -p xtask -- docs`. Change the comments in crates/proxy/src/config instead. -->

# doorward.yaml

Unknown keys are refused, and `doorward check` names every problem of a file in one run. A secret is
never in the file: it is `{ file: PATH }` or `{ env: NAME }`. Durations are `30s`, `15m`, `12h`; sizes
`512KiB`, `10GiB`. Relative paths start from the working directory. For editors there is
[config.schema.json](config.schema.json). Many services need few lines:
[what routes share](../guides/shared-settings.md).

";

/// Types that many keys take, each with the title of its section.
const TITLES: [(&str, &str); 2] = [("SecretRef", "a secret"), ("Requirement", "a requirement")];

/// The page.
pub(crate) fn page(schema: &str) -> anyhow::Result<String> {
    let schema: Value = serde_json::from_str(schema)?;
    let types =
        schema.get("$defs").and_then(Value::as_object).context("a schema without `$defs`")?;
    let mut page =
        Page { text: HEAD.to_owned(), types, sections: Vec::new(), queue: VecDeque::new() };
    page.keys("", &schema)?;
    while let Some((place, name)) = page.queue.pop_front() {
        let schema = page.types.get(&name).with_context(|| format!("no type {name}"))?;
        let heading = if place.contains(' ') { place.clone() } else { format!("`{place}`") };
        write!(page.text, "\n## {heading}\n\n{}\n\n", description(schema))?;
        page.section(&place, schema)?;
    }
    Ok(page.text)
}

struct Page<'s> {
    text: String,
    types: &'s Map<String, Value>,
    /// Types that have a section, each with the key that the section describes.
    sections: Vec<(String, String)>,
    queue: VecDeque<(String, String)>,
}

impl Page<'_> {
    fn section(&mut self, place: &str, schema: &Value) -> anyhow::Result<()> {
        match choices(schema) {
            Some(choices) => self.choices(place, choices),
            None => self.keys(place, schema),
        }
    }

    fn keys(&mut self, place: &str, schema: &Value) -> anyhow::Result<()> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        writeln!(self.text, "| key | value | without it | |\n|---|---|---|---|")?;
        for (key, property) in properties.into_iter().flatten() {
            let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            let needed = required.is_some_and(|keys| keys.iter().any(|name| name == key));
            let default = match property.get("default") {
                _ if needed => "required".to_owned(),
                Some(Value::Null | Value::Object(_)) | None => String::new(),
                Some(default) => format!("`{}`", in_yaml(default)),
            };
            let value = self.value(&below, property);
            writeln!(self.text, "| `{key}` | {value} | {default} | {} |", description(property))?;
        }
        Ok(())
    }

    fn choices(&mut self, place: &str, choices: &[Value]) -> anyhow::Result<()> {
        for choice in choices {
            let value = self.value(place, choice);
            let meaning = description(choice);
            writeln!(
                self.text,
                "- {value}{}{meaning}",
                if meaning.is_empty() { "" } else { ": " }
            )?;
        }
        Ok(())
    }

    /// The values that a schema allows; types with keys get a section.
    fn value(&mut self, place: &str, schema: &Value) -> String {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            return self.reference(place, name.trim_start_matches("#/$defs/"));
        }
        if let Some(word) = schema.get("const").and_then(Value::as_str) {
            return format!("`{word}`");
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<String> =
                words.iter().map(|word| format!("`{}`", in_yaml(word))).collect();
            return words.join(", ");
        }
        if let Some(choices) = choices(schema) {
            let written =
                choices.iter().filter(|choice| choice.get("type") != Some(&"null".into()));
            let mut written: Vec<String> =
                written.map(|choice| self.value(place, choice)).collect();
            written.dedup();
            return written.join(", or ");
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object())
        {
            let value = self.value(&format!("{place}.NAME"), values);
            return format!("names, each with {value}");
        }
        if let Some(items) = schema.get("items") {
            return format!("a list of {}", self.value(place, items));
        }
        if let Some(keys) = schema.get("properties").and_then(Value::as_object) {
            let keys = keys.iter().map(|(key, value)| {
                let value = self.value(&format!("{place}.{key}"), value);
                format!("`{{ {key}: … }}` with {value}")
            });
            return keys.collect::<Vec<_>>().join(", ");
        }
        let types = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        };
        let words = types.into_iter().filter_map(|name| match name {
            "string" => Some("text"),
            "integer" | "number" => Some("a number"),
            "boolean" => Some("`true` or `false`"),
            _ => None,
        });
        words.collect::<Vec<_>>().join(" or ")
    }

    fn reference(&mut self, place: &str, name: &str) -> String {
        if name == "RouteDefaults" {
            return "keys of [`routes.NAME`](#routesname)".to_owned();
        }
        if name == "AccessRule" && place.starts_with("presets.") {
            return "[`routes.NAME.access`](#routesnameaccess)".to_owned();
        }
        if let Some(schema) = self.types.get(name)
            && let Some(words) = only_words(schema)
        {
            return words;
        }
        let title = TITLES.iter().find(|(known, _)| *known == name);
        let place = title.map_or(place, |(_, title)| title);
        let place = match self.sections.iter().find(|(known, _)| known == name) {
            Some((_, place)) => place.clone(),
            None => {
                self.sections.push((name.to_owned(), place.to_owned()));
                self.queue.push_back((place.to_owned(), name.to_owned()));
                place.to_owned()
            }
        };
        let shown = if place.contains(' ') { place.clone() } else { format!("`{place}`") };
        format!("[{shown}](#{})", anchor(&place))
    }
}

fn choices(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
}

/// The words of a choice that has nothing but words, with their meanings.
fn only_words(schema: &Value) -> Option<String> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", in_yaml(word))).collect();
        return Some(words.join(", "));
    }
    let choices = schema.get("oneOf").and_then(Value::as_array)?;
    let words = choices.iter().map(|choice| {
        let word = choice.get("const")?.as_str()?;
        let meaning = description(choice);
        let meaning = meaning.trim_end_matches('.');
        Some(if meaning.is_empty() { format!("`{word}`") } else { format!("`{word}` ({meaning})") })
    });
    Some(words.collect::<Option<Vec<_>>>()?.join(", "))
}

/// A comment, in one line.
fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn in_yaml(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(in_yaml).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The anchor that Markdown renderers give a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .map(|c| if c == ' ' { '-' } else { c })
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}
