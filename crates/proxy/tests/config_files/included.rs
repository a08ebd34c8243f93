//! Included files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use doorward::commands::check::check;
use doorward::config::{Config, Loaded, Problems};

/// The main file, complete but for the secrets that `check` would look for.
const MAIN: &str = "\
public_url: https://platform.example
include: conf.d/*.yaml
rules:
  staff: { roles: [staff] }
routes:
  app:
    match: { path: /app }
    upstream: http://app:8000
    sign_in: challenge
    access: [ { use: staff } ]
";

const ISSUER: &str =
    "issuers: { main: { url: 'https://id.example', client_id: gateway, audience: [models] } }\n";

fn route(name: &str) -> String {
    format!(
        "routes:\n  {name}: {{ match: {{ path: /{name} }}, upstream: 'http://{name}:1', sign_in: challenge, access: [ {{ use: staff }} ] }}\n"
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.at("conf.d")).unwrap();
        folder.write("doorward.yaml", MAIN);
        folder.write("conf.d/10-issuers.yaml", ISSUER);
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn load(&self) -> Result<Loaded, Problems> {
        Config::load(&self.at("doorward.yaml"))
    }

    /// The problems, with the names of their files.
    fn problems(&self) -> Vec<String> {
        let problems = self.load().unwrap_err().problems;
        let root = format!("{}/", self.0.path().display());
        problems.iter().map(|one| format!("{}:{one}", one.file).replace(&root, "")).collect()
    }

    fn the_problem(&self) -> String {
        let mut found = self.problems();
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }
}

#[test]
fn files_hold_routes_rules_and_issuers() {
    let folder = Folder::new(&[
        (
            "conf.d/20-models.yaml",
            &format!("rules: {{ ml: {{ roles: [ml] }} }}\n{}", route("churn")),
        ),
        ("conf.d/30-empty.yaml", "# nothing yet\n"),
        ("conf.d/40-no-routes.yaml", "routes:\n"),
        ("conf.d/ignored.yml", "nonsense: ["),
        ("conf.d/.hidden.yaml", "nonsense: ["),
    ]);
    let loaded = folder.load().unwrap();
    assert_eq!(loaded.config.routes.keys().collect::<Vec<_>>(), ["app", "churn"]);
    assert!(loaded.config.issuers.contains_key("main"));
    let place = loaded.places.get("churn").unwrap().route.to_string();
    assert!(place.ends_with("conf.d/20-models.yaml:3:3"), "{place}");
    for watched in ["conf.d", "conf.d/10-issuers.yaml", "conf.d/20-models.yaml"] {
        assert!(loaded.included.contains(&folder.at(watched)), "{watched} {:?}", loaded.included);
    }
    folder.write("conf.d/20-models.yaml", &route("scores"));
    assert_ne!(folder.load().unwrap().hash, loaded.hash);
}

#[test]
fn the_hash_of_a_file_alone_is_that_of_its_bytes() {
    let text = MAIN.replace("include: conf.d/*.yaml\n", ISSUER);
    let folder = Folder::new(&[("doorward.yaml", &text)]);
    assert_eq!(folder.load().unwrap().hash, Config::parse("other", &text).unwrap().hash);
}

#[test]
fn a_problem_has_the_file_and_line_that_it_is_in() {
    let folder = Folder::new(&[(
        "conf.d/20.yaml",
        "# models\nroutes:\n  churn:\n    match: { path: /churn }\n    upstram: http://churn:1\n    access: [ { use: stff } ]\n",
    )]);
    let found = folder.problems();
    assert_eq!(
        found,
        [
            "conf.d/20.yaml:5:5: routes.churn.upstram: unknown key; did you mean `upstream`?",
            "conf.d/20.yaml:6:22: routes.churn.access#1.use: unknown rule `stff`; did you mean `staff`?"
        ]
    );
    let mut out = Vec::new();
    assert!(!check(&folder.at("doorward.yaml"), &mut out).unwrap());
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("conf.d/20.yaml:5:5: routes.churn.upstram: "), "{out}");
    assert!(folder.load().unwrap_err().to_string().contains("conf.d/20.yaml:5:5: "));
}

#[test]
fn a_name_in_two_files_is_refused_with_both_places() {
    let folder = Folder::new(&[("conf.d/20.yaml", &route("app"))]);
    let found = folder.the_problem();
    assert!(
        found.starts_with("conf.d/20.yaml:2:3: routes.app: invalid name: `app` is in "),
        "{found}"
    );
    assert!(found.contains("doorward.yaml:6:3 too; keep one of them"), "{found}");
    folder.write("conf.d/20.yaml", "rules: { ml: { roles: [a] } }");
    folder.write("conf.d/30.yaml", "rules: { ml: { roles: [b] } }");
    let found = folder.the_problem();
    assert!(
        found.starts_with("conf.d/30.yaml:1:10: rules.ml: ")
            && found.contains("conf.d/20.yaml:1:10 too"),
        "{found}"
    );
}

#[test]
fn an_included_file_holds_nothing_else() {
    for (text, expected) in [
        ("listen: 0.0.0.0:1\n", "1:1: listen: unsupported key in an included file"),
        ("include: other.yaml\n", "1:1: include: unsupported key in an included file"),
        ("defaults: {}\n", "1:1: defaults: unsupported key in an included file"),
        ("- routes\n", "1:1: invalid file: it is no map"),
        ("routes: [a]\n", "1:1: routes: invalid value; write a map"),
        ("routes: {}\nroutes: {}\n", "2:1: routes: invalid map: this key occurs twice"),
        ("routes: {", "invalid YAML from here on"),
    ] {
        let found = Folder::new(&[("conf.d/20.yaml", text)]).the_problem();
        assert!(
            found.starts_with("conf.d/20.yaml:") && found.contains(expected),
            "{text}: {found}"
        );
    }
}

#[test]
fn a_pattern_names_files_that_exist() {
    let folder = Folder::new(&[]);
    fs::create_dir(folder.at("conf.d/folder.yaml")).unwrap();
    for (pattern, expected) in [
        (
            "conf.d/none.yaml",
            "2:10: include: invalid `include`: `conf.d/none.yaml` cannot be read: No such file",
        ),
        ("none/*.yaml", "cannot read the folder `none` of `none/*.yaml`: No such file"),
        ("'*/a.yaml'", "`*` stands in the name of a file only"),
        ("'..'", "invalid pattern `..`: it names no file"),
        ("'*.yaml'", "`doorward.yaml` is this file itself"),
        ("conf.d/folder.yaml", "`conf.d/folder.yaml` is not a file"),
    ] {
        folder.write("doorward.yaml", &MAIN.replace("conf.d/*.yaml", pattern));
        let found = folder.the_problem();
        assert!(
            found.starts_with("doorward.yaml:2:10: ") && found.contains(expected),
            "{pattern}: {found}"
        );
    }
    let text = MAIN.replace(
        "include: conf.d/*.yaml",
        "include: [conf.d/10-issuers.yaml, conf.d/1*.yaml, more/*.yaml]",
    );
    fs::create_dir(folder.at("more")).unwrap();
    folder.write("doorward.yaml", &text);
    assert!(
        folder.load().is_ok(),
        "a file that two patterns name is read once, an empty folder is fine"
    );
}

#[test]
fn links_are_followed_as_kubernetes_writes_them() {
    let folder = Folder::new(&[("routes.yaml", &route("churn"))]);
    fs::create_dir(folder.at("conf.d/..v1")).unwrap();
    fs::rename(folder.at("routes.yaml"), folder.at("conf.d/..v1/20.yaml")).unwrap();
    symlink("..v1", folder.at("conf.d/..data")).unwrap();
    symlink("..data/20.yaml", folder.at("conf.d/20.yaml")).unwrap();
    assert!(folder.load().unwrap().config.routes.contains_key("churn"));
}

#[test]
fn a_file_that_all_users_can_change_is_a_warning() {
    let folder = Folder::new(&[("conf.d/20.yaml", &route("churn"))]);
    assert_eq!(folder.load().unwrap().warnings, []);
    for name in ["doorward.yaml", "conf.d/20.yaml"] {
        fs::set_permissions(folder.at(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    let warnings = folder.load().unwrap().warnings;
    let files: Vec<&str> = warnings.iter().map(|one| one.file.as_str()).collect();
    let paths = [folder.at("doorward.yaml"), folder.at("conf.d/20.yaml")];
    assert_eq!(files, paths.each_ref().map(|path| path.to_str().unwrap()));
    assert!(warnings.iter().all(|one| one.message.contains("chmod o-w")));
    let mut out = Vec::new();
    assert!(check(&folder.at("doorward.yaml"), &mut out).unwrap());
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("conf.d/20.yaml:1:1: warning: every user of this machine"), "{out}");
}

#[test]
fn a_file_beyond_the_bound_is_refused_and_not_cut() {
    let folder = Folder::new(&[]);
    let mut text = MAIN.to_owned();
    text.push_str(&"# filler\n".repeat(500_000));
    folder.write("doorward.yaml", &text);
    let found = folder.the_problem();
    assert!(found.contains("cannot be read: it is larger than 4 MiB"), "{found}");
    folder.write("doorward.yaml", MAIN);
    folder.write("conf.d/20.yaml", &"# filler\n".repeat(500_000));
    let found = folder.the_problem();
    assert!(found.contains("conf.d/20.yaml` cannot be read: it is larger than 4 MiB"), "{found}");
}

#[test]
fn a_text_without_a_file_includes_nothing() {
    let found = Config::parse("text", MAIN).unwrap_err().to_string();
    assert!(found.contains("text:2:10: include: unsupported `include`"), "{found}");
    assert!(Config::load(Path::new("/nowhere/doorward.yaml")).is_err());
}
