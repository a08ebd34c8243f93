//! Programs that only know a password, as they are: pip, twine, skopeo and curl with an API key.

use std::path::Path;

use anyhow::{Result, ensure};
use dev_issuer::{DevClient, DevIssuer};
use e2e::{
    World,
    gateway::{Gateway, Plan, command},
    tools,
};

use crate::programs::{registry, service, small_artifacts};

const SECRET: &str = "the gateway's secret beside programs with keys";

/// The gateway before one upstream, and a machine with a key of the client `ci`.
pub(crate) struct Desk {
    pub(crate) world: World,
    pub(crate) gateway: Gateway,
    key: String,
    _issuer: DevIssuer,
}

impl Desk {
    pub(crate) async fn new(world: World, route: &str, upstream: &str) -> Result<Self> {
        let client =
            DevClient::confidential("gateway", SECRET).redirect_uri(world.url("/oauth2/callback"));
        let issuer = DevIssuer::builder().client(client).start("127.0.0.1:0").await?;
        let routes = format!(
            "it:\n  {route}\n  upstream: {upstream}\n  access: [ {{ allow: {{ clients: [ci] }} }} ]\n"
        );
        let plan = Plan::with_client(&world, issuer.url(), SECRET, &routes)?;
        let gateway = plan.with("api_keys: { routes: [it] }").start().await?;
        let config = gateway.config().display().to_string();
        let create = ["key", "create", "--config", &config, "--client", "ci", "--route", "it"];
        let made = command(&[&create[..], &["--expires", "30d"]].concat())?;
        ensure!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout)?.trim().to_owned();
        std::fs::create_dir(world.folder().join("home"))?;
        Ok(Self { world, gateway, key, _issuer: issuer })
    }

    /// `http://key:KEY@localhost:PORT`
    pub(crate) fn url_with_key(&self) -> String {
        self.world.public_url().replace("http://", &format!("http://key:{}@", self.key))
    }

    pub(crate) fn revoke(&self) -> Result<()> {
        let config = self.gateway.config().display().to_string();
        let revoked = command(&["key", "revoke", "--config", &config, "--client", "ci"])?;
        ensure!(revoked.status.success(), "{revoked:?}");
        Ok(())
    }

    async fn run(&self, script: &str) -> Result<(bool, String)> {
        let clients = tools::installed("venv-clients/bin/pip")?;
        let clients = clients.parent().unwrap_or_else(|| Path::new(".")).display().to_string();
        let ran = tokio::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .env_clear()
            .env("PATH", format!("{clients}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", self.world.folder().join("home"))
            .env("DOORWARD_KEY", &self.key)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.world.folder())
            .kill_on_drop(true)
            .output()
            .await?;
        let output = [ran.stdout, ran.stderr].concat();
        Ok((ran.status.success(), String::from_utf8_lossy(&output).into_owned()))
    }

    pub(crate) async fn works(&self, script: &str) -> Result<()> {
        let (good, output) = self.run(script).await?;
        ensure!(good, "{script}\n{output}");
        Ok(())
    }

    pub(crate) async fn fails(&self, script: &str, words: &str) -> Result<()> {
        let (good, output) = self.run(script).await?;
        ensure!(!good && output.contains(words), "{script}\n{output}");
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.gateway.finish(&[self.key])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_installs_and_twine_uploads_with_an_api_key() -> Result<()> {
    let world = World::new("key-programs-pip")?;
    small_artifacts(&world).await?;
    std::fs::create_dir(world.folder().join("index"))?;
    let server = tools::installed("venv-clients/bin/pypi-server")?;
    let run = ["run", "-i", "127.0.0.1", "-p", "PORT", "-P", ".", "-a", ".", "index"];
    let index = service("pypiserver", &world, &server, &run).await?;
    let route = "match: { path: / }\n  preset: package_index";
    let desk = Desk::new(world, route, &index.url).await?;
    let (public, with_key) = (desk.world.public_url(), desk.url_with_key());
    let upload = |password: &str| {
        format!(
            "twine upload --non-interactive --repository-url {public}/ -u key -p {password} wheels/*.whl"
        )
    };
    desk.fails(&upload("wrong"), "401").await?;
    desk.works(&upload("\"$DOORWARD_KEY\"")).await?;
    const INSTALL: &str =
        "pip install --no-input --disable-pip-version-check --no-deps --target got";
    let install = |url: &str| format!("{INSTALL} --index-url {url}/simple/ churn-features==1.0");
    desk.fails(&install(&public), "No matching distribution").await?;
    desk.works(&install(&with_key)).await?;
    desk.works(&format!("curl -fsS -u \"x:$DOORWARD_KEY\" {public}/simple/ | grep -q churn"))
        .await?;
    desk.works(&format!(
        "curl -fsS -H \"Authorization: Bearer $DOORWARD_KEY\" {public}/simple/ | grep -q churn"
    ))
    .await?;
    desk.revoke()?;
    desk.fails(&format!("curl -fsS -u \"x:$DOORWARD_KEY\" {public}/simple/"), "401").await?;
    desk.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_client_pushes_and_pulls_with_an_api_key() -> Result<()> {
    let world = World::new("key-programs-registry")?;
    small_artifacts(&world).await?;
    let (_registry, upstream) = registry(&world).await?;
    // By the registry's token endpoint, as Docker does, and with Basic on every request.
    for (number, route) in ["preset: registry", "basic: true"].iter().enumerate() {
        let world = World::new(&format!("key-programs-registry-{number}"))?;
        small_artifacts(&world).await?;
        let route = format!("match: {{ path: /v2 }}\n  sign_in: challenge\n  {route}");
        let desk = Desk::new(world, &route, &upstream).await?;
        let host = format!("localhost:{}", desk.world.public_port());
        let image = format!("docker://{host}/lab/churn:{number}");
        let copy = "skopeo copy -q --insecure-policy";
        let push = format!("{copy} --dest-tls-verify=false oci:image {image}");
        desk.fails(&push, "unauthorized").await?;
        let login = "skopeo login --tls-verify=false --username key --password-stdin";
        desk.fails(&format!("echo dw_wrong | {login} {host}"), "").await?;
        desk.works(&format!(
            "export REGISTRY_AUTH_FILE=$HOME/auth.json
            echo \"$DOORWARD_KEY\" | {login} {host}
            {push}
            {copy} --src-tls-verify=false {image} oci:pulled
            skopeo inspect --tls-verify=false {image} | grep -q '\"Architecture\": \"amd64\"'"
        ))
        .await?;
        assert!(desk.world.folder().join("pulled/index.json").exists());
        desk.revoke()?;
        let inspect = format!(
            "export REGISTRY_AUTH_FILE=$HOME/auth.json; skopeo inspect --tls-verify=false {image}"
        );
        desk.fails(&inspect, "").await?;
        desk.finish()?;
    }
    Ok(())
}
