use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::{Claims, InvalidClaims};

fn claims(value: &serde_json::Value) -> Result<Claims, InvalidClaims> {
    Claims::parse(value.to_string().as_bytes())
}

#[test]
fn a_number_is_read_to_its_last_bit() {
    let digits = "333333333333333333333333333333333333333333333333333333333333333333335e-324";
    let read = Claims::parse(format!(r#"{{"n":{digits}}}"#).as_bytes()).unwrap();
    assert_eq!(read.get("n").unwrap().as_f64(), digits.parse().ok());
    let written = serde_json::to_vec(read.members()).unwrap();
    assert_eq!(Claims::parse(&written).unwrap().members(), read.members());
}

#[test]
fn a_registered_claim_of_the_wrong_type_is_refused() {
    for bad in [
        json!({"iss": ["https://id.example"]}),
        json!({"iss": 1}),
        json!({"sub": 1}),
        json!({"sub": ""}),
        json!({"sub": "  "}),
        json!({"sub": null}),
        json!({"aud": 1}),
        json!({"aud": null}),
        json!({"aud": ["a", 1]}),
        json!({"aud": {"a": 1}}),
        json!({"exp": "1"}),
        json!({"exp": null}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": true}),
        json!({"nbf": "now"}),
        json!({"iat": [1]}),
        json!({"azp": 1}),
        json!({"scope": 1}),
        json!({"scope": ["a", 1]}),
        json!({"scope": ["a b"]}),
        json!({"typ": 1}),
        json!({"nonce": 1}),
    ] {
        assert!(matches!(claims(&bad), Err(InvalidClaims::Claim { .. })), "{bad}");
    }
}

#[test]
fn claims_that_no_rule_needs_are_read_leniently() {
    let read = claims(&json!({"acr": 2, "auth_time": "x", "jti": 1, "sid": {}})).unwrap();
    assert_eq!(read.acr.as_deref(), Some("2"));
    assert_eq!((read.auth_time, read.jwt_id, read.session_id), (None, None, None));
    for odd in [json!(1.5), json!(-1), json!(["2"]), json!(true), json!(null)] {
        assert_eq!(claims(&json!({"acr": odd})).unwrap().acr, None, "{odd}");
    }
}

#[test]
fn a_list_of_scopes_says_the_same_as_a_text() {
    let listed = claims(&json!({"scope": ["openid", "score"]})).unwrap().scope;
    assert_eq!(listed, claims(&json!({"scope": "openid score"})).unwrap().scope);
    assert!(claims(&json!({"scope": []})).unwrap().scope.is_empty());
    assert!(claims(&json!({"scp": "score"})).unwrap().scope.is_empty());
}

#[test]
fn whole_and_broken_seconds_are_times() {
    let read = claims(&json!({"exp": 1_700_000_000, "iat": 1_700_000_000.5, "nbf": 0})).unwrap();
    assert_eq!(read.expires_at, Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    assert_eq!(read.issued_at, Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)));
    assert_eq!(read.not_before, Some(UNIX_EPOCH));
}

#[test]
fn audience_is_a_string_or_an_array() {
    assert!(claims(&json!({"aud": "hub"})).unwrap().audience.contains("hub"));
    let many = claims(&json!({"aud": ["account", "hub"]})).unwrap();
    assert!(many.audience.contains("hub") && !many.audience.contains("hu"));
    assert!(claims(&json!({})).unwrap().audience.is_empty());
}

#[test]
fn paths_reach_nested_members_and_names_with_dots() {
    let read = claims(&json!({
        "realm_access": {"roles": ["a"]},
        "resource_access": {"my.client": {"roles": ["b"]}},
        "https://example.org/dept": "risk",
        "a.b": 1, "a": {"b": 2, "c": 3},
    }))
    .unwrap();
    let at = |path| read.get(path).map(|value| value.to_value());
    assert_eq!(at("realm_access.roles"), Some(json!(["a"])));
    assert_eq!(at("resource_access.my.client.roles"), Some(json!(["b"])));
    assert_eq!(at("/resource_access/my.client/roles"), Some(json!(["b"])));
    assert_eq!(at("https://example.org/dept"), Some(json!("risk")));
    assert_eq!(at("a.b"), Some(json!(1)));
    assert_eq!(at("a.c"), Some(json!(3)));
    for missing in ["", ".", "a.", ".a", "a.b.c", "/", "/a/b/c", "nothing", "realm_access.roles.0"]
    {
        assert_eq!(read.get(missing), None, "{missing}");
    }
}

#[test]
fn keycloak_roles_are_kept_apart() {
    let read = claims(&json!({
        "realm_access": {"roles": ["admin", 1]},
        "resource_access": {"hub": {"roles": ["user"]}, "other": {"roles": "admin"}},
        "groups": ["/finance", "/risk"],
    }))
    .unwrap();
    assert!(read.realm_roles().contains("admin") && !read.realm_roles().contains("user"));
    assert!(
        read.client_roles("hub").contains("user") && !read.client_roles("hub").contains("admin")
    );
    assert!(read.client_roles("other").is_empty() && read.client_roles("none").is_empty());
    assert_eq!(read.groups().iter().collect::<Vec<_>>(), ["/finance", "/risk"]);
    assert_eq!(read.realm_roles().iter().count(), 1);
}

#[test]
fn an_email_is_verified_by_true_and_its_text_only() {
    let email = |value: serde_json::Value| {
        claims(&json!({"email": "a@example.org", "email_verified": value})).unwrap()
    };
    for verified in [json!(true), json!("true")] {
        assert_eq!(email(verified).verified_email(), Some("a@example.org"));
    }
    for not in [
        json!("false"),
        json!("True"),
        json!("1"),
        json!(1),
        json!(false),
        json!(null),
        json!([true]),
        json!(["true"]),
    ] {
        assert_eq!(email(not).verified_email(), None);
    }
    for odd in ["a@evil.test@example.org", "@example.org", "a@", "a", "a @example.org", "a\r\n@b"] {
        let read = claims(&json!({"email": odd, "email_verified": true})).unwrap();
        assert_eq!(read.verified_email(), None, "{odd}");
    }
}
