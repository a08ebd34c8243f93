//! Tokens that platforms give their jobs.

use std::sync::Arc;

use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::ClaimPaths;
use oidc_core::verify::Profile;
use oidc_core::{Validation, Verifier};
use serde_json::json;

use super::{Shape, code};

fn workload(issuer: &TestIssuer) -> Validation {
    Validation::new(issuer.issuer(), "doorward").with_profile(Profile::Workload)
}

fn gitlab() -> Shape {
    Shape::new("GitLab CI", "https://gitlab.example", json!({"typ": "JWT"}), json!({
        "sub": "project_path:data/churn:ref_type:branch:ref:main", "aud": "doorward", "jti": "4f",
        "namespace_path": "data", "project_path": "data/churn", "user_login": "alice", "ref": "main",
        "ref_protected": "true", "pipeline_source": "push", "environment_protected": "false",
    }))
    .with_rules(workload)
}

fn github() -> Shape {
    let issuer = "https://token.actions.githubusercontent.example";
    Shape::new("GitHub Actions", issuer, json!({"typ": "JWT", "x5t": "eyJ0"}), json!({
        "sub": "repo:acme/churn:ref:refs/heads/main", "aud": "doorward", "jti": "4f", "actor": "alice",
        "repository": "acme/churn", "workflow": "train", "event_name": "push", "run_id": "1",
    }))
    .with_rules(workload)
}

fn kubernetes() -> Shape {
    Shape::new("Kubernetes", "https://kubernetes.default.svc.cluster.local", json!({}), json!({
        "sub": "system:serviceaccount:run:trainer", "aud": ["doorward"], "jti": "4f",
        "kubernetes.io": {"namespace": "run", "serviceaccount": {"name": "trainer", "uid": "u"}},
    }))
    .with_rules(workload)
}

fn google() -> Shape {
    Shape::new(
        "Google service account",
        "https://accounts.google.example",
        json!({"typ": "JWT"}),
        json!({
            "sub": "113774264463038321964", "azp": "113774264463038321964", "aud": "doorward",
            "email": "trainer@acme.iam.gserviceaccount.example", "email_verified": true,
        }),
    )
    .with_rules(workload)
}

fn spiffe() -> Shape {
    Shape::new(
        "SPIFFE",
        "https://spire.example",
        json!({"typ": "JOSE"}),
        json!({
            "iss": null, "iat": null, "nbf": null, "sub": "spiffe://acme.example/run/trainer",
            "aud": ["doorward"],
        }),
    )
    .with_rules(|issuer| workload(issuer).with_trust_domain("acme.example"))
}

fn all() -> [Shape; 5] {
    [gitlab(), github(), kubernetes(), google(), spiffe()]
}

#[tokio::test]
async fn each_platforms_token_is_accepted_and_its_faults_refused() {
    for shape in all() {
        assert_eq!(shape.accepted().await.subject(), shape.claims["sub"], "{}", shape.name);
        for (fault, code) in [
            (json!({"iss": "https://evil.test"}), "wrong_issuer"),
            (json!({"aud": "other"}), "wrong_audience"),
            (json!({"aud": null}), "wrong_audience"),
            (json!({"exp": shape.issuer.now() - 60}), "expired"),
            (json!({"exp": null}), "missing_claim"),
            (json!({"nonce": "n"}), "wrong_type"),
            (json!({"at_hash": "h"}), "wrong_type"),
            (json!({"events": {}}), "wrong_type"),
            (json!({"typ": "ID"}), "wrong_type"),
        ] {
            assert_eq!(shape.code(fault.clone()).await, code, "{} {fault}", shape.name);
        }
        for profile in [Profile::Keycloak, Profile::Rfc9068] {
            let verdict = shape.code_under(|rules| rules.with_profile(profile)).await;
            assert_eq!(verdict, "wrong_type", "{} {profile:?}", shape.name);
        }
        let verdict = shape.verdict(json!({"typ": "at+jwt"}), json!({}), |rules| rules).await;
        assert_eq!(code(&verdict), "wrong_type", "{}", shape.name);
    }
}

#[tokio::test]
async fn a_workload_has_no_names_unless_paths_say_where() {
    let claims = json!({
        "realm_access": {"roles": ["admin"]}, "roles": ["admin"], "groups": ["admin"], "scope": "admin",
        "scp": ["admin"], "preferred_username": "alice", "resource_access": {"hub": {"roles": ["admin"]}},
    });
    let token = gitlab().verdict(json!({}), claims.clone(), |rules| rules).await.unwrap();
    assert!(token.realm_roles().is_empty() && token.groups().is_empty() && token.scope.is_empty());
    assert!(token.client_roles("hub").is_empty());
    assert_eq!((token.preferred_username(), token.email(), token.name()), (None, None, None));
    let paths = ClaimPaths::none().with_roles(["user_login"]);
    let token =
        gitlab().verdict(json!({}), claims, |rules| rules.with_claims(paths)).await.unwrap();
    assert_eq!(token.realm_roles().iter().collect::<Vec<_>>(), ["alice"]);
}

#[tokio::test]
async fn an_svid_is_judged_by_its_trust_domain() {
    let spiffe = spiffe();
    assert_eq!(spiffe.accepted().await.confirmed_by().as_str(), "https://spire.example");
    assert_eq!(spiffe.code(json!({"iss": "https://spire.example"})).await, "accepted");
    for subject in [
        "spiffe://other.example/run/trainer",
        "spiffe://acme.example.evil.test/run",
        "spiffe://acme.example",
        "spiffe://acme.example/",
        "https://acme.example/run",
        "acme.example/run",
    ] {
        assert_eq!(spiffe.code(json!({"sub": subject})).await, "invalid_claim", "{subject}");
        let named = json!({"sub": subject, "iss": "https://spire.example"});
        assert_eq!(spiffe.code(named).await, "invalid_claim", "{subject}");
    }
    let without = |_| workload(&spiffe.issuer);
    assert_eq!(spiffe.code_under(without).await, "missing_claim");
    assert_eq!(gitlab().code(json!({"iss": null})).await, "missing_claim");
}

#[tokio::test]
async fn the_trust_domain_chooses_among_several_issuers() {
    let (gitlab, mut spiffe) = (gitlab(), spiffe());
    // Test issuers share their first key.
    spiffe.issuer.rotate();
    spiffe.issuer.remove_old_keys();
    spiffe.header["kid"] = json!(spiffe.issuer.signing_key().id());
    let keys = |shape: &Shape| {
        let set = JwkSet::parse(shape.issuer.jwks().as_bytes()).unwrap();
        Arc::new(StaticKeys::new(set))
    };
    let verifier = Verifier::new(gitlab.rules.clone(), keys(&gitlab))
        .with_issuer(spiffe.rules.clone(), keys(&spiffe))
        .with_clock(gitlab.issuer.clock());
    let sign = |shape: &Shape, claims| {
        let claims = super::changed(shape.claims.clone(), claims);
        shape.issuer.sign_with(&shape.header, &claims)
    };
    let token = verifier.access_token(&sign(&spiffe, json!({}))).await.unwrap();
    assert_eq!(token.confirmed_by().as_str(), "https://spire.example");
    assert!(verifier.access_token(&sign(&gitlab, json!({}))).await.is_ok());
    // Another issuer may not speak for the trust domain.
    let stolen = json!({"iss": null, "sub": "spiffe://acme.example/run/trainer"});
    let refusal = verifier.access_token(&sign(&gitlab, stolen)).await.unwrap_err();
    assert_eq!(refusal.code(), "unknown_key");
    let elsewhere = json!({"sub": "spiffe://other.example/x"});
    let refusal = verifier.access_token(&sign(&spiffe, elsewhere)).await.unwrap_err();
    assert_eq!(refusal.code(), "missing_claim");
}
