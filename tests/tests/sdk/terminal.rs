//! `doorward login`, `token` and `logout` as users and jobs run them: each run is its own process.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use e2e::{tools, visitor::Visitor, wait};
use oidc_core::{Claims, Clock as _, SystemClock};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    task::JoinSet,
};
use url::Url;

use crate::{
    lab::{Lab, answer_to_sign_in},
    people::answer_device,
};

const TOKEN: &str = "/protocol/openid-connect/token";

#[tokio::test(flavor = "multi_thread")]
async fn after_one_login_twenty_runs_share_one_refresh() -> Result<()> {
    let desk = Desk::new(Lab::new("sdk-terminal").await?)?;
    let realm = &desk.lab.realm;
    realm.access_tokens_live(4).await?;
    desk.sign_in("terminal", "alice", &[]).await?;
    assert_eq!(realm.events("LOGIN").await?.len(), 1);
    let first = desk.run(&["token"]).await?.succeeded()?;

    realm.access_tokens_live(300).await?;
    wait::until("the end of the first token", Duration::from_secs(10), async || {
        // `exp` counts from when Keycloak signed, `expires_in` from when its answer was here.
        Ok((SystemClock.now() > expires_at(&first)? + Duration::from_secs(1)).then_some(()))
    })
    .await?;
    let mut runs = JoinSet::new();
    for _ in 0..20 {
        let mut run = desk.command(&["token"]);
        runs.spawn(async move { Ran::from(run.output().await?).succeeded() });
    }
    let tokens: Vec<_> = runs.join_all().await.into_iter().collect::<Result<_>>()?;
    let second = tokens.first().context("no run")?;
    assert!(tokens.iter().all(|token| token == second));
    assert_ne!(*second, first);
    assert_eq!(realm.events("REFRESH_TOKEN").await?.len(), 1);
    assert_eq!(realm.events("REFRESH_TOKEN_ERROR").await?.len(), 0);

    let header = desk.run(&["token", "--header"]).await?.succeeded()?;
    assert_eq!(header, format!("Authorization: Bearer {second}"));
    desk.run(&["logout"]).await?.succeeded()?;
    assert_eq!(realm.events("REVOKE_GRANT").await?.len(), 1);
    assert_eq!(realm.sessions("alice").await?.len(), 0, "Keycloak's session is over too");
    let ran = desk.run(&["token"]).await?;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_an_administrator_ended_asks_for_another() -> Result<()> {
    let desk = Desk::new(Lab::new("sdk-terminal-ended").await?)?;
    let realm = &desk.lab.realm;
    // Due at once: each run asks Keycloak.
    realm.access_tokens_live(1).await?;
    desk.sign_in("terminal", "alice", &[]).await?;
    desk.run(&["token"]).await?.succeeded()?;
    realm.log_out("alice").await?;
    let ended = wait::until("the end of the login", Duration::from_secs(20), async || {
        let ran = desk.run(&["token"]).await?;
        Ok((ran.code != Some(0)).then_some(ran))
    })
    .await?;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("doorward login"), "names the remedy: {ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_browser_signs_in_by_a_code() -> Result<()> {
    let desk = Desk::new(Lab::common().await?)?;
    let issuer = desk.issuer();
    let login = ["login", "--issuer", &issuer, "--client-id", "terminal", "--device"];
    let shown = desk.start(&login, "user_code=").await?;
    answer_device(&shown.url, "bob", "accept").await?;
    let printed = shown.finish().await?.succeeded()?;
    assert!(printed.contains("bob"), "{printed}");
    desk.run(&["token"]).await?.succeeded()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_tokens_for_other_services_too() -> Result<()> {
    let desk = Desk::new(Lab::common().await?)?;
    let secret = desk.write("notebook-secret", "notebook-secret-for-tests\n")?;
    desk.sign_in("notebook", "carol", &["--client-secret-file", &secret]).await?;
    let exchange = ["token", "--audience", "churn", "--scope", "churn"];
    let token = desk.run(&exchange).await?.succeeded()?;
    assert_eq!(desk.run(&exchange).await?.succeeded()?, token, "kept between runs");

    let issuer = desk.issuer();
    let verify = ["verify", "--issuer", &issuer, "--audience", "churn", &token];
    let printed = desk.run(&verify).await?.succeeded()?;
    assert!(printed.contains("carol"), "{printed}");
    let verify = ["verify", "--issuer", &issuer, "--audience", "elsewhere", &token];
    assert_eq!(desk.run(&verify).await?.code, Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_jobs_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let desk = Desk::new(lab)?;
    let secret = desk.write("job-secret", "job-secret-for-tests\n")?;
    let issuer = desk.issuer();
    let job = [
        ["token", "--issuer", &issuer, "--client-id", "job"].as_slice(),
        ["--client-secret-file", &secret, "--scope", "churn"].as_slice(),
    ]
    .concat();
    let mut runs = JoinSet::new();
    for _ in 0..20 {
        let mut run = desk.command(&job);
        runs.spawn(async move { Ran::from(run.output().await?).succeeded() });
    }
    let mut tokens: Vec<_> = runs.join_all().await.into_iter().collect::<Result<_>>()?;
    for _ in 0..10 {
        tokens.push(desk.run(&job).await?.succeeded()?);
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(wire.count(TOKEN), 1);

    desk.write("job-secret", "wrong\n")?;
    let fresh = [job.as_slice(), &["--no-cache"]].concat();
    let ran = desk.run(&fresh).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("credentials") && !ran.err.contains("wrong"), "{ran:?}");
    Ok(())
}

/// `exp` of the token.
fn expires_at(token: &str) -> Result<SystemTime> {
    let claims = token.split('.').nth(1).context("no claims")?;
    let claims = Claims::parse(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
    claims.expires_at.context("no exp")
}

/// A user's machine: its own folders, and the built program.
struct Desk {
    lab: Lab,
    folder: PathBuf,
    program: PathBuf,
}

/// Output and exit code of a run.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A run that showed an address and waits.
struct Waiting {
    url: Url,
    child: tokio::process::Child,
    out: BufReader<tokio::process::ChildStdout>,
}

impl Desk {
    fn new(lab: Lab) -> Result<Self> {
        let folder = lab.folder()?;
        std::fs::create_dir(folder.join("run"))?;
        Ok(Self { lab, folder, program: tools::doorward()? })
    }

    fn issuer(&self) -> String {
        self.lab.issuer().as_str().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("a path that is not UTF-8")?.to_owned())
    }

    /// The program with this machine's folders, and nothing else of the environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.join("home"))
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(self.command(arguments).output().await?.into())
    }

    /// Runs until a line holds an address with `mark` in it.
    async fn start(&self, arguments: &[&str], mark: &str) -> Result<Waiting> {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("no output")?);
        let mut seen = String::new();
        loop {
            let start = seen.len();
            ensure!(out.read_line(&mut seen).await? > 0, "no address was shown: {seen}");
            let line = seen.get(start..).unwrap_or_default().trim();
            if line.starts_with("http") && line.contains(mark) {
                return Ok(Waiting { url: line.parse()?, child, out });
            }
        }
    }

    /// Signs a user in through the test's browser.
    async fn sign_in(&self, client: &str, user: &str, more: &[&str]) -> Result<()> {
        let issuer = self.issuer();
        let login = ["login", "--issuer", &issuer, "--client-id", client, "--no-browser"];
        let shown = self.start(&[login.as_slice(), more].concat(), "client_id=").await?;
        let visitor = Visitor::new()?;
        let answer = answer_to_sign_in(&visitor, &shown.url, user).await?;
        let page = visitor.follow(answer).await?;
        ensure!(page.status.is_success(), "{} {}: {}", page.url, page.status, page.body);
        let printed = shown.finish().await?.succeeded()?;
        ensure!(printed.contains(user), "names the signed-in user: {printed}");
        Ok(())
    }
}

impl Waiting {
    async fn finish(mut self) -> Result<Ran> {
        let mut out = String::new();
        self.out.read_to_string(&mut out).await?;
        let status = self.child.wait().await?;
        Ok(Ran { code: status.code(), out, err: String::new() })
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Its output, if it succeeded.
    fn succeeded(self) -> Result<String> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(self.out.trim_end().to_owned())
    }
}
