//! Dependencies among the modules of a crate run one way: no module reaches itself by the `crate::` paths of its code.
//!
//! A module here is a child of the crate's root, with all that is below it. Code under `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Meta, Token, UseTree};

/// The modules of the gateway, the lowest first, each with those that it may use.
const GATEWAY: &[(&str, &str)] = &[
    ("config", ""),
    ("json", ""),
    ("usage", "json"),
    ("mcp_fault", "json"),
    ("refusal", "mcp_fault"),
    ("metric", ""),
    ("workers", ""),
    ("log", "config"),
    ("telemetry", "config metric"),
    ("listen", "config metric workers log"),
    ("upstream", "config metric workers"),
    ("mcp", "json mcp_fault refusal listen"),
    ("route", "config refusal metric listen mcp upstream"),
    ("throttle", "config refusal metric"),
    ("identify", "config refusal metric listen mcp route throttle"),
    ("authorize", "config refusal listen mcp route identify"),
    ("review", "refusal mcp route throttle identify authorize"),
    ("audit", "config refusal metric log telemetry listen mcp upstream route identify authorize"),
    (
        "forward",
        "config refusal metric workers usage telemetry listen upstream route throttle identify authorize review audit",
    ),
    ("outbound", "config refusal metric listen upstream throttle identify forward"),
    ("carried", "refusal route identify"),
    ("respond", "config mcp_fault refusal listen route throttle"),
    (
        "endpoints",
        "config refusal metric workers listen route throttle identify authorize forward carried respond audit",
    ),
    (
        "gateway",
        "refusal telemetry listen route identify authorize forward carried respond audit endpoints",
    ),
    ("ext_authz", "metric log listen forward gateway"),
    (
        "assemble",
        "config metric workers telemetry listen mcp upstream route throttle identify review forward outbound respond endpoints gateway",
    ),
    ("admin", "config metric workers log listen upstream identify respond gateway"),
    (
        "commands",
        "config refusal metric workers log listen upstream route identify authorize forward outbound respond gateway ext_authz assemble admin",
    ),
];

/// Crates that touch no socket, no clock and no runtime, and what would bring one of these.
const PURE: [&str; 4] = ["access-policy", "api-keys", "http-canonical", "subject-pattern"];
const IMPURE: [&str; 8] =
    ["tokio", "hyper", "hyper-util", "axum", "reqwest", "tower", "oidc-core", "m2m"];

/// Modules, each with those that its code names.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Adds a complaint for each circle, for an arrow of the gateway that its table does not have, and for a dependency that a pure crate must not have.
pub(crate) fn check(root: &Path, complaints: &mut Vec<String>) -> anyhow::Result<()> {
    let folder = root.join("crates");
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let lib = entry.path().join("src/lib.rs");
        if lib.is_file() {
            let arrows = arrows(&lib)?;
            complaints.extend(circle(&arrows).map(|circle| complaint(&name, &circle)));
            if name == "proxy" {
                complaints.extend(differences(&arrows, GATEWAY));
            }
            if PURE.contains(&name.as_str()) {
                let manifest = entry.path().join("Cargo.toml");
                let text = fs::read_to_string(&manifest)
                    .with_context(|| format!("{}", manifest.display()))?;
                complaints.extend(impure(&name, &text));
            }
        }
    }
    Ok(())
}

fn complaint(name: &str, circle: &[String]) -> String {
    format!(
        "crates/{name}: the modules {} use each other in a circle: move what both need below them",
        circle.join(" → ")
    )
}

/// Differences between the arrows of the gateway and its table.
fn differences(arrows: &Arrows, table: &[(&str, &str)]) -> Vec<String> {
    let row = |module: &str| table.iter().find(|(name, _)| *name == module).map(|(_, may)| *may);
    let mut found = Vec::new();
    for (module, uses) in arrows {
        let Some(may) = row(module) else {
            found
                .push(format!("crates/proxy: {module} is not in the table GATEWAY: give it a row"));
            continue;
        };
        let may: BTreeSet<&str> = may.split_whitespace().collect();
        found.extend(uses.iter().filter(|other| !may.contains(other.as_str())).map(|other| {
            format!("crates/proxy: {module} uses {other}, which the table GATEWAY does not allow")
        }));
        found.extend(may.iter().filter(|other| !uses.contains(**other)).map(|other| {
            format!("crates/proxy: {module} no longer uses {other}: take it out of GATEWAY")
        }));
    }
    let mut seen = BTreeSet::new();
    for (module, may) in table {
        found.extend(may.split_whitespace().filter(|other| !seen.contains(other)).map(|other| {
            format!("GATEWAY: {module} uses {other}, which comes later: the lowest comes first")
        }));
        seen.insert(*module);
    }
    found
}

/// Dependencies that a pure crate must not have.
fn impure(name: &str, manifest: &str) -> Vec<String> {
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or(manifest);
    let names = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|dependency| IMPURE.contains(dependency))
        .map(|dependency| format!("crates/{name} is pure: it must not depend on {dependency}"))
        .collect()
}

/// The arrows of the crate with this root file.
fn arrows(lib: &Path) -> anyhow::Result<Arrows> {
    let folder = lib.parent().unwrap_or(lib);
    let root = parse(lib)?;
    let mut arrows = Arrows::new();
    for module in root.items.iter().filter_map(outside_tests) {
        let mut named = Named::default();
        read(folder, module, &mut named)?;
        arrows.insert(module.ident.to_string(), named.0);
    }
    let modules: BTreeSet<String> = arrows.keys().cloned().collect();
    for (module, named) in &mut arrows {
        named.retain(|other| other != module && modules.contains(other));
    }
    Ok(arrows)
}

/// Reads a module with its children; `folder` is where its file is.
fn read(folder: &Path, module: &ItemMod, named: &mut Named) -> anyhow::Result<()> {
    let below = folder.join(module.ident.to_string());
    let file = match &module.content {
        Some((_, items)) => {
            items.iter().for_each(|item| named.visit_item(item));
            for child in items.iter().filter_map(outside_tests) {
                read(&below, child, named)?;
            }
            return Ok(());
        }
        None => parse(&file_of(&below))?,
    };
    named.visit_file(&file);
    for child in file.items.iter().filter_map(outside_tests) {
        if child.content.is_none() {
            read(&below, child, named)?;
        }
    }
    Ok(())
}

fn file_of(module: &Path) -> PathBuf {
    let beside = module.with_extension("rs");
    if beside.is_file() { beside } else { module.join("mod.rs") }
}

fn parse(file: &Path) -> anyhow::Result<syn::File> {
    let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    syn::parse_file(&text).with_context(|| format!("{}", file.display()))
}

fn outside_tests(item: &Item) -> Option<&ItemMod> {
    match item {
        Item::Mod(module) if !is_for_tests(&module.attrs) => Some(module),
        _ => None,
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition))
    })
}

/// Whether a condition holds in tests only: `test`, or `all(…)` with it.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => {
            let all = Punctuated::<Meta, Token![,]>::parse_terminated;
            list.parse_args_with(all).is_ok_and(|all| all.iter().any(needs_test))
        }
        _ => false,
    }
}

/// Names directly after `crate::`.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl Named {
    fn first_of(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => drop(self.0.insert(path.ident.to_string())),
            UseTree::Name(name) => drop(self.0.insert(name.ident.to_string())),
            UseTree::Rename(name) => drop(self.0.insert(name.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.first_of(tree)),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        if let UseTree::Path(path) = &import.tree
            && path.ident == "crate"
        {
            self.first_of(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter().map(|segment| &segment.ident);
        if segments.next().is_some_and(|first| first == "crate")
            && let Some(module) = segments.next()
        {
            self.0.insert(module.to_string());
        }
        visit::visit_path(self, path);
    }
}

/// A shortest way from a module back to itself.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    let circles = arrows.keys().filter_map(|start| way(arrows, start, start));
    circles.min_by_key(Vec::len)
}

fn way(arrows: &Arrows, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = std::collections::VecDeque::from([vec![from.to_owned()]]);
    while let Some(way) = ways.pop_front() {
        for next in arrows.get(way.last()?).into_iter().flatten() {
            let longer = || way.iter().chain([next]).cloned().collect::<Vec<_>>();
            if next == to {
                return Some(longer());
            }
            if seen.insert(next) {
                ways.push_back(longer());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: &str) -> Vec<String> {
        let mut named = Named::default();
        named.visit_file(&syn::parse_file(code).unwrap());
        named.0.into_iter().collect()
    }

    fn crate_of(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::TempDir::new().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let lib = folder.path().join("lib.rs");
        (folder, lib)
    }

    #[test]
    fn every_way_to_name_a_module_counts() {
        let code = "
            //! crate::comment
            use crate::one;
            use crate::{two::Two, three::{self, Three}, four as quatre};
            pub(crate) use crate::five::*;
            fn f(_: crate::six::Six) -> Option<crate::seven::Seven> { crate::eight::f() }
            #[cfg(test)]
            mod tests { use crate::tests_only::T; }
            #[cfg(all(test, feature = \"x\"))]
            mod more { use crate::tests_only::T; }
            #[cfg(any(test, feature = \"x\"))]
            mod fixtures { use crate::nine::Nine; }
            use super::ten;
        ";
        let mut expected = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
        expected.sort_unstable();
        assert_eq!(named(code), expected);
    }

    #[test]
    fn a_circle_across_files_is_found() {
        let (_folder, lib) = crate_of(&[
            ("lib.rs", "mod a; mod b; mod c; #[cfg(test)] mod tests;"),
            ("a.rs", "mod deep;"),
            ("a/deep.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C; #[cfg(test)] mod tests;"),
            ("b/tests.rs", "use crate::a::A;"),
            ("c.rs", "fn f() { crate::a::g() }"),
            ("tests.rs", "use crate::a::A;"),
        ]);
        let found = circle(&arrows(&lib).unwrap()).unwrap();
        assert_eq!(found, ["a", "b", "c", "a"]);
        assert!(complaint("m2m", &found).contains("a → b → c → a"));
        fs::write(lib.with_file_name("c.rs"), "").unwrap();
        assert_eq!(circle(&arrows(&lib).unwrap()), None);
    }

    #[test]
    fn an_arrow_outside_the_table_is_a_complaint() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let arrows: Arrows =
            [("low".to_owned(), set(&[])), ("high".to_owned(), set(&["low"]))].into();
        assert_eq!(differences(&arrows, &[("low", ""), ("high", "low")]), [""; 0]);
        let missing = differences(&arrows, &[("low", ""), ("high", "")]);
        assert!(missing[0].contains("high uses low"), "{missing:?}");
        let stale = differences(&arrows, &[("other", ""), ("low", "other"), ("high", "low")]);
        assert!(stale[0].contains("low no longer uses other"), "{stale:?}");
        let order = differences(&arrows, &[("high", "low"), ("low", "")]);
        assert!(order[0].contains("comes later"), "{order:?}");
        assert!(differences(&arrows, &[("low", "")])[0].contains("give it a row"));
    }

    #[test]
    fn a_pure_crate_has_no_runtime() {
        let manifest = "[dependencies]\nhttp.workspace = true\ntokio = { version = \"1\" }\n";
        assert!(impure("access-policy", manifest)[0].contains("tokio"));
        let tests_only =
            "[dependencies]\nhttp.workspace = true\n[dev-dependencies]\ntokio = \"1\"\n";
        assert_eq!(impure("access-policy", tests_only), [""; 0]);
    }
}
