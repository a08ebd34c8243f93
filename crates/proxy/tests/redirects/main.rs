//! Redirects after signing in: never off the origin, however the target is spelled.

use doorward::endpoints::return_to::{HOME, sanitize};
use url::Url;

use self::targets::{FOREIGN, LEGITIMATE, ODD, filled};

mod targets;

const OWN: &str = "https://good.example";

#[test]
fn foreign_targets_lead_home() {
    let foreign = FOREIGN.iter().map(|target| filled(target, OWN));
    // Another port or scheme is another origin.
    let neighbours = ["https://good.example:8443/", "http://good.example/"].map(str::to_owned);
    for target in foreign.chain(neighbours) {
        assert_eq!(sanitize(&target, OWN), HOME, "{target:?} was followed");
    }
}

#[test]
fn addresses_of_real_pages_are_kept() {
    for target in LEGITIMATE {
        assert_eq!(sanitize(target, OWN), *target);
    }
}

#[test]
fn the_own_origin_written_out_is_the_same_page() {
    assert_eq!(sanitize("https://good.example/lab?x=1", OWN), "/lab?x=1");
    assert_eq!(sanitize("https://good.example", OWN), HOME);
}

#[test]
fn every_target_resolves_to_the_own_origin() {
    let base = Url::parse(OWN).unwrap();
    for target in FOREIGN.iter().chain(ODD).chain(LEGITIMATE) {
        let target = filled(target, OWN);
        let location = sanitize(&target, OWN);
        let resolved = base.join(&location).unwrap();
        assert_eq!(resolved.origin(), base.origin(), "{target:?} led to {resolved}");
    }
}

#[test]
fn a_target_of_eight_kilobytes_is_the_longest() {
    let long = format!("/{}", "a".repeat(8 * 1024 - 1));
    assert_eq!(sanitize(&long, OWN), long);
    assert_eq!(sanitize(&format!("{long}a"), OWN), HOME);
}

#[test]
fn a_raw_target_is_encoded_as_a_browser_would() {
    for (raw, written) in [
        ("/path/✓", "/path/%E2%9C%93"),
        ("/a b", "/a%20b"),
        ("/?q=é", "/?q=%C3%A9"),
        ("/p?c=C:\\dir", "/p?c=C:%5Cdir"),
        ("/p?q=a+b", "/p?q=a+b"),
        ("/100%", "/100%25"),
        ("/a%2", "/a%252"),
        ("/a%20b%C3%A9", "/a%20b%C3%A9"),
        ("/p?q=\"<{|}>", "/p?q=\"<{|}>"),
        ("/app/#/é b", "/app/#/%C3%A9%20b"),
        ("/a/〱b/∕c", "/a/%E3%80%B1b/%E2%88%95c"),
        ("https://good.example/✓", "/%E2%9C%93"),
        // In a path, browsers read a backslash as a slash.
        ("/a\\b", HOME),
        ("/\u{ff0f}evil.test", HOME),
        ("/\u{ff3c}evil.test", HOME),
        ("/%EF%BC%8Fevil.test", HOME),
        ("/%25EF%25BC%258Fevil.test", HOME),
        ("/\u{2044}evil.test", HOME),
    ] {
        assert_eq!(sanitize(raw, OWN), written, "{raw}");
    }
}

proptest::proptest! {
    #[test]
    fn no_target_ever_leaves_the_origin(target in "[/\\\\a-z%0-9.:@;?#\\t\\n é〱／✓]{0,40}") {
        let base = Url::parse(OWN).unwrap();
        let location = sanitize(&target, OWN);
        proptest::prop_assert_eq!(base.join(&location).unwrap().origin(), base.origin());
    }
}
