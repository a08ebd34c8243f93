//! Addresses of the servers, and how to sign in to them.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use oidc_core::Secret;

/// Reads a password, at each connection, so that a changed one takes effect by itself. The error says where it was looked for.
pub type ReadPassword = Arc<dyn Fn() -> Result<Secret, String> + Send + Sync>;

/// Receives what happens between a store and its servers, for metrics.
pub type Observe = Arc<dyn Fn(RedisEvent) + Send + Sync>;

/// Host and port of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedisNode {
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The servers of a store.
#[derive(Clone)]
pub enum RedisServers {
    /// One server.
    Single(RedisNode),
    /// A primary and its replicas, watched by sentinels.
    Sentinel {
        /// name of the primary at the sentinels
        master: String,
        /// the sentinels
        nodes: Vec<RedisNode>,
        /// password of the sentinels, if they have one
        password: Option<ReadPassword>,
    },
    /// A cluster, found through any of these nodes.
    Cluster(Vec<RedisNode>),
}

impl fmt::Display for RedisServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[RedisNode]| {
            nodes.iter().map(RedisNode::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Single(node) => node.fmt(f),
            Self::Sentinel { master, nodes, .. } => {
                write!(f, "{master:?} of the sentinels {}", list(nodes))
            }
            Self::Cluster(nodes) => write!(f, "the cluster at {}", list(nodes)),
        }
    }
}

/// TLS to the servers, and to the sentinels. The files are read at each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Certificates of the authority, PEM; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate with its chain, and its key, both PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Servers of a store, and the way to reach them.
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) servers: RedisServers,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) database: i64,
    pub(super) user: Option<String>,
    pub(super) password: Option<ReadPassword>,
    pub(super) tls: Option<RedisTls>,
    pub(super) observe: Observe,
}

impl RedisOptions {
    /// Database 0 of these servers, without TLS and without a password. Every key begins with `prefix`; a call that takes longer
    /// than `timeout` fails.
    pub fn new(servers: RedisServers, prefix: impl Into<String>, timeout: Duration) -> Self {
        Self {
            servers,
            prefix: prefix.into(),
            timeout,
            database: 0,
            user: None,
            password: None,
            tls: None,
            observe: Arc::new(|_| {}),
        }
    }

    /// Another database. A cluster has only 0.
    #[must_use]
    pub fn with_database(self, database: i64) -> Self {
        Self { database, ..self }
    }

    /// The ACL user, and its password; without a user the password is that of `default`.
    #[must_use]
    pub fn with_login(self, user: Option<String>, password: Option<ReadPassword>) -> Self {
        Self { user, password, ..self }
    }

    /// With TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<RedisTls>) -> Self {
        Self { tls, ..self }
    }

    /// Reports events there. It must not block.
    #[must_use]
    pub fn with_observe(self, observe: Observe) -> Self {
        Self { observe, ..self }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("servers", &format_args!("{}", self.servers))
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// An event between a store and its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisEvent {
    /// A call ended.
    Call {
        /// name of the operation, such as `load`
        operation: &'static str,
        /// `ok`, `timeout`, `failed` (an error or no connection), or `refused` (too many calls in flight)
        outcome: &'static str,
        /// its duration
        took: Duration,
    },
    /// A connection was made again.
    Reconnected {
        /// its use: `calls`, `turns` or `changes`
        connection: &'static str,
    },
    /// Whether changes of other processes arrive now.
    ChangesArriving(bool),
}
