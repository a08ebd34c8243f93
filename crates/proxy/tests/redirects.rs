//! Targets after sign-in: none leaves the origin, however it is spelled.

use doorward::endpoints::return_to::{HOME, sanitize};
use url::Url;

const OWN: &str = "https://good.example";

/// Published ways to smuggle a foreign target past a check, as they arrive after one query decode.
const FOREIGN: &[&str] = &[
    "//evil.test",
    "///evil.test",
    "////evil.test/%2e%2e",
    "/////evil.test/",
    "//evil.test/%2f..",
    "//evil.test:80?@good/",
    "/\\evil.test",
    "\\/evil.test",
    "\\/\\/evil.test/",
    "/\\/evil.test",
    "//\\evil.test",
    "https:/\\evil.test",
    "https:\\\\evil.test",
    "///\\;@evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r/evil.test",
    "/\u{b}/evil.test",
    "/ /evil.test",
    "/ \\evil.test",
    "/\t\\evil.test",
    "/\t/\t\\evil.test",
    "/\t\t\\t/evil.test",
    "/./\\evil.test",
    "/./../../\\evil.test",
    "/.//evil.test",
    "/%09/evil.test",
    "/%2f%2fevil.test",
    "/%5cevil.test",
    "//%5cevil.test",
    "/%2f%5c%2f%67evil.test",
    "https:evil.test",
    "http:evil.test",
    "http:///evil.test",
    "@evil.test",
    ".evil.test",
    "<>//evil.test",
    "//https://evil.test//",
    "https://good@evil.test",
    "https://:@evil.test\\@good",
    "//good@evil.test/%2f..",
    "http://evil.test\tgood/",
    "https://good%2eevil.test",
    "http://evil.test%23.good/",
    "http://evil.test%2f%2f.good/",
    "http://evil.test%5c%5c.good/",
    "//evil.test%00.good",
    "//evil%E3%80%82test",
    "/\u{3031}evil.test",
    "http://3627734734",
    "http://0xd8.0x3a.0xd6.0xce",
    "http:[::ffff:216.58.214.206]",
    "good.evil.test",
    "evil-good",
    "javascript:alert(1)",
    "%19Jav%09asc%09ript:alert(1)",
    "data:text/html;base64,PGI+",
    "x:1/:///%01javascript:alert(1)",
    "//javascript:alert(1)",
    "https://good.example.evil.test/",
    "https://good.example@evil.test/",
    "https://good.example:8443/",
    "http://good.example/",
    "/%252f%252fevil.test",
    "/a/..//evil.test",
    "/%2e%2e//evil.test",
    "",
];

/// Addresses of real pages.
const LEGITIMATE: &[&str] = &[
    "/",
    "/jupyter",
    "/jupyter/",
    "/jupyter/hub/home",
    "/jupyter/user/alice/lab/tree/a%20b.ipynb",
    "/jupyter/user/alice/files/data%2Fraw.csv",
    "/search?q=https://evil.test/",
    "/search?q=//evil.test",
    "/search?q=%2F%2Fevil.test",
    "/a?b=c&d=e",
    "/a?b=%5C%5Cserver",
    "/dash/d/abc?orgId=1&from=now-6h&to=now",
    "/dash?var=a|b",
    "/x;v=1",
    "/x,y",
    "/~alice/",
    "/@alice",
    "/a:b",
    "/a=b",
    "/models/churn/docs#",
    "/file.tar.gz",
    "/.well-known/x",
    "/a/..b",
    "/a/b..",
    "/a.b/c.d",
    "/%E2%82%AC",
    "/a+b",
    "/a%25b",
    "/q?x=%0A",
    "/q?redirect=/\u{2f}x",
    "/a/$metadata",
];

#[test]
fn foreign_targets_lead_home() {
    for target in FOREIGN {
        let location = sanitize(target, OWN);
        assert_eq!(location, HOME, "{target:?} was accepted");
    }
}

#[test]
fn ordinary_pages_are_accepted() {
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
fn what_is_accepted_resolves_to_the_own_origin() {
    let base = Url::parse(OWN).unwrap();
    for target in FOREIGN.iter().chain(LEGITIMATE) {
        let location = sanitize(target, OWN);
        let resolved = base.join(&location).unwrap();
        assert_eq!(resolved.origin(), base.origin(), "{target:?} led to {resolved}");
    }
}

#[test]
fn a_target_of_two_thousand_bytes_is_the_longest() {
    let long = format!("/{}", "a".repeat(1999));
    assert_eq!(sanitize(&long, OWN), long);
    assert_eq!(sanitize(&format!("{long}a"), OWN), HOME);
}

proptest::proptest! {
    #[test]
    fn no_target_ever_leaves_the_origin(target in "[/\\\\a-z%0-9.:@;?#\\t\\n ]{0,40}") {
        let base = Url::parse(OWN).unwrap();
        let location = sanitize(&target, OWN);
        proptest::prop_assert_eq!(base.join(&location).unwrap().origin(), base.origin());
    }
}
