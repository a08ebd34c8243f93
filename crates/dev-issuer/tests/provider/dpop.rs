use dev_issuer::{DevClient, DevIssuer};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::http;
use crate::party::{claims, introspect, provider};
use crate::signer::Signer;

/// POSTs a form with these proofs. Returns status, nonce and body.
async fn ask(
    issuer: &DevIssuer,
    fields: &[(&str, &str)],
    proofs: &[&str],
) -> (StatusCode, Option<String>, Value) {
    let mut request =
        http().post(format!("{}/protocol/openid-connect/token", issuer.url())).form(fields);
    for proof in proofs {
        request = request.header("DPoP", *proof);
    }
    let response = request.send().await.unwrap();
    let nonce = response.headers().get("dpop-nonce").map(|nonce| nonce.to_str().unwrap().into());
    (response.status(), nonce, response.json().await.unwrap())
}

const OWN: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "gateway"), ("client_secret", "s3cret:&")];

#[tokio::test]
async fn a_token_is_bound_to_the_key_of_its_proof() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    for signer in [Signer::p256(), Signer::p384(), Signer::ed25519()] {
        let proof = signer.proof(&issuer, json!({}));
        let (status, _, body) = ask(&issuer, &OWN, &[&proof]).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["token_type"], "DPoP");
        let token = body["access_token"].as_str().unwrap();
        let jwk: Jwk = serde_json::from_value(signer.jwk.clone()).unwrap();
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).unwrap();
        assert_eq!(claims(token)["cnf"], json!({"jkt": thumbprint}));
        let described = introspect(&issuer, token).await;
        assert_eq!(
            (&described["active"], &described["token_type"]),
            (&json!(true), &json!("DPoP"))
        );
        let (_, _, again) = ask(&issuer, &OWN, &[&proof]).await;
        assert_eq!(again["error"], "invalid_dpop_proof", "replayed");
    }
    let (_, _, body) = ask(&issuer, &OWN, &[]).await;
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(claims(body["access_token"].as_str().unwrap()).get("cnf"), None);
}

#[tokio::test]
async fn a_proof_with_any_wrong_member_is_refused() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let signer = Signer::p256();
    let other = Signer::p256();
    let now = jsonwebtoken::get_current_timestamp();
    let good = |change: Value| signer.proof(&issuer, change);
    let mut forged = good(json!({}));
    let signature = other.proof(&issuer, json!({}));
    forged.replace_range(forged.rfind('.').unwrap().., &signature[signature.rfind('.').unwrap()..]);
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    let plain = json!({"jti": "1", "htm": "POST", "htu": url, "iat": now});
    for (what, proof) in [
        ("method", good(json!({"htm": "GET"}))),
        ("url", good(json!({"htu": "https://elsewhere.example/token"}))),
        ("old", good(json!({"iat": now - 120}))),
        ("future", good(json!({"iat": now + 120}))),
        ("no time", good(json!({"iat": null}))),
        ("no jti", good(json!({"jti": null}))),
        ("ath", good(json!({"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}))),
        ("typ", signer.sign_proof("JWT", &plain)),
        ("no key", signer.sign(&plain)),
        ("forged", forged),
        ("no JWT", "x".to_owned()),
    ] {
        let (status, _, body) = ask(&issuer, &OWN, &[&proof]).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &"invalid_dpop_proof".into()),
            "{what}"
        );
    }
    let two = [good(json!({})), good(json!({}))];
    let (_, _, body) = ask(&issuer, &OWN, &[&two[0], &two[1]]).await;
    assert_eq!(body["error"], "invalid_dpop_proof", "two proofs");
    let query = good(json!({"htu": format!("{url}?x=1#y")}));
    assert_eq!(ask(&issuer, &OWN, &[&query]).await.0, StatusCode::OK, "query does not count");
}

#[tokio::test]
async fn a_required_nonce_is_accepted_once() {
    let issuer = provider().require_dpop_nonce().start("127.0.0.1:0").await.unwrap();
    let signer = Signer::p256();
    let proof = |nonce: &str| signer.proof(&issuer, json!({"nonce": nonce}));
    let (status, nonce, body) = ask(&issuer, &OWN, &[&signer.proof(&issuer, json!({}))]).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &"use_dpop_nonce".into()));
    let first = nonce.unwrap();
    let (status, next, _) = ask(&issuer, &OWN, &[&proof(&first)]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ask(&issuer, &OWN, &[&proof(&first)]).await.2["error"], "use_dpop_nonce");
    assert_eq!(ask(&issuer, &OWN, &[&proof("invented")]).await.2["error"], "use_dpop_nonce");
    assert_eq!(ask(&issuer, &OWN, &[&proof(&next.unwrap())]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_client_can_be_required_to_send_proofs() {
    let client = DevClient::confidential("strict", "s").require_dpop();
    let issuer = provider().client(client).start("127.0.0.1:0").await.unwrap();
    let fields =
        [("grant_type", "client_credentials"), ("client_id", "strict"), ("client_secret", "s")];
    assert_eq!(ask(&issuer, &fields, &[]).await.2["error"], "invalid_dpop_proof");
    let proof = Signer::p256().proof(&issuer, json!({}));
    assert_eq!(ask(&issuer, &fields, &[&proof]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_public_clients_refresh_token_is_bound_to_its_key() {
    let issuer = provider().client(DevClient::public("cli")).start("127.0.0.1:0").await.unwrap();
    let signer = Signer::p256();
    let unbound = issuer.log_in("alice", "cli", "openid").unwrap().refresh_token.unwrap();
    let refresh = async |token: &str, proofs: &[&str]| {
        let fields =
            [("grant_type", "refresh_token"), ("client_id", "cli"), ("refresh_token", token)];
        ask(&issuer, &fields, proofs).await
    };
    let (status, _, body) = refresh(&unbound, &[&signer.proof(&issuer, json!({}))]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let bound = body["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(&bound, &[]).await.2["error"], "invalid_dpop_proof");
    let other = Signer::p256().proof(&issuer, json!({}));
    assert_eq!(refresh(&bound, &[&other]).await.2["error"], "invalid_dpop_proof");
    let (status, _, body) = refresh(&bound, &[&signer.proof(&issuer, json!({}))]).await;
    assert_eq!((status, &body["token_type"]), (StatusCode::OK, &json!("DPoP")));

    let userinfo = format!("{}/protocol/openid-connect/userinfo", issuer.url());
    let token = body["access_token"].as_str().unwrap();
    let show = async |scheme: &str, proof: Option<String>| {
        let mut request = http()
            .request(Method::GET, &userinfo)
            .header("Authorization", format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.header("DPoP", proof);
        }
        request.send().await.unwrap().status()
    };
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let ath = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, hash);
    let of = |key: &Signer, ath: &str| {
        Some(key.proof(&issuer, json!({"htm": "GET", "htu": userinfo, "ath": ath})))
    };
    assert_eq!(show("Bearer", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(show("DPoP", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(show("DPoP", of(&Signer::p256(), &ath)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(show("DPoP", of(&signer, "other")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(show("DPoP", of(&signer, &ath)).await, StatusCode::OK);
}
