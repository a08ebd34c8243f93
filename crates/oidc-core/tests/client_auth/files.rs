//! Credential files: changes take effect without a restart.

use std::path::Path;

use dev_issuer::{DevClient, DevIssuer};
use oidc_core::client::{
    ClientAuth, ClientAuthError, ClientSecret, InvalidPrivateKey, PrivateKeyJwt, TokenEndpointError,
};
use oidc_core::token::Algorithm;
use serde_json::json;
use tempfile::TempDir;

use crate::key_pairs::Pair;
use crate::{World, own_right, part};

fn write(path: &Path, text: &str) {
    // Mounted secrets change like this: another file takes the name.
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, path).unwrap();
}

#[tokio::test]
async fn a_secret_is_read_at_each_use() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("secret");
    let world = World::with_client(DevClient::confidential("job", "first")).await;
    let auth = ClientAuth::SecretPost(ClientSecret::file(&path));
    let endpoint = world.endpoint("job", auth);

    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(
        matches!(error, TokenEndpointError::ClientAuth(ClientAuthError::File { .. })),
        "{error}"
    );
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(error.is_temporary(), "the file may come");

    for text in ["first", "first\n", "first\r\n"] {
        write(&path, text);
        endpoint.request(own_right()).await.unwrap();
    }
    world.issuer.set_client(DevClient::confidential("job", "second"));
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::InvalidClient { .. }), "{error}");
    write(&path, "second\n");
    endpoint.request(own_right()).await.unwrap();
    let secrets: Vec<_> =
        world.sent().iter().map(|sent| sent.value("client_secret").unwrap().to_owned()).collect();
    assert_eq!(secrets, ["first", "first", "first", "first", "second"]);
}

#[tokio::test]
async fn a_file_without_a_credential_is_named_in_the_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("secret");
    let world = World::with_client(DevClient::confidential("job", "first")).await;
    let endpoint = world.endpoint("job", ClientAuth::SecretBasic(ClientSecret::file(&path)));
    for (octets, word) in [
        (b"".to_vec(), "empty"),
        (b"\n".to_vec(), "empty"),
        (vec![0xff, 0xfe], "UTF-8"),
        (vec![b'x'; 64 * 1024 + 1], "64 KiB"),
    ] {
        std::fs::write(&path, octets).unwrap();
        let error = endpoint.request(own_right()).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains("secret"), "{error}");
    }
    let place = ClientAuth::SecretBasic(ClientSecret::file(directory.path()));
    let error = world.endpoint("job", place).request(own_right()).await.unwrap_err();
    assert!(
        matches!(error, TokenEndpointError::ClientAuth(ClientAuthError::File { .. })),
        "{error}"
    );
    assert!(world.sent().is_empty(), "nothing was sent without a proof");
}

#[tokio::test]
async fn a_key_is_read_again_when_its_file_changes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let (first, second, third) = (Pair::p256(), Pair::ed25519(), Pair::p384());
    let error = PrivateKeyJwt::from_file(&path, None, None).unwrap_err();
    assert!(matches!(error, ClientAuthError::File { .. }), "{error}");
    write(&path, "hunter2");
    let error = PrivateKeyJwt::from_file(&path, None, None).unwrap_err();
    let ClientAuthError::KeyFile { source: InvalidPrivateKey::NotPem, .. } = error else {
        panic!("{error}")
    };
    write(&path, first.pems[0].expose());
    let error = PrivateKeyJwt::from_file(&path, Some(Algorithm::RS256), None).unwrap_err();
    let ClientAuthError::KeyFile { source: InvalidPrivateKey::Unfit { .. }, .. } = error else {
        panic!("{error}")
    };

    let key = PrivateKeyJwt::from_file(&path, None, Some("k1".to_owned())).unwrap();
    let world = World::with_client(DevClient::private_key_jwt("job", first.jwks("k1"))).await;
    let endpoint = world.endpoint("job", ClientAuth::PrivateKeyJwt(key));
    endpoint.request(own_right()).await.unwrap();

    world.issuer.set_client(DevClient::private_key_jwt("job", second.jwks("k2")));
    write(&path, second.private_jwk(&json!({"kid": "k2"})).expose());
    endpoint.request(own_right()).await.unwrap();
    write(&path, "half a key");
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");

    world.issuer.set_client(DevClient::private_key_jwt("job", third.jwks("k1")));
    write(&path, third.pems[1].expose());
    endpoint.request(own_right()).await.unwrap();
    let headers: Vec<_> = world
        .sent()
        .iter()
        .map(|sent| part(sent.value("client_assertion").unwrap(), 0))
        .map(|header| (header["alg"].clone(), header["kid"].clone()))
        .collect();
    let expected = [("ES256", "k1"), ("EdDSA", "k2"), ("ES384", "k1")];
    assert_eq!(headers, expected.map(|(alg, kid)| (json!(alg), json!(kid))));
}

const CLUSTER: &str = "https://kubernetes.default.svc";

#[tokio::test]
async fn a_workloads_token_is_read_at_each_request() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    let cluster = Pair::p256();
    let svid = "spiffe://example.org/ns/batch/sa/job";
    let world = World::start(
        DevIssuer::builder()
            .trust(CLUSTER, cluster.jwks("c1"))
            .trust("spiffe://example.org", cluster.jwks("c1"))
            .client(DevClient::federated("job", CLUSTER, "system:serviceaccount:batch:job"))
            .client(DevClient::federated("mesh", "spiffe://example.org", svid)),
    )
    .await;
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(cluster.pems[0].expose().as_bytes());
    let signer = signer.unwrap();
    let token = |subject: &str, audience: &str, n: u8| {
        let exp = jsonwebtoken::get_current_timestamp() + 600;
        let claims = json!({"iss": CLUSTER, "sub": subject, "aud": [audience], "exp": exp, "n": n});
        let mut claims = claims;
        if subject == svid {
            claims.as_object_mut().unwrap().remove("iss");
        }
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        jsonwebtoken::encode(&header, &claims, &signer).unwrap()
    };
    let endpoint = world.endpoint("job", ClientAuth::AssertionFile(path.clone()));
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("token"), "{error}");

    let workload = "system:serviceaccount:batch:job";
    for n in [1, 2] {
        write(&path, &token(workload, world.issuer.url(), n));
        endpoint.request(own_right()).await.unwrap();
        let sent = world.sent().remove(0);
        assert_eq!(part(sent.value("client_assertion").unwrap(), 1)["n"], n);
        assert!(sent.value("client_assertion_type").unwrap().ends_with(":jwt-bearer"));
    }
    write(&path, &token(workload, "https://elsewhere.example", 3));
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::InvalidClient { .. }), "{error}");

    write(&path, &token(svid, world.issuer.url(), 4));
    world.sent();
    let mesh = world.endpoint("mesh", ClientAuth::JwtSvidFile(path.clone()));
    mesh.request(own_right()).await.unwrap();
    let kind = world.sent().remove(0).value("client_assertion_type").unwrap().to_owned();
    assert!(kind.ends_with(":jwt-spiffe"), "{kind}");
    let as_bearer = world.endpoint("mesh", ClientAuth::AssertionFile(path));
    assert!(as_bearer.request(own_right()).await.is_err());
}
