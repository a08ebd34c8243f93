//! Makes connections: to one server, to the primary that sentinels name, to a cluster.

use std::{io, path::Path, sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    FromRedisValue, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisResult,
    TlsCertificates, Value,
    aio::{AsyncPushSender, ConnectionLike as _, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    from_redis_value,
};
use oidc_core::Secret;

use super::{
    fault,
    options::{ReadPassword, RedisNode, RedisOptions, RedisServers, RedisTls},
};

/// Commands that wait to be written.
const QUEUE: usize = 512;

/// A connection that calls share.
#[derive(Clone)]
pub(super) enum Connection {
    /// To the primary.
    Node(MultiplexedConnection),
    /// To all primaries.
    Cluster(ClusterConnection<MultiplexedConnection>),
}

impl Connection {
    /// Runs a command on one key, or on keys with one hash tag.
    pub(super) async fn query(&mut self, command: &Cmd) -> RedisResult<Value> {
        let reply = match self {
            Self::Node(node) => node.req_packed_command(command).await,
            Self::Cluster(cluster) => cluster.req_packed_command(command).await,
        };
        reply?.extract_error()
    }

    /// Runs a command without a key, on the server that keeps `key`.
    pub(super) async fn query_near(&mut self, key: &str, command: Cmd) -> RedisResult<Value> {
        let reply = match self {
            Self::Node(node) => node.req_packed_command(&command).await,
            Self::Cluster(cluster) => {
                let near = Route::with_key(key, SlotAddr::Master);
                let near = SingleNodeRoutingInfo::SpecificNode(near);
                cluster.route_command(command, RoutingInfo::SingleNode(near)).await
            }
        };
        reply?.extract_error()
    }
}

/// Makes connections by the options of a store.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    options: Arc<RedisOptions>,
}

impl Connector {
    pub(super) fn new(options: Arc<RedisOptions>) -> Self {
        Self { options }
    }

    pub(super) fn options(&self) -> &RedisOptions {
        &self.options
    }

    /// A connection to the primary, or to the cluster. The error says what is wrong and what to do.
    pub(super) async fn connect(&self) -> Result<Connection, String> {
        let access = self.access().await?;
        match &self.options.servers {
            RedisServers::Cluster(nodes) => {
                let client = self.cluster(nodes, &access)?;
                let cluster = client.get_async_connection().await;
                cluster.map(Connection::Cluster).map_err(|error| self.describe(&error))
            }
            RedisServers::Single(_) | RedisServers::Sentinel { .. } => {
                let node = self.primary().await?;
                let (connection, role) = self.open(&node, &access, None).await?;
                match self.accepts(role) {
                    true => Ok(Connection::Node(connection)),
                    false => Err(self.is_a_replica(&node)),
                }
            }
        }
    }

    /// The primary of one server or of the sentinels.
    pub(super) async fn primary(&self) -> Result<RedisNode, String> {
        match &self.options.servers {
            RedisServers::Single(node) => Ok(node.clone()),
            RedisServers::Sentinel { master, nodes, password } => {
                self.ask_sentinels(master, nodes, password.as_ref()).await
            }
            RedisServers::Cluster(_) => Err("a cluster has several primaries".to_owned()),
        }
    }

    /// The nodes of each slot of a cluster, as it answers now, and the primaries among them.
    pub(super) async fn slots(
        connection: &mut Connection,
        key: &str,
    ) -> RedisResult<(Value, Vec<RedisNode>)> {
        let mut command = ::redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let slots = connection.query_near(key, command).await?;
        let mut primaries: Vec<RedisNode> = Vec::new();
        let ranges: Vec<Vec<Value>> = from_redis_value(slots.clone())?;
        for range in ranges {
            let Some(primary) = range.into_iter().nth(2) else { continue };
            let primary: Vec<Value> = from_redis_value(primary)?;
            let mut parts = primary.into_iter();
            if let (Some(host), Some(port)) = (parts.next(), parts.next()) {
                let node =
                    RedisNode { host: from_redis_value(host)?, port: from_redis_value(port)? };
                if !primaries.contains(&node) {
                    primaries.push(node);
                }
            }
        }
        Ok((slots, primaries))
    }

    /// Whether calls may go to a server of this role. Where there is no other server, a replica serves the sessions that it has,
    /// and refuses new ones.
    pub(super) fn accepts(&self, role: Role) -> bool {
        role.primary || matches!(self.options.servers, RedisServers::Single(_))
    }

    fn is_a_replica(&self, node: &RedisNode) -> String {
        format!("{} is a replica; name the primary, or its sentinels", self.at(node))
    }

    /// A connection to one server that is a primary, with pushes to `pushes` (RESP3).
    pub(super) async fn tracking(
        &self,
        node: &RedisNode,
        access: &Access,
        pushes: Arc<dyn AsyncPushSender>,
    ) -> Result<MultiplexedConnection, String> {
        match self.open(node, access, Some(pushes)).await? {
            (connection, role) if role.primary => Ok(connection),
            _ => Err(self.is_a_replica(node)),
        }
    }

    async fn open(
        &self,
        node: &RedisNode,
        access: &Access,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<(MultiplexedConnection, Role), String> {
        let servers = self.at(node);
        let protocol = match &pushes {
            Some(_) => ProtocolVersion::RESP3,
            None => ProtocolVersion::RESP2,
        };
        let login = access.login(&self.options, protocol);
        let mut connection = self
            .client(node, login, access)
            .map_err(|error| fault::describe(&servers, &error))?
            .get_multiplexed_async_connection_with_config(&config(pushes))
            .await
            .map_err(|error| fault::describe(&servers, &error))?;
        let role = connection.req_packed_command(&::redis::cmd("ROLE")).await;
        let role = role.and_then(Value::extract_error).and_then(Role::from_reply);
        role.map(|role| (connection, role)).map_err(|error| fault::describe(&servers, &error))
    }

    pub(super) fn client(
        &self,
        node: &RedisNode,
        login: RedisConnectionInfo,
        access: &Access,
    ) -> RedisResult<Client> {
        let info = self.info(node)?.set_redis_settings(login);
        match &access.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    fn info(&self, node: &RedisNode) -> RedisResult<ConnectionInfo> {
        let (host, port) = (node.host.clone(), node.port);
        let info = (host.clone(), port).into_connection_info()?;
        Ok(match self.options.tls {
            Some(_) => info.set_addr(ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }),
            None => info,
        })
    }

    fn cluster(&self, nodes: &[RedisNode], access: &Access) -> Result<ClusterClient, String> {
        let login = access.login(&self.options, ProtocolVersion::RESP2);
        let nodes: RedisResult<Vec<_>> = nodes
            .iter()
            .map(|node| Ok(self.info(node)?.set_redis_settings(login.clone())))
            .collect();
        let client = nodes.and_then(|nodes| {
            // The deadline of a call ends all of these attempts.
            let mut builder = ClusterClientBuilder::new(nodes)
                .connection_timeout(self.options.timeout)
                .response_timeout(LONGEST)
                .retries(8)
                .min_retry_wait(10)
                .max_retry_wait(100);
            if let Some(certificates) = &access.certificates {
                builder = builder.certs(certificates.clone());
            }
            builder.build()
        });
        client.map_err(|error| self.describe(&error))
    }

    /// Reads the password and the certificates, on a thread that may block.
    pub(super) async fn access(&self) -> Result<Access, String> {
        let password = match &self.options.password {
            Some(password) => Some(read_password(Arc::clone(password)).await?),
            None => None,
        };
        let certificates = match self.options.tls.clone() {
            Some(tls) => Some(
                tokio::task::spawn_blocking(move || certificates(&tls))
                    .await
                    .map_err(|error| error.to_string())??,
            ),
            None => None,
        };
        Ok(Access { password, certificates })
    }

    pub(super) fn describe(&self, error: &::redis::RedisError) -> String {
        fault::describe(&self.options.servers.to_string(), error)
    }

    /// A node in words; with sentinels also how it was found.
    pub(super) fn at(&self, node: &RedisNode) -> String {
        match &self.options.servers {
            RedisServers::Sentinel { master, .. } => format!("{node} (primary {master:?})"),
            RedisServers::Single(_) | RedisServers::Cluster(_) => node.to_string(),
        }
    }
}

/// Longer than any deadline, for connections whose calls have deadlines of their own.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) fn config(pushes: Option<Arc<dyn AsyncPushSender>>) -> AsyncConnectionConfig {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    match pushes {
        Some(pushes) => config.set_push_sender(pushes),
        None => config,
    }
}

/// Credentials of a connection.
pub(super) struct Access {
    password: Option<Secret>,
    certificates: Option<TlsCertificates>,
}

impl Access {
    fn login(&self, options: &RedisOptions, protocol: ProtocolVersion) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default()
            .set_db(options.database)
            .set_protocol(protocol)
            // A command more for the user's rules, which Redis 7.0 does not know.
            .set_skip_set_lib_name();
        if let Some(user) = &options.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        login
    }
}

/// The answer to `ROLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    /// Whether the server is a primary.
    pub(super) primary: bool,
    /// Number of its connected replicas.
    pub(super) replicas: usize,
}

impl Role {
    pub(super) fn from_reply(reply: Value) -> RedisResult<Self> {
        let mut parts = Vec::<Value>::from_redis_value(reply)?.into_iter();
        let name: String = from_redis_value(parts.next().unwrap_or(Value::Nil))?;
        let replicas = match parts.nth(1) {
            Some(Value::Array(replicas)) => replicas.len(),
            _ => 0,
        };
        Ok(Self { primary: name == "master", replicas })
    }
}

pub(super) async fn read_password(password: ReadPassword) -> Result<Secret, String> {
    tokio::task::spawn_blocking(move || password()).await.map_err(|error| error.to_string())?
}

fn certificates(tls: &RedisTls) -> Result<TlsCertificates, String> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error: io::Error| format!("cannot read `{}`: {error}", path.display()))
    };
    let client = match &tls.client {
        Some((certificate, key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
        None => None,
    };
    let root = tls.ca_file.as_deref().map(read).transpose()?;
    Ok(TlsCertificates { client_tls: client, root_cert: root })
}
