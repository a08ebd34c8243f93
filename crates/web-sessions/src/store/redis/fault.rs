//! Reasons a call failed, in words that say what to do. A text names the servers, never a password and never an argument.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// Longest detail of a server that is repeated.
const DETAIL: usize = 160;

/// An error that says that the store cannot be used.
pub(super) fn unavailable(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable { reason: reason.into() }
}

/// Describes an error of these servers.
pub(super) fn describe(servers: &str, error: &RedisError) -> String {
    let (what, instead) = match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH" | "DENIED")) => (
            "refused the user or the password".to_owned(),
            "check `user` and `password` of `session.store.redis`",
        ),
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) | (_, Some("NOPERM")) => (
            format!("refused a command or a key to the user ({})", detail(error)),
            "give the user the rules of docs/guides/redis.md",
        ),
        (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => {
            ("is a replica and takes no writes".to_owned(), "name the primary, or its sentinels")
        }
        (_, Some("OOM")) => (
            "has no memory left".to_owned(),
            "raise its `maxmemory`, or remove other data; keep `maxmemory-policy noeviction`",
        ),
        (_, Some("MISCONF")) => {
            ("cannot write its data to disk and takes no writes".to_owned(), "look into its log")
        }
        (_, Some("NOREPLICAS")) => (
            "takes no writes, because too few of its replicas are connected".to_owned(),
            "start them, or lower `min-replicas-to-write`",
        ),
        (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => {
            ("is loading its data".to_owned(), "wait")
        }
        (ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask), _) => (
            "is part of a cluster".to_owned(),
            "write `cluster` with some of its nodes instead of `url`",
        ),
        (ErrorKind::Server(ServerErrorKind::ClusterDown), _) => {
            ("is a cluster that is down".to_owned(), "look into the logs of its nodes")
        }
        (ErrorKind::RESP3NotSupported, _) => {
            ("does not speak RESP3".to_owned(), "use Valkey, or Redis 6 or newer")
        }
        (ErrorKind::Io, _) => (format!("cannot be reached: {error}"), ""),
        _ => (format!("failed: {}", detail(error)), ""),
    };
    match instead {
        "" => format!("{servers} {what}"),
        instead => format!("{servers} {what}; {instead}"),
    }
}

/// Code and detail of the server's error, without the arguments that some errors repeat.
fn detail(error: &RedisError) -> String {
    let detail = error.detail().unwrap_or_default();
    let detail = detail.split(", with args").next().unwrap_or_default();
    let detail: String = detail.chars().take(DETAIL).collect();
    match error.code() {
        Some(code) => format!("{code} {detail}").trim_end().to_owned(),
        None => format!("{} {detail}", error.category()).trim_end().to_owned(),
    }
}

/// Whether the connection must be made again: it broke, or leads to a server that is not, or no longer, the primary, or the user
/// was changed there.
pub(super) fn breaks(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
            )
        )
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "UNBLOCKED"))
}
