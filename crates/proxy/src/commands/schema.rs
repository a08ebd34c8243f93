//! `doorward schema`: the JSON Schema of the configuration, for editors and pipelines.

use schemars::generate::SchemaSettings;

use crate::config::Config;

/// The schema (JSON Schema 2020-12), indented.
#[must_use]
pub fn schema() -> String {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "doorward.yaml".into());
    // `{:#}` of a JSON value is its indented form and cannot fail.
    format!("{:#}", schema.to_value())
}
