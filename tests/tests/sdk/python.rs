//! Every client authentication of a Python program at Keycloak, and wrong credentials; each program is its own process.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::{keycloak::Realm, tools};
use oidc_core::token::Algorithm;
use serde_json::{Value, json};
use tokio::{process::Command, sync::OnceCell};

use crate::{
    federated::{another_issuer, trust},
    lab::{Lab, secret},
    signing_key::{KID, TestKey},
};

const ACCOUNT: &str = "system:serviceaccount:lab:python-job";
const TOKEN: &str = "/protocol/openid-connect/token";

#[tokio::test(flavor = "multi_thread")]
async fn a_certificates_token_is_refused_as_a_bearer_token() -> Result<()> {
    let lab = lab().await?;
    let authority = lab.realm.authority();
    let (mine, other) = (authority.client("python-job")?, authority.client("other-python-job")?);
    let subject = json!({ "x509.subjectdn": "CN=python-job" });
    lab.realm.set_client_attributes("job-certificate", &subject).await?;
    let one_file = lab.folder()?.join("certificate-and-key.pem");
    let texts = [&mine.certificate, &mine.key].map(std::fs::read_to_string);
    std::fs::write(&one_file, texts.into_iter().collect::<Result<String, _>>()?)?;

    let given = json!({
        "url": lab.realm.tls_issuer(),
        "ca_file": authority.certificate(),
        "mine": [mine.certificate, mine.key],
        "one_file": one_file,
        "other": [other.certificate, other.key],
    });
    let expected = json!({
        "mine": "token",
        "in one file": "token",
        "bound to mine": true,
        "as a bearer token": "sender_constrained",
        "another's": "invalid_client",
        "a secret instead": "invalid_client",
        "none": "client_authentication",
    });
    assert_eq!(python("certificate", &given).await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_of_each_kind_signs() -> Result<()> {
    let (lab, folder) = (lab().await?, lab().await?.folder()?);
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (key, other) = (TestKey::generate(algorithm)?, TestKey::generate(algorithm)?);
        lab.realm.set_client_attributes("job-key", &key.client_attributes()).await?;
        let file = |name: &str, key: &TestKey| -> Result<PathBuf> {
            let path = folder.join(format!("{name}-{algorithm}.pem"));
            std::fs::write(&path, key.pem.expose())?;
            Ok(path)
        };
        // The kind of key decides the others.
        let named = (algorithm == Algorithm::PS256).then_some("PS256");
        let given = json!({
            "url": lab.issuer(),
            "key": file("mine", &key)?,
            "other": file("other", &other)?,
            "key_id": KID,
            "algorithm": named,
        });
        let expected = json!({
            "mine": "token",
            "another's": "invalid_client",
            "under another name": "invalid_client",
        });
        assert_eq!(python("private_key", &given).await?, expected, "{algorithm}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clusters_token_authenticates_the_program() -> Result<()> {
    let (lab, cluster) = (lab().await?, another_issuer().await?);
    trust(&lab, "kubernetes", json!({ "issuer": cluster.url() }), ACCOUNT).await?;
    let (issuer, folder) = (lab.issuer(), lab.folder()?);
    let file = |name: &str, subject: &str, audience: &str| -> Result<PathBuf> {
        let order = Mint::service("workload").claim("sub", subject).audience([audience]);
        let path = folder.join(name);
        std::fs::write(&path, cluster.mint(order.expires_in(Duration::from_secs(600)))?)?;
        Ok(path)
    };
    let given = json!({
        "url": issuer,
        "files": {
            "mine": file("mine", ACCOUNT, issuer.as_str())?,
            "for another client": file("elsewhere", ACCOUNT, "https://elsewhere.example")?,
            "another's": file("other", "system:serviceaccount:lab:other", issuer.as_str())?,
        },
    });
    let expected = json!({
        "mine": "token",
        "for another client": "invalid_client",
        "another's": "invalid_client",
    });
    assert_eq!(python("assertion", &given).await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_used_by_the_configured_method() -> Result<()> {
    let lab = lab().await?;
    let methods = ["client_secret_basic", "client_secret_post", "client_secret_jwt"];
    let attempt = async |client: &str| {
        let given = json!({
            "url": lab.issuer(),
            "client_id": client,
            "secret": Realm::secret(client),
            "methods": methods,
        });
        python("secret", &given).await
    };
    // This one's secret is too short to sign, which shows before Keycloak is asked.
    let expected = json!({
        "client_secret_basic": ["token", "invalid_client"],
        "client_secret_post": ["token", "invalid_client"],
        "client_secret_jwt": ["client_authentication", "client_authentication"],
    });
    assert_eq!(attempt("job").await?, expected);
    // And this one's is not to be sent.
    let expected = json!({
        "client_secret_basic": ["invalid_client", "invalid_client"],
        "client_secret_post": ["invalid_client", "invalid_client"],
        "client_secret_jwt": ["token", "unauthorized_client"],
    });
    assert_eq!(attempt("job-with-hmac-key").await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_token_is_exchanged_once_for_another_audience() -> Result<()> {
    let (lab, wire) = lab().await?.counted().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let login = lab.log_in(&client, lab.login_request()?, "alice").await?;
    let before = wire.count(TOKEN);
    let given = json!({
        "url": lab.issuer(),
        "secrets": { "notebook": Realm::secret("notebook"), "job": Realm::secret("job") },
        "theirs": login.tokens.access_token.expose(),
    });
    let expected = json!({
        "for": [login.id_token.subject(), "alice", "notebook"],
        "once": true,
        "for another service": "invalid_client",
        "by a client that may not": "invalid_request",
        "text that is not a token": "invalid_request",
    });
    assert_eq!(python("exchange", &given).await?, expected);
    assert_eq!(wire.count(TOKEN) - before, 4, "one that was given, and three that were refused");
    Ok(())
}

/// A separate realm: other scenarios set up the same clients in the common one.
async fn lab() -> Result<Lab> {
    static OWN: OnceCell<Lab> = OnceCell::const_new();
    OWN.get_or_try_init(|| Lab::new("sdk-python")).await?.again()
}

/// Runs one way of `python_client.py`; a warning is an error.
async fn python(way: &str, given: &Value) -> Result<Value> {
    let ran = Command::new(tools::installed("venv-python/bin/python")?)
        .args(["-X", "dev", "-W", "error"])
        .arg(tools::fixture("python_client.py"))
        .args([way, &given.to_string()])
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success() && said.is_empty(), "{said}");
    Ok(serde_json::from_slice(&ran.stdout)?)
}
