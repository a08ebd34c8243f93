//! Somebody's machine: folders of their own, the program, and a provider it can reach.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use dev_issuer::{DevClient, DevIssuer, DevIssuerBuilder};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) issuer: DevIssuer,
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::with(|provider| provider).await
    }

    pub(crate) async fn with(setup: impl FnOnce(DevIssuerBuilder) -> DevIssuerBuilder) -> Self {
        let provider = DevIssuer::demo_builder()
            .client(DevClient::public("cli").redirect_uri("http://127.0.0.1:*/").audience("churn"))
            .client(DevClient::confidential("job", "job-secret").audience("churn").scope("score"));
        let issuer = setup(provider).start("127.0.0.1:0").await.unwrap();
        Self { folder: tempfile::tempdir().unwrap(), issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program with the machine's folders and nothing else of the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().await.unwrap().into()
    }

    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that needs no input may be gone.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        child.wait_with_output().await.unwrap().into()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Ends the test unless the program ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}
