use serde_json::{Map, Value, json};

use super::Document;

/// The tree that a lenient parser makes.
fn tree(text: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(text).unwrap()
}

fn parse(text: &[u8]) -> Result<Document, String> {
    Document::parse(text.to_vec())
}

#[test]
fn a_document_holds_what_the_tree_holds() {
    let many: Map<String, Value> = (0..40).map(|n| (format!("m{n}"), json!([n]))).collect();
    for text in [
        "{}",
        r#" {"a":1,"b":[1,2.5,-3,null,true,"x",[],{}],"c":{"a":1,"b":{"a":"\u00e9"}}} "#,
        r#"{"a":"with \"escapes\" \ud83d\ude00","é":"é","":{}}"#,
        r#"{"\u0061":1,"b":{"c":2}}"#,
        r#"{"n":18446744073709551615,"m":-9223372036854775808,"f":1.5e3}"#,
        &json!(many).to_string(),
    ] {
        let tree = tree(text.as_bytes());
        let document = parse(text.as_bytes()).unwrap();
        assert_eq!(document.members().to_map(), tree, "{text}");
        assert_eq!(document.members().len(), tree.len());
        for (name, value) in &tree {
            assert_eq!(&document.members().get(name).unwrap(), value, "{text}");
        }
        assert!(document.members().get("absent").is_none());
        let written = Document::try_from(&tree).unwrap();
        assert_eq!(written.members(), document.members(), "{text}");
    }
}

#[test]
fn members_are_read_in_the_order_of_the_text() {
    let document = parse(br#"{"z":{"y":1,"x":[2,{"w":3}]},"a":4}"#).unwrap();
    let names: Vec<_> = document.members().map(|(name, _)| name).collect();
    assert_eq!(names, ["z", "a"]);
    assert_eq!(format!("{document:?}"), r#"{"z": {"y": 1, "x": [2, {"w": 3}]}, "a": 4}"#);
}

#[test]
fn text_with_two_readings_is_refused() {
    let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let many = |last: &str| {
        let members: Vec<_> = (0..40).map(|n| format!("\"m{n}\":0")).collect();
        format!("{{{},\"{last}\":0}}", members.join(","))
    };
    let (deep, deeper, most) = (nested(31), nested(32), nested(100_000));
    let (distinct, repeated) = (many("m40"), many("m7"));
    for text in [
        &br#"{"a":1,"a":1}"#[..],
        br#"{"a":1,"\u0061":2}"#,
        br#"{"x":{"a":1,"a":2}}"#,
        br#"{"x":{"a":1,"\u0061":2}}"#,
        br#"{"x":[{"a":1,"a":2}]}"#,
        br#"{"a":{"b":1},"b":{"a":1},"a":2}"#,
        br#"{"a":1}{}"#,
        br#"{"a":1}x"#,
        br#"{"a":1,}"#,
        br#"{'a':1}"#,
        br#"{"a":NaN}"#,
        br#"{"a":1e999}"#,
        br#"{"a":[-1e999]}"#,
        br#"{"a":01}"#,
        br#"{"a":truee}"#,
        br#"{"a":"\x"}"#,
        b"{\"a\":\"\x01\"}",
        b"[]",
        br#""a""#,
        b"1",
        b"",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        br#"{"a":"\ud800"}"#,
        br#"{"\ud800":1}"#,
        br#"{"exp":{"$serde_json::private::Number":"9999999999"}}"#,
        deep.as_bytes(),
        deeper.as_bytes(),
        most.as_bytes(),
        distinct.as_bytes(),
        repeated.as_bytes(),
    ] {
        let shown = String::from_utf8_lossy(text.get(..60).unwrap_or(text));
        let good = text == deep.as_bytes() || text == distinct.as_bytes();
        assert_eq!(parse(text).is_ok(), good, "{shown}");
    }
}

#[test]
fn the_same_names_may_stand_in_different_objects() {
    let text = br#"{"a":{"a":{"a":1},"b":2},"b":[{"a":1},{"a":2}]}"#;
    assert_eq!(parse(text).unwrap().members().to_map(), tree(text));
}

#[cfg(feature = "login")]
#[test]
fn equal_repeated_members_are_read_where_allowed() {
    let read = |text: &str| Document::parse_with_repeats(text.as_bytes().to_vec());
    let once = read(r#"{"a":"x","b":{"c":1},"a":"x"}"#).unwrap();
    assert_eq!(once.members().to_map(), tree(br#"{"a":"x","b":{"c":1}}"#));
    assert_eq!(once.members().len(), 2);
    for bad in [r#"{"a":1,"a":2}"#, r#"{"a":1,"a":"1"}"#, r#"{"x":{"a":1,"a":1}}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
