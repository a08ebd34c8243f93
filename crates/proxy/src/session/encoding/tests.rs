use super::*;
use crate::session::fixtures::{assert_same, record};

/// A record as versions without an algorithm in it write it.
const FORMER: &str = r#"{"i":"AAECAwQFBgcICQoLDA0ODw","k":{"issuer":"main","subject":"alice","preferred_username":"alice-name","email":"alice@example.com","email_verified":true,"name":null,"roles":["data-scientist"],"client_roles":{"gateway":["user"]},"groups":["/finance"],"scopes":["openid"],"client":"gateway","claims":{"department":"risk","n":[1,2.5,null],"sub":"alice"}},"s":"sid-1","c":1800000000000000000,"l":1800000000000000000,"r":1800000000000000000,"a":"access-token","e":1800000300000000000,"f":"refresh-token","t":"id-token","g":0}"#;

/// What those versions read.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct FormerRead {
    i: SessionId,
    k: Known,
    s: Option<String>,
    c: u64,
    l: u64,
    r: u64,
    a: String,
    e: u64,
    f: Option<String>,
    t: Option<String>,
    g: u64,
}

/// The record of [`FORMER`].
fn former() -> Record {
    let record = record(from_nanos(1_800_000_000_000_000_000)).with_id_token_algorithm(None);
    Record { id: SessionId::from_name("AAECAwQFBgcICQoLDA0ODw"), ..record }
}

fn text(record: &Record) -> String {
    String::from_utf8(encode(record).unwrap().to_vec()).unwrap()
}

#[test]
fn a_record_of_the_former_version_is_read() {
    assert_same(&decode(FORMER.as_bytes()).unwrap(), &former());
}

#[test]
fn a_record_is_read_by_the_former_version() {
    for algorithm in Algorithm::ALL {
        let record = former().with_id_token_algorithm(Some(algorithm));
        let text = text(&record);
        assert_same(&decode(text.as_bytes()).unwrap(), &record);
        assert!(serde_json::from_str::<FormerRead>(&text).is_ok(), "{text}");
        // The same but for one short member at the end.
        let former = FORMER.strip_suffix('}').unwrap();
        assert_eq!(text, format!("{former},\"j\":\"{algorithm}\"}}"));
    }
}

#[test]
fn a_record_without_an_algorithm_is_written_as_before() {
    assert_eq!(text(&former()), FORMER);
}

#[test]
fn a_record_with_an_algorithm_unknown_here_opens_nothing() {
    for algorithm in ["none", "HS256", "rs256", ""] {
        let former = FORMER.strip_suffix('}').unwrap();
        let text = format!("{former},\"j\":\"{algorithm}\"}}");
        assert!(decode(text.as_bytes()).is_err(), "{algorithm}");
    }
}
