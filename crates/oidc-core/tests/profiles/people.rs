//! Access tokens that providers of people issue.

use oidc_core::Validation;
use oidc_core::testing::TestIssuer;
use oidc_core::token::ClaimPaths;
use oidc_core::verify::Profile;
use serde_json::json;

use super::Shape;

const TENANT: &str = "9122040d-6c67-4c5b-b112-36a304b66dad";

/// Rules for the provider's tokens for `audience`.
fn generic(audience: &'static str) -> impl FnOnce(&TestIssuer) -> Validation {
    move |issuer| Validation::new(issuer.issuer(), audience).with_profile(Profile::Generic)
}

fn entra() -> Shape {
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    Shape::new("Entra v2", &issuer, json!({"typ": "JWT", "x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"}), json!({
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "aud": "6cb04018-a3f5-46a7-b995-940c78f5aef3",
        "aio": "E2ZgYLj", "azp": "2aa4ef29", "azpacr": "1", "name": "Alice", "oid": "690222be-ff1a",
        "preferred_username": "alice@acme.example", "scp": "score models.read", "roles": ["analyst"],
        "tid": TENANT, "uti": "xf1dvVTkd0Kb", "ver": "2.0", "rh": "0.AU",
    }))
    .with_rules(generic("6cb04018-a3f5-46a7-b995-940c78f5aef3"))
}

fn entra_v1() -> Shape {
    let issuer = format!("https://sts.windows.net/{TENANT}/");
    Shape::new("Entra v1", &issuer, json!({"typ": "JWT", "x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"}), json!({
        "sub": "l3_roISQU222bULS9yi2k0XpqpOiMz5H3ZACo1GeXA", "aud": "api://models", "appid": "2aa4ef29",
        "appidacr": "1", "acr": "1", "amr": ["pwd"], "scp": "score", "tid": TENANT, "ver": "1.0",
        "unique_name": "alice@acme.example", "upn": "alice@acme.example",
    }))
    .with_rules(generic("api://models"))
}

fn okta() -> Shape {
    Shape::new("Okta", "https://acme.okta.example/oauth2/default", json!({}), json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://models",
        "sub": "alice@acme.example", "cid": "0oa1", "uid": "00u1", "scp": ["score", "openid"],
        "groups": ["Everyone", "Analysts"], "auth_time": 1,
    }))
    .with_rules(generic("api://models"))
}

fn auth0() -> Shape {
    let issuer = "https://acme.auth0.example/";
    Shape::new("Auth0", issuer, json!({"typ": "JWT"}), json!({
        "sub": "auth0|123456", "aud": ["https://models.example", "https://acme.auth0.example/userinfo"],
        "azp": "my_client_id", "scope": "openid score", "permissions": ["score"],
        "https://acme.example/roles": ["analyst"], "https://acme.example/app": {"groups": ["risk"]},
    }))
    .with_rules(|issuer| {
        let paths = ClaimPaths::generic()
            .with_roles(["https://acme.example/roles"])
            .with_groups([r#""https://acme.example/app".groups"#]);
        generic("https://models.example")(issuer).with_claims(paths)
    })
}

fn zitadel() -> Shape {
    Shape::new("Zitadel", "https://acme.zitadel.example", json!({"typ": "JWT"}), json!({
        "sub": "166901904083002881", "aud": ["166906904083002881@models"], "client_id": "x", "jti": "166",
        "urn:zitadel:iam:org:project:roles": {"analyst": {"166901": "acme.zitadel.example"}},
        "scope": "openid",
    }))
    .with_rules(|issuer| {
        let paths = ClaimPaths::generic().with_roles(["urn:zitadel:iam:org:project:roles"]);
        generic("166906904083002881@models")(issuer).with_claims(paths)
    })
}

fn dex() -> Shape {
    Shape::new("Dex", "https://dex.example", json!({}), json!({
        "sub": "CiQwOGE4Njg0Yi1kYjg4LTRiNzM", "aud": "models", "at_hash": "X9oVbPxZ", "nonce": "n",
        "email": "alice@acme.example", "email_verified": true, "groups": ["analysts"], "name": "alice",
    }))
    .with_rules(|issuer| generic("models")(issuer).dangerous_accept_id_tokens())
}

fn cognito() -> Shape {
    Shape::new("Cognito", "https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_a", json!({}), json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "client_id": "57cbishk4j24pabc1234567890",
        "token_use": "access", "scope": "models/score", "auth_time": 1, "jti": "a", "version": 2,
        "origin_jti": "b", "event_id": "c", "username": "alice", "cognito:groups": ["analysts"],
    }))
    .with_rules(|issuer| {
        let paths = ClaimPaths::generic().with_groups(["cognito:groups"]).with_user_name("username");
        generic("57cbishk4j24pabc1234567890")(issuer).with_client_as_audience().with_claims(paths)
    })
}

fn adfs() -> Shape {
    let (provider, iss) = ("https://adfs.example/adfs", "http://adfs.example/adfs/services/trust");
    Shape::named("AD FS", provider, iss, json!({"typ": "JWT", "x5t": "abc"}), json!({
        "aud": "microsoft:identityserver:models", "sub": "alice", "apptype": "Confidential", "appid": "x",
        "authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        "auth_time": "2026-11-30T10:00:00.000Z", "ver": "1.0", "scp": "score",
    }))
    .with_rules(|issuer| {
        let rules = generic("microsoft:identityserver:models")(issuer);
        rules.with_access_token_issuer("http://adfs.example/adfs/services/trust")
    })
}

fn keycloak() -> Shape {
    Shape::new("Keycloak", "https://keycloak.example/realms/lab", json!({"typ": "JWT"}), json!({
        "sub": "f:1", "aud": ["models", "account"], "typ": "Bearer", "azp": "gateway", "sid": "s", "acr": "1",
        "scope": "openid score", "realm_access": {"roles": ["analyst"]}, "preferred_username": "alice",
    }))
    .with_rules(|issuer| Validation::new(issuer.issuer(), "models"))
}

fn authentik() -> Shape {
    Shape::new("authentik", "https://authentik.example/application/o/models/", json!({"typ": "JWT"}), json!({
        "sub": "a3b", "aud": "models", "azp": "gateway", "uid": "x", "acr": "goauthentik.io/providers/oauth2/default",
        "amr": ["pwd"], "scope": "openid score", "groups": ["analysts"], "auth_time": 1,
    }))
    .with_rules(generic("models"))
}

fn spring() -> Shape {
    Shape::new(
        "Spring Authorization Server",
        "https://spring.example",
        json!({}),
        json!({
            "sub": "alice", "aud": "models", "scope": ["openid", "score"], "jti": "x",
        }),
    )
    .with_rules(generic("models"))
}

fn duende() -> Shape {
    Shape::new(
        "Duende IdentityServer",
        "https://duende.example",
        json!({"typ": "at+jwt"}),
        json!({
            "sub": "alice", "aud": "models", "client_id": "gateway", "jti": "x", "scope": ["score"],
        }),
    )
    .with_rules(|issuer| Validation::new(issuer.issuer(), "models").with_profile(Profile::Rfc9068))
}

fn all() -> [Shape; 12] {
    [
        entra(),
        entra_v1(),
        okta(),
        auth0(),
        zitadel(),
        dex(),
        cognito(),
        adfs(),
        keycloak(),
        authentik(),
        spring(),
        duende(),
    ]
}

#[tokio::test]
async fn each_providers_token_is_accepted_and_its_faults_refused() {
    for shape in all() {
        let token = shape.accepted().await;
        assert_eq!(token.subject(), shape.claims["sub"], "{}", shape.name);
        let now = shape.issuer.now();
        for (fault, code) in [
            (json!({"iss": "https://evil.test"}), "wrong_issuer"),
            (json!({"iss": null}), "missing_claim"),
            (json!({"aud": "other"}), "wrong_audience"),
            (json!({"aud": "other", "client_id": "other"}), "wrong_audience"),
            (json!({"exp": now - 60}), "expired"),
            (json!({"exp": null}), "missing_claim"),
            (json!({"sub": null}), "missing_claim"),
            (json!({"typ": "Refresh"}), "wrong_type"),
        ] {
            assert_eq!(shape.code(fault.clone()).await, code, "{} {fault}", shape.name);
        }
    }
}

#[tokio::test]
async fn an_id_token_is_no_access_token_of_any_provider() {
    for shape in all().into_iter().filter(|shape| shape.name != "Dex") {
        let marks = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
        let generic = shape.rules.profile() == Profile::Generic;
        for mark in marks.into_iter().filter(|_| generic) {
            assert_eq!(shape.code(json!({mark: "x"})).await, "wrong_type", "{} {mark}", shape.name);
        }
        assert_eq!(shape.code(json!({"typ": "ID"})).await, "wrong_type", "{}", shape.name);
        if generic {
            assert_eq!(
                shape.code(json!({"token_use": "id"})).await,
                "wrong_type",
                "{}",
                shape.name
            );
        }
    }
}

#[tokio::test]
async fn the_wrong_profile_refuses_a_providers_token() {
    for shape in all() {
        for profile in [Profile::Keycloak, Profile::Rfc9068] {
            let fits = shape.rules.profile() == profile || shape.name == "Duende IdentityServer";
            let code = shape.code_under(|rules| rules.with_profile(profile)).await;
            assert_eq!(code == "accepted", fits, "{} {profile:?} {code}", shape.name);
        }
        for typ in ["dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "JOSE"] {
            let verdict = shape.verdict(json!({"typ": typ}), json!({}), |rules| rules).await;
            assert_eq!(super::code(&verdict), "wrong_type", "{} {typ}", shape.name);
        }
    }
}

#[tokio::test]
async fn names_are_where_each_provider_writes_them() {
    let scopes = async |shape: Shape| shape.accepted().await.scope.to_string();
    assert_eq!(scopes(entra()).await, "score models.read");
    assert_eq!(scopes(okta()).await, "score openid");
    assert_eq!(scopes(spring()).await, "openid score");
    assert_eq!(scopes(duende()).await, "score");
    assert_eq!(scopes(adfs()).await, "score");
    assert!(entra().accepted().await.realm_roles().contains("analyst"));
    let auth0 = auth0().accepted().await;
    assert!(auth0.realm_roles().contains("analyst") && auth0.groups().contains("risk"));
    assert!(zitadel().accepted().await.realm_roles().contains("analyst"));
    let cognito = cognito().accepted().await;
    assert!(cognito.groups().contains("analysts"));
    assert_eq!(cognito.preferred_username(), Some("alice"));
    let keycloak = keycloak().accepted().await;
    assert!(keycloak.realm_roles().contains("analyst"));
    // `scp` is a scope under `generic` only.
    let shape = Shape {
        claims: super::changed(self::keycloak().claims, json!({"scp": "admin"})),
        ..self::keycloak()
    };
    assert_eq!(scopes(shape).await, "openid score");
}

#[tokio::test]
async fn id_tokens_count_only_where_that_is_written() {
    let dex = dex();
    let strict = |_| generic("models")(&dex.issuer);
    assert_eq!(dex.code_under(strict).await, "wrong_type");
    // A logout token is never one.
    assert_eq!(dex.code(json!({"events": {}})).await, "wrong_type");
    let keycloak = |rules: oidc_core::Validation| rules.with_profile(Profile::Keycloak);
    assert_eq!(dex.code_under(keycloak).await, "wrong_type");
}

#[tokio::test]
async fn a_client_is_an_audience_only_in_an_access_token() {
    let cognito = cognito();
    assert_eq!(cognito.code(json!({"token_use": null})).await, "missing_claim");
    assert_eq!(cognito.code(json!({"token_use": "id"})).await, "wrong_type");
    assert_eq!(cognito.code(json!({"token_use": ["access"]})).await, "wrong_type");
    assert_eq!(cognito.code(json!({"client_id": "other"})).await, "wrong_audience");
    assert_eq!(cognito.code(json!({"client_id": null})).await, "missing_claim");
    let own = json!({"aud": "57cbishk4j24pabc1234567890"});
    assert_eq!(cognito.code(own).await, "accepted");
    let by_audience = |rules: Validation| {
        Validation::new(rules.issuer().clone(), "57cbishk4j24pabc1234567890")
            .with_profile(Profile::Generic)
    };
    assert_eq!(cognito.code_under(by_audience).await, "wrong_audience");
}

#[tokio::test]
async fn a_subject_may_be_another_claim() {
    let shape = entra().with_rules(|issuer| {
        let rules = generic("6cb04018-a3f5-46a7-b995-940c78f5aef3")(issuer);
        rules.with_claims(ClaimPaths::generic().with_subject("oid"))
    });
    assert_eq!(shape.accepted().await.subject(), "690222be-ff1a");
    for fault in
        [json!({"oid": null}), json!({"oid": 1}), json!({"oid": " "}), json!({"sub": null})]
    {
        assert_eq!(shape.code(fault.clone()).await, "missing_claim", "{fault}");
    }
}
