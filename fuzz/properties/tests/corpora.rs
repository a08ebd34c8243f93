//! Replays the committed inputs of the fuzz targets: each property holds for each of them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use fuzz_properties::{PROPERTIES, Property};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The committed inputs for which a property does not hold.
fn failures((name, property): (&str, Property)) -> Vec<String> {
    let inputs = folder("corpus").join(name);
    let names = names_in(&inputs);
    assert!(!names.is_empty(), "{name} has no inputs");
    let failed = |input: &String| {
        let data = fs::read(inputs.join(input)).unwrap();
        catch_unwind(|| property(&data)).is_err()
    };
    names.into_iter().filter(failed).map(|input| format!("{name}/{input}")).collect()
}

#[test]
fn every_property_holds_for_its_corpus() {
    let failed: Vec<String> = PROPERTIES.into_iter().flat_map(failures).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_property_has_a_target_and_a_corpus() {
    let properties: BTreeSet<String> =
        PROPERTIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&folder("corpus")), properties);
    let targets: BTreeSet<String> = names_in(&folder("fuzz_targets"))
        .into_iter()
        .map(|file| file.strip_suffix(".rs").unwrap().to_owned())
        .collect();
    assert_eq!(targets, properties);
}
