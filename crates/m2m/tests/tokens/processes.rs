//! Real processes that share tokens, and are killed and stopped.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Grant};
use m2m::private_file::FileLock;
use m2m::{CachedTokens, ClientCredentials, FileCache, IssuerTokens, TokenSource};
use oidc_core::http::Http;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::job::{endpoint, http};

/// Settings that a process reads from its standard input.
#[derive(Deserialize, Serialize)]
struct Order {
    issuer: String,
    folder: PathBuf,
    secret: String,
}

impl Order {
    fn tokens(&self, http: Arc<dyn Http>, lock_wait: Duration) -> CachedTokens {
        let endpoint = endpoint(&self.issuer, http, "job", &self.secret);
        let files = FileCache::in_directory(&self.folder).with_lock_wait(lock_wait);
        CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()))
            .with_file_cache(&files)
    }
}

/// Not a test: the program that the processes of the other tests run.
#[test]
#[ignore = "the other tests start it"]
fn process() {
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order).unwrap();
    let order: Order = serde_json::from_str(&order).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tokens = order.tokens(http(), Duration::from_secs(15));
    let token = runtime.block_on(tokens.token()).unwrap();
    // Written directly, as the test harness captures `println!`.
    writeln!(std::io::stdout(), "\ntoken={}", token.secret().expose()).unwrap();
}

struct Lab {
    issuer: DevIssuer,
    folder: tempfile::TempDir,
    http: Arc<dyn Http>,
}

impl Lab {
    async fn start() -> Self {
        let issuer = DevIssuer::builder().client(DevClient::confidential("job", "job-secret"));
        let issuer = issuer.start("127.0.0.1:0").await.unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap(), http: http() }
    }

    fn order(&self) -> Order {
        let folder = self.folder.path().join("doorward");
        let (issuer, secret) = (self.issuer.url().to_owned(), "job-secret".to_owned());
        Order { issuer, folder, secret }
    }

    /// A cache of this process.
    fn tokens(&self, lock_wait: Duration) -> CachedTokens {
        self.order().tokens(Arc::clone(&self.http), lock_wait)
    }

    async fn spawn(&self, command: Command) -> Child {
        self.spawn_with(command, self.order()).await
    }

    async fn spawn_with(&self, mut command: Command, order: Order) -> Child {
        let parts = ["--exact", "processes::process", "--ignored", "--nocapture"];
        let mut child = command
            .args(parts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let order = serde_json::to_vec(&order).unwrap();
        child.stdin.take().unwrap().write_all(&order).await.unwrap();
        child
    }

    async fn process(&self) -> Child {
        self.spawn(Command::new(this_program())).await
    }

    fn asked(&self) -> u64 {
        self.issuer.token_requests_by_grant(Grant::ClientCredentials)
    }

    /// A process that asks and gets no answer.
    async fn asking(&self) -> Child {
        self.issuer.faults().set(Fault::Slow(Duration::from_secs(60)), Endpoint::Token);
        let child = self.process().await;
        let asked = async {
            while self.asked() == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), asked).await.unwrap();
        self.issuer.faults().clear();
        child
    }
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn token(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let token = text.lines().find_map(|line| line.strip_prefix("token="));
    let errors = String::from_utf8_lossy(&output.stderr);
    token.ok_or_else(|| format!("no token: {text}\n{errors}")).unwrap().to_owned()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap()
}

#[tokio::test]
async fn ten_processes_on_a_cold_cache_make_one_request() {
    let lab = Lab::start().await;
    let mut processes = Vec::new();
    for _ in 0..10 {
        processes.push(lab.process().await);
    }
    let mut tokens = Vec::new();
    for process in processes {
        tokens.push(token(&process.wait_with_output().await.unwrap()));
    }
    assert!(tokens.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(lab.asked(), 1);
}

#[tokio::test]
async fn processes_with_a_wrong_secret_hold_back_no_other() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    for _ in 0..3 {
        let order = Order { secret: "guess".to_owned(), ..lab.order() };
        wrong.push(lab.spawn_with(Command::new(this_program()), order).await);
    }
    for process in wrong {
        let output = process.wait_with_output().await.unwrap();
        assert!(!output.status.success(), "the issuer accepts the guess");
    }
    token(&lab.process().await.wait_with_output().await.unwrap());
    assert_eq!(lab.asked(), 4);
}

#[tokio::test]
async fn a_process_killed_during_a_request_delays_no_other() {
    let lab = Lab::start().await;
    let tokens = lab.tokens(Duration::from_secs(15));
    let mut holder = lab.asking().await;
    let folder = lab.order().folder;
    let lock = names(&folder).into_iter().find(|name| name.ends_with(".lock")).unwrap();
    assert!(FileLock::try_acquire(&folder.join(lock)).unwrap().is_none(), "it is held");
    let waiting = tokio::spawn(async move { tokens.token().await });
    holder.start_kill().unwrap();
    holder.wait().await.unwrap();
    timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(lab.asked(), 2);
}

#[tokio::test]
async fn a_process_stopped_during_a_request_is_not_waited_for() {
    let lab = Lab::start().await;
    let holder = lab.asking().await;
    kill_process(pid(&holder), Signal::STOP).unwrap();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let tokens = lab.tokens(Duration::from_secs(2));
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for task in waiting {
        timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(lab.asked(), 2, "one of them asks in its place");
    // A token that was obtained without the lock is shared too.
    let other = lab.tokens(Duration::from_secs(15));
    timeout(Duration::from_secs(2), other.token()).await.unwrap().unwrap();
    assert_eq!(lab.asked(), 2);
}

#[tokio::test]
async fn a_full_disk_costs_the_sharing_only() {
    let lab = Lab::start().await;
    for asked in 1..=2 {
        // `ulimit` lets no file grow, and the signal for it is ignored: writes fail as on a full disk.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#]).arg(this_program());
        let output = lab.spawn(shell).await.wait_with_output().await.unwrap();
        token(&output);
        assert_eq!(lab.asked(), asked);
    }
    let left = names(&lab.order().folder);
    assert!(left.iter().all(|name| name.ends_with(".lock")), "{left:?}");
    // Once there is space, sharing works again.
    let shared = lab.tokens(Duration::from_secs(15)).token().await.unwrap();
    assert_eq!(lab.tokens(Duration::from_secs(15)).token().await.unwrap(), shared);
    assert_eq!(lab.asked(), 3);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
