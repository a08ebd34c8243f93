//! Documents of YAML streams, as manifests of Kubernetes are written.

use serde_json::Value;

use super::MigrateError;

/// Reads each document of a text.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<Value>, MigrateError> {
    let documents = split(text);
    let several = documents.len() > 1;
    let read = |(number, document): (usize, &String)| {
        let name =
            if several { format!("{name}, document {}", number + 1) } else { name.to_owned() };
        crate::config::read_yaml(&name, document)
            .map_err(|reason| MigrateError::Unreadable { reason })
    };
    documents.iter().enumerate().map(read).collect()
}

fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.starts_with("---") {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let said = |document: &String| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    };
    documents.retain(said);
    documents
}
