//! Every configuration in the documentation is valid.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use doorward::config::Config;

/// The rest of a file around a piece from the documentation.
const REST: &str = "
public_url: https://platform.example
trusted_proxies: [10.0.0.5/32]
issuers:
  main:
    url: https://keycloak.example/realms/platform
    client_id: gateway
    client_auth: { secret: { file: /run/secrets/gateway } }
    audience: [gateway]
session:
  key: { file: /run/secrets/session-key }
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs/guides", "docs/guides/providers", "docs/concepts"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.is_file());
    pages
}

/// The YAML blocks of a page, without the indentation of a list around them.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in page.lines() {
        let text = line.trim_start();
        match &mut open {
            None if text == "```yaml" => open = Some((line.len() - text.len(), String::new())),
            None => {}
            Some(_) if text == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    blocks
}

/// A piece completed to a whole file; `None` for another kind of YAML.
fn whole(block: &str) -> Option<String> {
    if block.contains("public_url:") {
        return Some(block.to_owned());
    }
    if block.starts_with("issuers:") && block.contains(" url: ") && !block.contains("\nroutes:") {
        let (before, after) = (REST.find("issuers:").unwrap(), REST.find("session:").unwrap());
        let (head, session) = (&REST[..before], &REST[after..]);
        let sign_in = if block.contains("client_id:") { "auto" } else { "challenge" };
        let route = format!(
            "routes: {{ app: {{ match: {{ path: / }}, upstream: http://app:8080, sign_in: {sign_in}, \
             access: [{{ allow: signed_in }}] }} }}\n"
        );
        return Some(format!("{head}{block}{session}{route}"));
    }
    if block.starts_with("outbound:") {
        let route = "routes: { app: { match: { path: / }, upstream: 'http://app', access: [{ allow: signed_in }] } }\n";
        return Some(format!("{REST}{block}{route}"));
    }
    if ["routes:", "rules:", "defaults:"].iter().any(|key| block.starts_with(key)) {
        return Some(format!("{REST}{block}"));
    }
    if block.starts_with("  ") && block.contains("match:") {
        return Some(format!("{REST}routes:\n{block}"));
    }
    if block.starts_with("access:") {
        let access: String = block.lines().map(|line| format!("    {line}\n")).collect();
        let route =
            "  scoring:\n    match: { path: /models/churn }\n    upstream: http://churn:8080\n";
        return Some(format!("{REST}routes:\n{route}{access}"));
    }
    None
}

#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let mut tried = 0;
    for page in pages() {
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            let Some(text) = whole(&block) else { continue };
            tried += 1;
            let name = page.file_name().unwrap().to_string_lossy().into_owned();
            if let Err(problems) = Config::parse(&name, &text) {
                panic!("{problems}\n{text}");
            }
        }
    }
    assert!(tried >= 20, "only {tried} were found");
}

/// The sources of tests whose file has this name.
fn sources(file: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("tests/tests"), root().join("crates/proxy/tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == file) {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn each_caller_in_the_documentation_names_its_test() {
    let page = fs::read_to_string(root().join("docs/concepts/callers.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.contains(".rs::")).collect();
    let callers = page.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert_eq!(rows.len(), callers, "each line has a test");
    for row in rows {
        let (file, name) =
            row.trim_end_matches("` |").rsplit_once('`').unwrap().1.split_once("::").unwrap();
        let test = format!("fn {name}(");
        assert!(sources(file).iter().any(|text| text.contains(&test)), "{file} has no test {name}");
    }
}
