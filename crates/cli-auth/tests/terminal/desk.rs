//! A user's machine: its own folders, the program, and a provider that it can reach.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use dev_issuer::{DevClient, DevIssuer, DevIssuerBuilder, Grant};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Longest wait in these tests.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) issuer: DevIssuer,
}

/// Result of a run of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::with(|provider| provider).await
    }

    pub(crate) async fn with(setup: impl FnOnce(DevIssuerBuilder) -> DevIssuerBuilder) -> Self {
        let redirect_uri = "http://127.0.0.1:*/callback";
        let provider = DevIssuer::demo_builder()
            .client(DevClient::public("cli").redirect_uri(redirect_uri).audience("churn"))
            .client(DevClient::confidential("notebook", "notebook-pass").redirect_uri(redirect_uri))
            .client(DevClient::confidential("job", "job-secret").audience("churn").scope("score"))
            .client(DevClient::confidential("churn", "churn-secret"));
        let issuer = setup(provider).start("127.0.0.1:0").await.unwrap();
        let desk = Self { folder: tempfile::tempdir().unwrap(), issuer };
        std::fs::create_dir(desk.path("run")).unwrap();
        // By the name that the guides and the credential helpers use.
        std::fs::create_dir(desk.programs()).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cli-auth"), desk.doorward()).unwrap();
        desk.write("job-secret", "job-secret\n");
        desk.write("notebook-secret", "notebook-pass");
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The folder of `doorward`.
    pub(crate) fn programs(&self) -> PathBuf {
        self.path("programs")
    }

    fn doorward(&self) -> PathBuf {
        self.programs().join("doorward")
    }

    /// The program with the machine's folders and nothing else of the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.doorward());
        self.on_this_machine(&mut command).args(arguments);
        command
    }

    /// Any program, likewise.
    pub(crate) fn on_this_machine<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().await.unwrap().into()
    }

    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        fed(&mut self.command(arguments), input).await
    }

    /// The same run many times at once.
    pub(crate) async fn run_at_once(&self, times: usize, arguments: &[&str]) -> Vec<Ran> {
        let runs: Vec<_> = (0..times)
            .map(|_| self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
            .collect();
        let mut ran = Vec::new();
        for run in runs {
            ran.push(run.unwrap().wait_with_output().await.unwrap().into());
        }
        ran
    }

    /// Arguments with the provider and one of its clients.
    pub(crate) fn as_client<'a>(&'a self, command: &'a str, client: &'a str) -> Vec<&'a str> {
        vec![command, "--issuer", self.issuer.url(), "--client-id", client]
    }

    /// Signs a user in; the test is the browser.
    pub(crate) async fn sign_in(&self, user: &str, client: &str, more: &[&str]) -> Ran {
        let mut arguments = self.as_client("login", client);
        arguments.push("--no-browser");
        arguments.extend(more);
        let mut login = Running::start(&mut self.command(&arguments));
        let page = login.line_with("/protocol/openid-connect/auth?").await;
        let callback = self.issuer.sign_in(page.trim(), user).unwrap();
        let answer = browser().get(callback).send().await.unwrap();
        assert!(answer.status().is_success());
        login.end().await
    }

    /// The one kept login, as it is in its file.
    pub(crate) fn kept(&self) -> (PathBuf, Value) {
        let folder = self.path("home/.local/state/doorward/logins");
        let mut files = files_in(&folder).into_iter();
        let file = files.find(|file| file.extension().is_some_and(|ends| ends == "json")).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        (file, serde_json::from_str(&text).unwrap())
    }

    /// Makes the access token of the kept login expire.
    pub(crate) fn access_token_expires(&self) {
        let (file, mut login) = self.kept();
        login["tokens"]["obtained_at"] = 1_000.into();
        login["tokens"]["expires_at"] = 2_000.into();
        std::fs::write(file, login.to_string()).unwrap();
    }

    pub(crate) fn requests(&self, grant: Grant) -> u64 {
        self.issuer.token_requests_by_grant(grant)
    }
}

pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The claims of a token, not verified.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the program under test uses the real clock")]
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A browser.
pub(crate) fn browser() -> reqwest::Client {
    oidc_core::http::reqwest::install_crypto_provider();
    reqwest::Client::new()
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LONGEST, "{what} did not happen");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a program with this on its standard input.
pub(crate) async fn fed(command: &mut Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that needs no input may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    child.wait_with_output().await.unwrap().into()
}

/// The program while it runs, and its output so far.
pub(crate) struct Running {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    printed: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, printed: String::new() }
    }

    /// The next line that holds this.
    pub(crate) async fn line_with(&mut self, piece: &str) -> String {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.printed.push_str(&line);
                self.printed.push('\n');
                if line.contains(piece) {
                    return Some(line);
                }
            }
            None
        };
        let line = tokio::time::timeout(LONGEST, reading).await.unwrap();
        assert!(line.is_some(), "{piece:?} was not printed, but\n{}", self.printed);
        line.unwrap()
    }

    pub(crate) async fn signalled(self, signal: &str) -> Ran {
        self.signal(signal).await;
        self.end().await
    }

    /// Sends a signal, such as `-INT`.
    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args([signal, &id]).status().await.unwrap();
        assert!(killed.success());
    }

    /// Its result, once it ends by itself.
    pub(crate) async fn end(mut self) -> Ran {
        while let Some(line) =
            tokio::time::timeout(LONGEST, self.lines.next_line()).await.unwrap().unwrap()
        {
            self.printed.push_str(&line);
            self.printed.push('\n');
        }
        let output = tokio::time::timeout(LONGEST, self.child.wait_with_output()).await.unwrap();
        Ran { out: self.printed, ..Ran::from(output.unwrap()) }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (code, signal) = (output.status.code(), output.status.signal());
        Self { code, signal, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Ends the test unless the program ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard output, without the line end.
    pub(crate) fn text(&self) -> &str {
        self.out.trim_end_matches('\n')
    }
}
