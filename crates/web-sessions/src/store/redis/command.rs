//! Commands and scripts as calls send them.

use ::redis::{Cmd, ErrorKind, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value};

use super::connect::Connection;

/// One call. Sending it twice must do no more than sending it once, because a call is repeated on a new connection.
pub(super) enum Command {
    /// On one key.
    Plain(Cmd),
    /// Without a key, on the server that keeps this one.
    Near(String, Cmd),
    /// A script on keys with one hash tag.
    Script(Invocation),
}

impl Command {
    /// A command on one key.
    pub(super) fn new(name: &str, key: &str) -> Self {
        let mut command = ::redis::cmd(name);
        command.arg(key);
        Self::Plain(command)
    }

    /// With another argument.
    pub(super) fn arg(self, argument: impl ToRedisArgs) -> Self {
        match self {
            Self::Plain(mut command) => {
                command.arg(argument);
                Self::Plain(command)
            }
            Self::Near(key, mut command) => {
                command.arg(argument);
                Self::Near(key, command)
            }
            Self::Script(script) => Self::Script(script.arg(argument)),
        }
    }

    pub(super) async fn run(&self, connection: &mut Connection) -> RedisResult<Value> {
        match self {
            Self::Plain(command) => connection.query(command).await,
            Self::Near(key, command) => connection.query_near(key, command.clone()).await,
            Self::Script(script) => {
                match connection.query(&script.by("EVALSHA", script.script.get_hash())).await {
                    // The server was restarted, or another one took over: EVAL sends the text, and the server keeps it.
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        connection.query(&script.by("EVAL", script.text)).await
                    }
                    reply => reply,
                }
            }
        }
    }
}

/// A script with its keys and arguments.
pub(super) struct Invocation {
    script: Script,
    text: &'static str,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Invocation {
    pub(super) fn new(
        text: &'static str,
        script: &Script,
        keys: impl IntoIterator<Item = String>,
    ) -> Self {
        let keys = keys.into_iter().collect();
        Self { script: script.clone(), text, keys, arguments: Vec::new() }
    }

    fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    fn by(&self, name: &str, script: &str) -> Cmd {
        let mut command = ::redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}
