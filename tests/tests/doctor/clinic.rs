//! A realm as the guide describes it, a configuration for it, and `doorward doctor` on the two.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    gateway::{Plan, command},
    keycloak::{GATEWAY_CLIENT, Realm},
    world::free_port,
};
use serde_json::{Value, json};

/// Findings that depend on the shared Keycloak: its administrator is `admin` with the password `admin`.
pub(super) const SHARED: &str = "default_admin_password";

const ROUTES: &str = "\
page:
  match: { path: / }
  upstream: http://127.0.0.1:9
  access: [{ allow: [{ roles: [data-scientist] }, { groups: [/lab] }] }]
  identity: { access_token: { exchange: { audience: churn } } }
tools:
  match: { path: /tools }
  upstream: http://127.0.0.1:9
  sign_in: challenge
  mcp: { resource: PUBLIC/tools }
  access: [{ allow: signed_in }]";

/// A configuration, and the doctor that judges a realm by it.
pub(super) struct Clinic {
    config: PathBuf,
    pub(super) password: PathBuf,
}

impl Clinic {
    pub(super) fn new(world: &World, plan: &Plan) -> Result<Self> {
        let password = world.folder().join("admin-password");
        std::fs::write(&password, "admin\n")?;
        Ok(Self { config: plan.write()?, password })
    }

    /// The exit code, and everything printed.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let config = self.config.to_str().context("a path that is not UTF-8")?;
        let output = command(&[&["doctor", "--config", config], arguments].concat())?;
        let printed = String::from_utf8([output.stdout, output.stderr].concat())?;
        ensure!(!printed.contains("secret-for-tests"), "the client's secret is printed: {printed}");
        ensure!(!printed.contains("eyJ"), "a token is printed: {printed}");
        Ok((output.status.code().context("ended by a signal")?, printed))
    }

    pub(super) fn as_administrator(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let password = self.password.to_str().context("a path that is not UTF-8")?;
        let administrator = ["--admin-user", "admin", "--admin-password-file", password];
        self.run(&[&administrator, arguments].concat())
    }

    /// Names of the findings as an administrator, without that of the shared Keycloak.
    pub(super) fn names(&self) -> Result<BTreeSet<String>> {
        let (code, printed) = self.as_administrator(&["--json"])?;
        ensure!(code == 1, "exit code {code}: {printed}");
        let mut names = names(&printed)?;
        ensure!(names.remove(SHARED), "the password admin is not found: {printed}");
        Ok(names)
    }

    /// Fails unless there is this finding and no other.
    pub(super) fn has_only(&self, name: &str, wrong: &Value) -> Result<()> {
        let found = self.names()?;
        ensure!(
            found == BTreeSet::from([name.to_owned()]),
            "{wrong} leads to {found:?}, not {name}"
        );
        Ok(())
    }
}

pub(super) fn names(printed: &str) -> Result<BTreeSet<String>> {
    let document: Value = serde_json::from_str(printed).with_context(|| printed.to_owned())?;
    let findings = document.pointer("/issuers/0/findings").and_then(Value::as_array);
    let findings = findings.context("no findings")?;
    let name = |finding: &Value| finding["name"].as_str().map(str::to_owned);
    findings.iter().map(|finding| name(finding).context("a finding without a name")).collect()
}

/// Makes the realm of the fixture as the guide describes it.
pub(super) async fn put_right(realm: &Realm, world: &World) -> Result<()> {
    realm
        .configure(&json!({
            "sslRequired": "external",
            "bruteForceProtected": true,
            "passwordPolicy": "length(12) and notUsername",
            "ssoSessionIdleTimeout": 3600,
            "ssoSessionMaxLifespan": 43_200,
        }))
        .await?;
    realm.add_agent(&world.url("/tools"), "http://localhost:9/callback").await?;
    let logout = world.url("/oauth2/backchannel_logout");
    let right = json!({
        "fullScopeAllowed": false,
        "serviceAccountsEnabled": true,
        "attributes": {
            "backchannel.logout.url": logout,
            "backchannel.logout.session.required": "true",
        },
    });
    change(realm, &right).await?;
    realm.take_client_scope(GATEWAY_CLIENT, "offline_access").await?;
    realm.put_role_in_scope(GATEWAY_CLIENT, "data-scientist").await
}

/// Replaces members of the gateway's client, and single attributes.
pub(super) async fn change(realm: &Realm, members: &Value) -> Result<()> {
    realm
        .change_client(GATEWAY_CLIENT, |client| {
            for (name, value) in members.as_object().into_iter().flatten() {
                match (name.as_str(), value) {
                    ("attributes", Value::Object(attributes)) => {
                        if let Some(present) = client["attributes"].as_object_mut() {
                            present.extend(attributes.clone());
                        }
                    }
                    _ => client[name] = value.clone(),
                }
            }
        })
        .await
}

pub(super) fn plan(world: &World, realm: &Realm) -> Result<Plan> {
    let outbound = format!(
        "outbound: {{ listen: 127.0.0.1:{}, targets: {{ churn: {{ url: http://127.0.0.1:9, issuer: main }} }} }}",
        free_port()?
    );
    let plan = Plan::new(world, realm, &ROUTES.replace("PUBLIC", &world.public_url()))?;
    Ok(plan.with(&outbound).with_issuer_setting("algorithms: [RS256]"))
}
