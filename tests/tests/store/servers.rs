//! Servers of a test, and stores that use them.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use oidc_core::Clock;
use tempfile::TempDir;
use web_sessions::{
    Keys, Limits, RedisNode, RedisOptions, RedisServers, RedisStore, testing::MovableClock,
};

pub(crate) const IDLE: Duration = Duration::from_secs(3600);
/// The longest that a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// A running program that ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Programs that speak the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Valkey,
    Redis,
}

impl Kind {
    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Valkey => {
                #[expect(clippy::disallowed_methods, reason = "the folder of installed parts")]
                let home = std::env::var("HOME").expect("HOME");
                let program = Path::new(&home).join(".cache/doorward/valkey/valkey-server");
                assert!(
                    program.is_file(),
                    "{} is missing; run tests/install.sh",
                    program.display()
                );
                program
            }
            Self::Redis => "redis-server".into(),
        }
    }
}

pub(crate) fn free_port() -> u16 {
    e2e::world::free_port().unwrap()
}

impl Server {
    pub(crate) async fn start(kind: Kind, arguments: &[&str]) -> Self {
        Self::start_on(kind, free_port(), arguments).await
    }

    pub(crate) async fn start_on(kind: Kind, port: u16, arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(kind.program());
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--dir", &folder.path().display().to_string()])
            .args(arguments)
            .stdout(Stdio::null());
        let server =
            Self { child: command.spawn().expect("the server starts"), port, _folder: folder };
        server.answers().await;
        server
    }

    pub(crate) async fn answers(&self) {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the server on port {} does not answer", self.port);
    }

    /// A sentinel with these settings.
    pub(crate) async fn sentinel(kind: Kind, port: u16, settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{settings}")).unwrap();
        let mut command = Command::new(kind.program());
        command.arg(file).arg("--sentinel").current_dir(folder.path()).stdout(Stdio::null());
        let server =
            Self { child: command.spawn().expect("the sentinel starts"), port, _folder: folder };
        server.answers().await;
        server
    }

    /// Sends a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until the answer to a command has this text.
    pub(crate) async fn until(&self, words: &[&str], text: &str) {
        let mut answer = String::new();
        for _ in 0..400 {
            answer = self.ask(words).await;
            if answer.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{words:?} on port {}: {answer}", self.port);
    }

    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The names of all keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        redis::cmd("KEYS").arg("*").query_async(&mut self.connection().await).await.unwrap()
    }

    /// All keys and values, as text.
    pub(crate) async fn dump(&self) -> String {
        let mut connection = self.connection().await;
        let mut dump = String::new();
        for key in self.keys().await {
            let value: Vec<u8> =
                redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
            dump.push_str(&key);
            dump.push_str(&String::from_utf8_lossy(&value));
        }
        dump
    }

    pub(crate) fn node(&self) -> RedisNode {
        RedisNode { host: "127.0.0.1".to_owned(), port: self.port }
    }

    /// Runs one command and returns its answer in words.
    pub(crate) async fn ask(&self, words: &[&str]) -> String {
        let mut connection = self.connection().await;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        format!("{:?}", command.query_async::<redis::Value>(&mut connection).await)
    }
}

pub(crate) fn keys() -> Arc<Keys> {
    web_sessions::testing::keys()
}

/// Options with a time for calls that a machine with other work keeps.
pub(crate) fn options(servers: RedisServers, prefix: &str) -> RedisOptions {
    RedisOptions::new(servers, prefix, Duration::from_secs(2))
}

/// Options with the default time for calls, for servers that hang.
pub(crate) fn hasty_options(servers: RedisServers, prefix: &str) -> RedisOptions {
    RedisOptions::new(servers, prefix, Duration::from_millis(500))
}

pub(crate) fn store_of(options: RedisOptions, clock: Arc<dyn Clock>) -> RedisStore {
    RedisStore::new(options, keys(), Limits::new(IDLE, LIFETIME), clock)
}

/// A store on one server.
pub(crate) fn single(server: &Server, prefix: &str) -> RedisStore {
    let servers = RedisServers::Single(server.node());
    store_of(options(servers, prefix), MovableClock::new())
}

/// The same with the default time for calls.
pub(crate) fn hasty(server: &Server, prefix: &str) -> RedisStore {
    let servers = RedisServers::Single(server.node());
    store_of(hasty_options(servers, prefix), MovableClock::new())
}
