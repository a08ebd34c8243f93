use proptest::prelude::*;

use super::*;

fn refusal(raw: &str) -> PathRefusal {
    raw.parse::<CanonicalPath>().unwrap_err()
}

#[test]
fn one_canonical_form_is_matched_and_sent() {
    for (raw, canonical) in [
        ("/", "/"),
        ("/a/b/", "/a/b/"),
        ("/%61%2d%5f%7E", "/a-_~"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a+b&c=d;e,f!$'()*:@", "/a+b&c=d;e,f!$'()*:@"),
        ("/a|b[1]{2}\"", "/a%7Cb%5B1%5D%7B2%7D%22"),
        ("/%7c", "/%7C"),
        ("/100%25", "/100%25"),
        ("/my%2520file.ipynb", "/my%2520file.ipynb"),
        ("/.hidden/..x/a..b/...", "/.hidden/..x/a..b/..."),
        ("/a.;b", "/a.;b"),
    ] {
        assert_eq!(raw.parse::<CanonicalPath>().unwrap().as_str(), canonical, "{raw}");
    }
}

#[test]
fn ambiguous_forms_are_refused() {
    use PathRefusal::*;
    for (raw, expected) in [
        ("", NotAbsolute),
        ("a", NotAbsolute),
        ("*", NotAbsolute),
        ("http://a/b", NotAbsolute),
        ("/public/../admin", DotSegment),
        ("/public/./a", DotSegment),
        ("/public/..", DotSegment),
        ("/public/%2e%2e/admin", DotSegment),
        ("/public/%2E./admin", DotSegment),
        ("/public/.%2e", DotSegment),
        ("/public/..%2fadmin", DotSegment),
        ("/public/..%5cadmin", DotSegment),
        ("/public/..%2F..%5cadmin", DotSegment),
        ("/public/..;/admin", DotSegment),
        ("/public/..;x=1/admin", DotSegment),
        ("/public/%2e%2e;/admin", DotSegment),
        ("/public/..%3b/admin", DotSegment),
        ("/public;/../admin", DotSegment),
        ("/admin/..;/public/a", DotSegment),
        ("/public/;../admin", DotSegment),
        ("/public/..%3Fx", DotSegment),
        ("/public/..%23", DotSegment),
        ("/a%253Fb", DoubleEncoding),
        ("//public/../admin", DotSegment),
        ("//admin", DoubleSlash),
        ("/public//admin", DoubleSlash),
        ("/a%2fb", EncodedSlash),
        ("/a%2Fb", EncodedSlash),
        ("/a%5cb", EncodedSlash),
        ("/a\\b", Backslash),
        ("/a%00", Control),
        ("/a%0a", Control),
        ("/a%0d%0a", Control),
        ("/a%1f", Control),
        ("/a%7f", Control),
        ("/a b", Control),
        ("/a\u{1}", Control),
        ("/a\u{e9}", NonAscii),
        ("/a#b", Fragment),
        ("/a?b", Query),
        ("/a%", BadEscape),
        ("/a%4", BadEscape),
        ("/a%zz", BadEscape),
        ("/a%u0041", BadEscape),
        ("/a%%41", BadEscape),
        ("/%ff", NotUtf8),
        ("/%c0%af", NotUtf8),
        ("/%c0%ae%c0%ae/", NotUtf8),
        ("/%e9", NotUtf8),
        ("/%ed%a0%80", NotUtf8),
        ("/a%252fb", DoubleEncoding),
        ("/%252e%252e/admin", DoubleEncoding),
        ("/%25%32%65", DoubleEncoding),
        ("/%25252e", DoubleEncoding),
        ("/a%255cb", DoubleEncoding),
        ("/a%2500", DoubleEncoding),
        ("/a%250d%250a", DoubleEncoding),
        ("/a%253b", DoubleEncoding),
        ("/a%2525", DoubleEncoding),
    ] {
        assert_eq!(refusal(raw), expected, "{raw:?}");
    }
}

#[test]
fn a_route_may_keep_slashes_and_nothing_else() {
    let path = CanonicalPath::parse("/a%2fb%5cc//d", Keep::ALL).unwrap();
    assert_eq!(path.as_str(), "/a%2Fb%5Cc//d");
    assert_eq!(path.segments().collect::<Vec<_>>(), ["a%2Fb%5Cc", "", "d"]);
    for raw in ["/a/..%2Fb", "/a/%2e%2e%5cb", "/..%2f", "/a//../b", "/a%2f.%2fb"] {
        assert!(CanonicalPath::parse(raw, Keep::ALL).is_err(), "{raw}");
    }
    let slash = Keep { encoded_slash: true, ..Keep::default() };
    assert_eq!(CanonicalPath::parse("/a%2fb//c", slash), Err(PathRefusal::DoubleSlash));
    let double = Keep { double_slash: true, ..Keep::default() };
    assert_eq!(CanonicalPath::parse("/a%2fb//c", double), Err(PathRefusal::EncodedSlash));
}

#[test]
fn kept_forms_never_move_a_prefix() {
    let kept = |raw| CanonicalPath::parse(raw, Keep::ALL).unwrap();
    let prefix = kept("/public");
    for outside in [
        "/public%2Fa",
        "/publicx",
        "//public",
        "//public/a",
        "/%5Cpublic",
        "/%2Fpublic",
        "/a/public",
        "/Public",
        "/",
    ] {
        assert!(!kept(outside).has_prefix(&prefix), "{outside}");
    }
    for (inside, rest) in [
        ("/public", "/"),
        ("/public/", "/"),
        ("/public/a", "/a"),
        ("/public/a%2Fb//c", "/a%2Fb//c"),
    ] {
        assert!(kept(inside).has_prefix(&prefix), "{inside}");
        assert_eq!(kept(inside).strip_prefix(&prefix).unwrap(), kept(rest));
    }
    assert_eq!(kept("/public//a").strip_prefix(&prefix), Err(StripError::DoubleSlash));
    assert_eq!(kept("/a").strip_prefix(&prefix), Err(StripError::NotBelow));
    assert_eq!(kept("/a//b").strip_prefix(&kept("/")).unwrap(), kept("/a//b"));
    assert!(kept("/public/x").has_prefix(&kept("/public/")));
}

#[test]
fn readings_are_the_paths_that_other_servers_see() {
    let readings = |raw| -> Vec<String> {
        let path = CanonicalPath::parse(raw, Keep::ALL).unwrap();
        path.readings().to_vec()
    };
    assert!(readings("/a/b-c/%20/caf%C3%A9").is_empty());
    assert_eq!(readings("/a%2Fb"), ["/a/b"]);
    assert_eq!(readings("/a%5Cb"), ["/a/b"]);
    assert_eq!(readings("//admin"), ["/admin"]);
    assert_eq!(readings("/admin;x=1/y"), ["/admin/y"]);
    assert_eq!(readings("/admin%3Bx/y"), ["/admin/y"]);
    assert_eq!(readings("/%2561dmin"), ["/admin"]);
    assert_eq!(readings("/my%2520file"), ["/my%20file"]);
    assert!(readings("/;/admin").contains(&"/admin".to_owned()));
    // In any order in which a server decodes, drops and folds.
    for (raw, reading) in [
        ("/;x%2Fadmin/secret", "/admin/secret"),
        ("/;x%5Cadmin/secret", "/admin/secret"),
        ("/a;%2F;b/admin", "/a/admin"),
        ("/x%3By%2F%2Fadmin", "/x/admin"),
        ("/x%3By%2F%2Fadmin", "/x"),
        ("/%2561;b%2Fc//d", "/a/c/d"),
        ("/%2561;b%2Fc//d", "/a/d"),
    ] {
        assert!(readings(raw).contains(&reading.to_owned()), "{raw}: {:?}", readings(raw));
    }
    assert!(readings("/x%2F%2Fadmin;a//b").contains(&"/x/admin/b".to_owned()));
}

#[test]
fn a_third_layer_of_encoding_is_refused() {
    for raw in ["/a/%252%2545", "/a/%252%2546admin", "/a/%25%2541b", "/a/%252%2545%252%2545/b"] {
        assert_eq!(CanonicalPath::parse(raw, Keep::ALL), Err(PathRefusal::DoubleEncoding), "{raw}");
    }
    for raw in ["/a/%252", "/a/%25%252", "/a/%2545%2541", "/a/100%25%2520b"] {
        assert!(CanonicalPath::parse(raw, Keep::ALL).is_ok(), "{raw}");
    }
}

#[test]
fn one_of_two_marks_may_be_part_of_the_name() {
    for (raw, reading) in [
        // Servlet containers drop parameters before they decode.
        ("/m%3Bv;x", "/m;v"),
        ("/m%3Bv;x/y%3Bz", "/m;v/y;z"),
        ("/m%3Bv;x", "/m"),
        // Decoded, then cut at the one or at the other.
        ("/n%23o%3Fx", "/n%23o"),
        ("/n%3Fo%23x", "/n%3Fo"),
        ("/n%3Fo%23x", "/n"),
    ] {
        let path = CanonicalPath::parse(raw, Keep::ALL).unwrap();
        let readings = path.readings();
        assert!(readings.contains(&reading.to_owned()), "{raw}: {readings:?}");
    }
}

/// Paths from pieces that hostile paths contain, and plain ones.
fn raw_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "a", "B", "9", ".", "..", ";", "%2f", "%5C", "%2e", "%25", "2", "e", "%41", "%c3%a9",
        "%3b", "%20", "~", "x=1", "*", "|", "%ff", "%00", "\\", "#", "%",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn canonical_stays_canonical(raw in raw_path()) {
        if let Ok(path) = CanonicalPath::parse(&raw, Keep::ALL) {
            let again = CanonicalPath::parse(path.as_str(), Keep::ALL).unwrap();
            prop_assert_eq!(&again, &path);
            prop_assert_eq!(format!("/{}", path.segments().collect::<Vec<_>>().join("/")), path.as_str());
        }
    }

    #[test]
    fn strict_parsing_gives_the_kept_form_or_refuses(raw in raw_path()) {
        if let Ok(strict) = raw.parse::<CanonicalPath>() {
            prop_assert_eq!(CanonicalPath::parse(&raw, Keep::ALL).unwrap(), strict);
        }
    }

    #[test]
    fn no_reading_holds_a_dot_segment(raw in raw_path()) {
        if let Ok(path) = CanonicalPath::parse(&raw, Keep::ALL) {
            for reading in path.readings() {
                prop_assert!(reading.split('/').all(|segment| segment != "." && segment != ".."), "{}", reading);
            }
        }
    }

    #[test]
    fn no_text_panics(raw in "\\PC*") {
        let _ = CanonicalPath::parse(&raw, Keep::ALL);
    }
}

#[test]
fn a_delimiter_is_compared_in_one_spelling_and_sent_as_it_came() {
    for byte in 0x21..0x7F_u8 {
        let (plain, escaped) = (format!("/a{}b", char::from(byte)), format!("/a%{byte:02X}b"));
        let parse = |raw: &str| raw.parse::<CanonicalPath>();
        if let (Ok(plain), Ok(escaped)) = (parse(&plain), parse(&escaped)) {
            assert_eq!(plain.compared(), escaped.compared(), "{plain:?} {escaped:?}");
            assert_eq!(plain.readings(), escaped.readings(), "{plain:?} {escaped:?}");
        }
    }
    let path: CanonicalPath = "/user/a%40b".parse().unwrap();
    assert_eq!((path.as_str(), path.compared()), ("/user/a%40b", "/user/a@b"));
    let twice = CanonicalPath::parse("/user/a%2540b", Keep::ALL).unwrap();
    assert_eq!(twice.readings(), ["/user/a@b"]);
}

#[test]
fn a_prefix_is_removed_whatever_its_spelling() {
    let parse = |raw: &str| raw.parse::<CanonicalPath>().unwrap();
    for (path, prefix, rest) in [
        ("/%40x/a%40b/", "/@x", "/a%40b/"),
        ("/@x/a", "/%40x", "/a"),
        ("/%40x", "/@x", "/"),
        ("/%40x/", "/%40x/", "/"),
        ("/a/b", "/", "/a/b"),
    ] {
        assert_eq!(parse(path).strip_prefix(&parse(prefix)).unwrap().as_str(), rest, "{path}");
    }
    assert_eq!(parse("/%40xy/a").strip_prefix(&parse("/@x")), Err(StripError::NotBelow));
}

#[test]
fn a_doubly_encoded_path_is_kept_where_a_route_says_so() {
    let double = Keep { double_encoded: true, ..Keep::default() };
    let path = CanonicalPath::parse("/repositories/a%252fb/x", double).unwrap();
    assert_eq!(path.as_str(), "/repositories/a%252fb/x");
    assert_eq!(path.check(Keep::default()), Err(PathRefusal::DoubleEncoding));
    for other in [
        Keep { encoded_slash: true, ..Keep::default() },
        Keep { double_slash: true, ..Keep::default() },
    ] {
        assert_eq!(path.check(other), Err(PathRefusal::DoubleEncoding));
    }
    for reading in ["/repositories/a%2Fb/x", "/repositories/a/b/x"] {
        assert!(path.readings().iter().any(|one| one == reading), "{reading}: {path:?}");
    }
    for raw in ["/a%252Eb", "/a%253Bb", "/a%253Fb", "/a%2523b", "/a%255Cb", "/%252Fadmin"] {
        let path = CanonicalPath::parse(raw, double).unwrap();
        assert!(!path.readings().is_empty(), "{raw}");
    }
    for raw in [
        "/a/%252e%252e/b",
        "/a/%252e",
        "/a%252F..%252Fb",
        "/a%255C..%255Cb",
        "/a/..%253Bx/b",
        "/a/.%252e;x/b",
        "/a/..%2523/b",
        "/a/..%253F/b",
        "/a%25252Fb",
        "/a%2525",
        "/a%2500",
        "/a%250d",
        "/a%252%2546b",
    ] {
        let refused = CanonicalPath::parse(raw, Keep::ALL);
        let expected =
            |refusal| matches!(refusal, PathRefusal::DoubleEncoding | PathRefusal::DotSegment);
        assert!(refused.as_ref().is_err_and(|refusal| expected(*refusal)), "{raw}: {refused:?}");
    }
}
