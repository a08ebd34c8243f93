//! Programs of data teams, as they are: each gets through the gateway with the lines of its guide, and not without.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    program::Program,
    tools,
    upstream::Echo,
    wait,
    world::free_port,
};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "the gateway's secret beside programs";
const JOB_SECRET: &str = "the secret of the job ci";

/// One section of the guide, and the machine of a job that follows it.
struct Desk {
    host: String,
    text: String,
    world: World,
    gateway: Gateway,
    _issuer: DevIssuer,
}

/// Result of a shell script.
#[derive(Debug)]
struct Ran {
    good: bool,
    output: String,
}

impl Desk {
    /// The gateway with the route of the guide's section, which leads to this upstream.
    async fn new(section: &str, host: &str, upstream: &str, world: World) -> Result<Self> {
        let text = std::fs::read_to_string(repository().join("docs/guides/credential-helpers.md"))?;
        let heading = format!("\n## {section}\n");
        let (_, text) = text.split_once(&heading).context("no such section")?;
        let text = text.split("\n## ").next().unwrap_or_default().to_owned();
        let route = block(&text, "yaml", 0)?;
        let route = route.strip_prefix("routes:\n").context("no route in the section")?;
        let routes: String = route
            .lines()
            .map(|line| match line.split_once("upstream: ") {
                Some((before, _)) => format!("{before}upstream: {upstream}\n"),
                None => format!("{line}\n").replace(host, "localhost"),
            })
            .map(|line| line.replacen("  ", "", 1))
            .collect();
        let client =
            DevClient::confidential("gateway", SECRET).redirect_uri(world.url("/oauth2/callback"));
        let job = DevClient::confidential("ci", JOB_SECRET).audience("gateway");
        let issuer = DevIssuer::builder().client(client).client(job).start("127.0.0.1:0").await?;
        let gateway = Plan::with_client(&world, issuer.url(), SECRET, &routes)?.start().await?;
        for folder in ["home", "bin"] {
            std::fs::create_dir(world.folder().join(folder))?;
        }
        std::fs::write(world.folder().join("job-secret"), JOB_SECRET)?;
        std::os::unix::fs::symlink(tools::doorward()?, world.folder().join("bin/doorward"))?;
        Ok(Self { host: host.to_owned(), text, world, gateway, _issuer: issuer })
    }

    /// A block of the section, with this gateway's address for the guide's.
    fn guide(&self, language: &str) -> Result<String> {
        Ok(self.here(&block(&self.text, language, 0)?))
    }

    fn here(&self, text: &str) -> String {
        let address = format!("localhost:{}", self.world.public_port());
        text.replace("https://", "http://").replace(&self.host, &address)
    }

    fn url(&self) -> String {
        self.world.public_url()
    }

    /// Runs a script on the machine of the job.
    async fn run(&self, script: &str) -> Result<Ran> {
        let folder = self.world.folder();
        let scripts = repository().join("examples/credential-helpers");
        let venv = |name: &str| tools::cache().map(|cache| cache.join(name).join("bin"));
        let path = [scripts, folder.join("bin"), venv("venv-clients")?, venv("venv-python")?];
        let path: Vec<String> = path.iter().map(|part| part.display().to_string()).collect();
        let ran = tokio::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", path.join(":")))
            .env("HOME", folder.join("home"))
            .env("DOORWARD_ISSUER", self._issuer.url())
            .env("DOORWARD_CLIENT_ID", "ci")
            .env("DOORWARD_CLIENT_SECRET_FILE", folder.join("job-secret"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GRADIO_ANALYTICS_ENABLED", "False")
            .env("PYTHONPATH", tools::fixture(""))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder)
            .kill_on_drop(true)
            .output()
            .await?;
        let output = [ran.stdout, ran.stderr].concat();
        let output = String::from_utf8_lossy(&output).into_owned();
        Ok(Ran { good: ran.status.success(), output })
    }

    async fn works(&self, script: &str) -> Result<String> {
        let ran = self.run(script).await?;
        ensure!(ran.good, "{script}\n{}", ran.output);
        Ok(ran.output)
    }

    async fn fails(&self, script: &str) -> Result<String> {
        let ran = self.run(script).await?;
        ensure!(!ran.good, "{script}\nwent well:\n{}", ran.output);
        Ok(ran.output)
    }

    /// Ends the gateway and checks its log.
    fn finish(self) -> Result<()> {
        self.gateway.finish(&[JOB_SECRET.to_owned()])
    }
}

/// The block of code in this language, by its number.
fn block(text: &str, language: &str, number: usize) -> Result<String> {
    let fence = format!("```{language}\n");
    let rest = text.split(&fence).nth(number + 1);
    let rest = rest.with_context(|| format!("no block of {language} in the section"))?;
    Ok(rest.split("```").next().unwrap_or_default().to_owned())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program that listens on a port, given as `PORT` among its arguments.
pub(crate) async fn service(
    name: &str,
    world: &World,
    program: &Path,
    arguments: &[&str],
) -> Result<Service> {
    let port = free_port()?;
    let arguments = arguments.iter().map(|argument| argument.replace("PORT", &port.to_string()));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(world.folder()).env("GRADIO_ANALYTICS_ENABLED", "False");
    let mut program = Program::start(name, world.folder(), &mut command)?;
    wait::until(name, PATIENCE, async || {
        program.check_running()?;
        Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok())
    })
    .await?;
    Ok(Service { url: format!("http://127.0.0.1:{port}"), _program: program })
}

pub(crate) struct Service {
    pub(crate) url: String,
    _program: Program,
}

pub(crate) async fn small_artifacts(world: &World) -> Result<()> {
    let made = tokio::process::Command::new("python3")
        .arg(tools::fixture("small_artifacts.py"))
        .current_dir(world.folder())
        .status()
        .await?;
    ensure!(made.success(), "no artifacts");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_installs_from_an_index_with_a_token() -> Result<()> {
    let world = World::new("programs-pip")?;
    small_artifacts(&world).await?;
    let server = tools::installed("venv-clients/bin/pypi-server")?;
    let run = ["run", "-i", "127.0.0.1", "-p", "PORT", "-P", ".", "-a", ".", "wheels"];
    let index = service("pypiserver", &world, &server, &run).await?;
    let desk = Desk::new("pip, uv, twine", "packages.example", &index.url, world).await?;
    let lines = desk.guide("sh")?;
    const DOWNLOAD: &str =
        "pip download --no-input --disable-pip-version-check --no-deps -d got churn-features==1.0";
    let output = desk.works(&format!("{lines}\n{DOWNLOAD}")).await?;
    assert!(
        desk.world.folder().join("got/churn_features-1.0-py3-none-any.whl").exists(),
        "{output}"
    );
    let refused = desk.fails(&format!("export PIP_KEYRING_PROVIDER=disabled\n{DOWNLOAD}")).await?;
    assert!(!refused.contains("oauth2/start"), "a program is never sent to a page: {refused}");
    desk.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes_with_a_token() -> Result<()> {
    let world = World::new("programs-git")?;
    let folder = world.folder().display().to_string();
    let script = tools::fixture("git_http.py").display().to_string();
    let git =
        service("git-http", &world, Path::new("python3"), &[&script, "PORT", &folder]).await?;
    let desk = Desk::new("git", "git.example", &git.url, world).await?;
    desk.works("git init -q --bare models.git && git -C models.git config http.receivepack true")
        .await?;
    let url = format!("{}/models.git", desk.url());
    let refused = desk.fails(&format!("git clone -q {url} refused")).await?;
    assert!(refused.contains("terminal prompts disabled"), "it is asked for a password: {refused}");
    let name = "git -C work -c user.name=ci -c user.email=ci@example.test";
    desk.works(&format!(
        "{}
        git clone -q {url} work
        {name} commit -q --allow-empty -m first
        {name} push -q origin HEAD
        git clone -q {url} again
        git -C again log --format=%s | grep -qx first",
        desk.guide("sh")?
    ))
    .await?;
    desk.finish()
}

/// A registry of container images, and its address.
pub(crate) async fn registry(world: &World) -> Result<(Program, String)> {
    let port = free_port()?;
    let settings = format!(
        "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {}/registry }} }}\nhttp: {{ addr: 127.0.0.1:{port} }}\n",
        world.folder().display()
    );
    std::fs::write(world.folder().join("registry.yml"), settings)?;
    let mut command = Command::new("docker-registry");
    command.args(["serve", "registry.yml"]).current_dir(world.folder());
    let registry = Program::start("registry", world.folder(), &mut command)?;
    let upstream = format!("http://127.0.0.1:{port}");
    wait::until_ready("the registry", &format!("{upstream}/v2/"), PATIENCE).await?;
    Ok((registry, upstream))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_client_pushes_and_pulls_with_a_token() -> Result<()> {
    let world = World::new("programs-registry")?;
    small_artifacts(&world).await?;
    let (_registry, upstream) = registry(&world).await?;
    let desk = Desk::new("Docker, Podman, skopeo", "registry.example", &upstream, world).await?;
    let image = format!("docker://localhost:{}/lab/churn:1", desk.world.public_port());
    let copy = "skopeo copy -q --insecure-policy";
    let refused = desk.fails(&format!("{copy} --dest-tls-verify=false oci:image {image}")).await?;
    assert!(refused.contains("unauthorized") || refused.contains("401"), "{refused}");
    let home = desk.world.folder().join("home/.docker");
    std::fs::create_dir(&home)?;
    std::fs::write(home.join("config.json"), desk.guide("json")?)?;
    desk.works(&format!(
        "{copy} --dest-tls-verify=false oci:image {image}
        {copy} --src-tls-verify=false {image} oci:pulled
        skopeo inspect --tls-verify=false {image} | grep -q '\"Architecture\": \"amd64\"'"
    ))
    .await?;
    assert!(desk.world.folder().join("pulled/index.json").exists());
    desk.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mlflow_client_sends_its_token() -> Result<()> {
    let upstream = Echo::start().await?;
    let world = World::new("programs-mlflow")?;
    let desk = Desk::new("MLflow", "mlflow.example", &upstream.url(), world).await?;
    const ASK: &str = "export MLFLOW_HTTP_REQUEST_MAX_RETRIES=0
        python -c 'import mlflow; print(len(mlflow.MlflowClient().search_experiments()), \"experiments\")'";
    let lines = desk.guide("sh")?;
    let output = desk.works(&format!("{lines}\n{ASK}")).await?;
    assert!(output.contains("0 experiments"), "{output}");
    let seen = upstream.last("/api/2.0/mlflow/experiments/search")?;
    let name = seen.value("x-forwarded-preferred-username");
    assert_eq!(name.as_deref(), Some("service-account-ci"));
    assert!(seen.values("authorization").is_empty());
    let before = upstream.requests().len();
    let address = lines.lines().next().context("the address")?;
    let refused = desk.fails(&format!("{address}\n{ASK}")).await?;
    assert!(refused.contains("401"), "{refused}");
    assert_eq!(upstream.requests().len(), before);
    desk.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_luigi_worker_reaches_its_scheduler_with_a_token() -> Result<()> {
    let world = World::new("programs-luigi")?;
    let luigid = tools::installed("venv-python/bin/luigid")?;
    let run = ["--address", "127.0.0.1", "--port", "PORT", "--state-path", "luigi-state.pickle"];
    let scheduler = service("luigid", &world, &luigid, &run).await?;
    let desk = Desk::new("Luigi", "luigi.example", &scheduler.url, world).await?;
    let settings = format!("{}rpc-retry-attempts = 1\n", desk.guide("ini")?);
    std::fs::write(desk.world.folder().join("luigi.cfg"), &settings)?;
    const WORK: &str = "luigi --module luigi_task Note";
    let lines = desk.guide("sh")?;
    let output = desk.works(&format!("{lines}\n{WORK} --path with")).await?;
    assert!(output.contains("This progress looks :)"), "{output}");
    assert!(desk.world.folder().join("with").exists());
    let without = settings.replace("oauth2:${DOORWARD_TOKEN}@", "");
    std::fs::write(desk.world.folder().join("luigi.cfg"), without)?;
    let refused = desk.run(&format!("{WORK} --path without")).await?;
    assert!(refused.output.contains("401"), "{refused:?}");
    assert!(!desk.world.folder().join("without").exists());
    desk.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gradio_client_sends_its_token() -> Result<()> {
    let world = World::new("programs-gradio")?;
    let python = tools::installed("venv-python/bin/python")?;
    let script = tools::fixture("gradio_app.py").display().to_string();
    let app = service("gradio", &world, &python, &[&script, "PORT"]).await?;
    let desk = Desk::new("Gradio", "gradio.example", &app.url, world).await?;
    let python = desk.guide("python")?;
    std::fs::write(desk.world.folder().join("ask.py"), &python)?;
    let venv = tools::installed("venv-python/bin/python")?.display().to_string();
    let output = desk.works(&format!("{venv} ask.py")).await?;
    assert!(output.contains("Hello, alice"), "{output}");
    let without = python.replace("Authorization", "X-Other");
    std::fs::write(desk.world.folder().join("ask.py"), without)?;
    let refused = desk.fails(&format!("{venv} ask.py")).await?;
    assert!(refused.contains("credentials were not provided"), "{refused}");
    desk.finish()
}
