//! Commands to a Valkey or Redis server (the protocol RESP2), for what a scenario asks a store itself.
//!
//! Each command has its own connection, so that a server that was killed, paused or promoted needs no care.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status or a value.
    Text(String),
    /// A number.
    Number(i64),
    /// No value.
    Nil,
    /// Several answers.
    List(Vec<Self>),
}

impl Reply {
    /// The text; empty for anything else.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Number(_) | Self::Nil | Self::List(_) => "",
        }
    }

    /// The number; an error for anything else.
    pub fn number(&self) -> Result<i64> {
        match self {
            Self::Number(number) => Ok(*number),
            other => bail!("not a number: {other:?}"),
        }
    }

    /// The texts of a list; empty for anything else.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            Self::Text(_) | Self::Number(_) | Self::Nil => Vec::new(),
        }
    }

    /// The text after `name` in a flat list of names and values.
    pub fn member(&self, name: &str) -> Option<String> {
        let texts = self.texts();
        let at = texts.iter().position(|text| *text == name)?;
        texts.get(at + 1).map(|text| (*text).to_owned())
    }
}

/// Sends one command to `127.0.0.1:port`; an error answer is an error.
pub async fn ask(port: u16, command: &[&str]) -> Result<Reply> {
    let asking = async {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        stream.write_all(&encoded(command)).await?;
        read(&mut stream).await
    };
    timeout(PATIENCE, asking)
        .await
        .with_context(|| format!("127.0.0.1:{port} does not answer {command:?}"))?
        .with_context(|| format!("127.0.0.1:{port}: {command:?}"))
}

fn encoded(command: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<Reply> {
    let mut line = String::new();
    anyhow::ensure!(stream.read_line(&mut line).await? > 0, "the connection broke off");
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).context("an empty line")?;
    match kind {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => bail!("{rest}"),
        ":" => Ok(Reply::Number(rest.parse()?)),
        "$" | "*" if rest == "-1" => Ok(Reply::Nil),
        "$" => {
            let mut text = vec![0; rest.parse::<usize>()? + 2];
            stream.read_exact(&mut text).await?;
            text.truncate(text.len() - 2);
            Ok(Reply::Text(String::from_utf8_lossy(&text).into_owned()))
        }
        "*" => {
            let mut items = Vec::new();
            for _ in 0..rest.parse::<usize>()? {
                items.push(Box::pin(read(stream)).await?);
            }
            Ok(Reply::List(items))
        }
        _ => bail!("not RESP2: {line}"),
    }
}
