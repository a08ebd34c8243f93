//! Tokens of the local listener for an assertion, from Keycloak: about a user (RFC 7523 §2.1), and about the client (§2.2).

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Mint};
use e2e::{World, gateway::Plan, token_text::claims, visitor::plain_client, world::free_port};
use serde_json::{Value, json};

const SUBJECT: &str = "alice-at-the-partner";
const ACCOUNT: &str = "system:serviceaccount:lab:job";

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_gives_tokens_for_assertions_in_files() -> Result<()> {
    let world = World::new("outbound-assertions")?;
    let (realm, echo, client) = (world.realm().await?, world.echo().await?, plain_client()?);
    let workload = DevClient::confidential("workload", "never used here");
    let partner = DevIssuer::builder().client(workload).start("127.0.0.1:0").await?;
    let metadata: Value = client.get(partner.discovery_url()).send().await?.json().await?;
    // One issuer for assertions about users, one for those about clients.
    realm
        .add_identity_provider(&json!({
            "alias": "partner",
            "providerId": "jwt-authorization-grant",
            "enabled": true,
            "config": {
                "issuer": partner.url(),
                "useJwksUrl": "true",
                "jwksUrl": metadata["jwks_uri"],
                "jwtAuthorizationGrantEnabled": "true",
            },
        }))
        .await?;
    realm.link_identity("alice", "partner", SUBJECT).await?;
    let grant = json!({
        "oauth2.jwt.authorization.grant.enabled": "true",
        "oauth2.jwt.authorization.grant.idp": "partner",
    });
    realm.set_client_attributes("gateway", &grant).await?;
    let cluster = json!({
        "alias": "cluster",
        "providerId": "kubernetes",
        "enabled": true,
        "config": { "issuer": partner.url() },
    });
    realm.add_identity_provider(&cluster).await?;
    let named = json!({ "jwt.credential.issuer": "cluster", "jwt.credential.sub": ACCOUNT });
    realm.authenticate_by_assertion("airflow-run", &named).await?;

    let mint = |subject: &str| {
        let order = Mint::service("workload").claim("sub", subject).audience([realm.issuer()]);
        partner.mint(order.expires_in(Duration::from_secs(200)))
    };
    let [user, stranger, job] = ["user", "stranger", "job"].map(|name| world.folder().join(name));
    fs::write(&user, mint(SUBJECT)?)?;
    fs::write(&stranger, mint("unknown")?)?;
    fs::write(&job, mint(ACCOUNT)?)?;
    let port = free_port()?;
    let outbound = format!(
        "outbound:
  listen: 127.0.0.1:{port}
  targets:
    reports: {{ url: {service}, issuer: main, grant: {{ jwt_bearer: {user} }} }}
    closed: {{ url: {service}, issuer: main, grant: {{ jwt_bearer: {stranger} }} }}
    churn: {{ url: {service}, issuer: main, client: {{ id: airflow-run, auth: {{ assertion_file: {job} }} }} }}",
        service = echo.url(),
        user = user.display(),
        stranger = stranger.display(),
        job = job.display(),
    );
    let routes = format!(
        "open:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.with(&outbound).start().await?;

    let call = async |path: &str| client.get(format!("http://127.0.0.1:{port}{path}")).send().await;
    let received = |path: &str| -> Result<Value> {
        let value = echo.last(path)?.value("authorization").context("no token")?;
        claims(value.strip_prefix("Bearer ").context("another scheme")?)
    };
    for _ in 0..3 {
        // Keycloak takes an assertion once: the token in memory is what serves.
        assert_eq!(call("/reports/a").await?.status(), 200);
    }
    let token = received("/a")?;
    assert_eq!(token["preferred_username"], "alice");
    assert_eq!(token["azp"], "gateway");
    let refused = call("/closed/b").await?;
    assert_eq!(refused.status(), 403);
    let problem: Value = refused.json().await?;
    ensure!(problem["code"] == "token_refused", "{problem}");
    assert_eq!(call("/churn/c").await?.status(), 200);
    assert_eq!(received("/c")?["azp"], "airflow-run");
    gateway.finish(&[])
}
