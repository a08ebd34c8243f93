use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::fixtures::{assert_same, record};

/// A record of an older version, which stores neither the issuer's identifier nor the ID token's algorithm.
const FORMER: &str = r#"{"i":"AAECAwQFBgcICQoLDA0ODw","k":{"issuer":"main","subject":"alice","preferred_username":"alice-name","email":"alice@example.com","email_verified":true,"name":null,"roles":["data-scientist"],"client_roles":{"gateway":["user"]},"groups":["/finance"],"scopes":["openid"],"client":"gateway","claims":{"department":"risk","n":[1,2.5,null],"sub":"alice"}},"s":"sid-1","c":1800000000000000000,"l":1800000000000000000,"r":1800000000000000000,"a":"access-token","e":1800000300000000000,"f":"refresh-token","t":"id-token","g":0}"#;

/// The members that those versions read.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the test only parses it")]
struct FormerRead {
    i: SessionId,
    k: FormerKnown,
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

#[derive(Deserialize)]
#[expect(dead_code, reason = "the test only parses it")]
struct FormerKnown {
    issuer: String,
    subject: String,
    preferred_username: Option<String>,
    email: Option<String>,
    email_verified: bool,
    name: Option<String>,
    roles: Vec<String>,
    client_roles: std::collections::BTreeMap<String, Vec<String>>,
    groups: Vec<String>,
    scopes: Vec<String>,
    client: Option<String>,
    claims: serde_json::Map<String, serde_json::Value>,
}

/// The record of [`FORMER`], with the members that it lacks.
fn present() -> Record {
    let record = record(from_nanos(1_800_000_000_000_000_000)).with_id_token_algorithm(None);
    Record { id: SessionId::from_name("AAECAwQFBgcICQoLDA0ODw"), ..record }
}

/// The record of [`FORMER`].
fn former() -> Record {
    let present = present();
    let known = Known { iss: String::new(), ..Known::clone(&present.known) };
    Record { known: Arc::new(known), ..present }
}

fn text(record: &Record) -> String {
    String::from_utf8(encode(record).unwrap().to_vec()).unwrap()
}

#[test]
fn a_former_record_gets_the_issuer_of_its_id_token() {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let token = [part(r#"{"alg":"RS256"}"#), part(r#"{"iss":"https://a.example"}"#), part("s")];
    let record = former().with_id_token(Some(token.join(".").into()));
    assert!(record.is_of("https://a.example"));
    assert!(!record.is_of("https://b.example"));
    let record = present().with_id_token(Some(token.join(".").into()));
    assert!(record.is_of("https://main.example") && !record.is_of("https://a.example"));
}

#[test]
fn a_record_of_the_former_version_is_read() {
    assert_same(&decode(FORMER.as_bytes()).unwrap(), &former());
}

#[test]
fn a_record_is_read_by_the_former_version() {
    for algorithm in Algorithm::ALL {
        let record = present().with_id_token_algorithm(Some(algorithm));
        let text = text(&record);
        assert_same(&decode(text.as_bytes()).unwrap(), &record);
        assert!(serde_json::from_str::<FormerRead>(&text).is_ok(), "{text}");
        // The new text differs only by the issuer's identifier and one short member at the end.
        let former = FORMER.strip_suffix('}').unwrap();
        let former = former.replacen(
            "\"issuer\":\"main\",",
            "\"issuer\":\"main\",\"iss\":\"https://main.example\",",
            1,
        );
        assert_eq!(text, format!("{former},\"j\":\"{algorithm}\"}}"));
    }
}

#[test]
fn missing_fields_of_a_former_record_stay_absent() {
    assert_eq!(text(&former()), FORMER);
}

#[test]
fn a_record_with_an_algorithm_unknown_here_is_read() {
    for algorithm in ["ML-DSA-65", "none", "HS256", "rs256", ""] {
        let former = FORMER.strip_suffix('}').unwrap();
        let text = format!("{former},\"j\":\"{algorithm}\"}}");
        assert_same(&decode(text.as_bytes()).unwrap(), &self::former());
    }
}
