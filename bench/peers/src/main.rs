//! Servers and clients of the comparison with other proxies, which `bench/peers/run.py` starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod bare;
mod certificate;
mod echo;
mod first_seen;
mod grpc;
mod handshakes;
mod measured;
mod sink;
mod websockets;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Servers and clients that only the comparison with other proxies needs")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pass HTTP/1.1 on without any check: the limit of a proxy on hyper
    Bare {
        /// Address to listen at
        listen: SocketAddr,
        /// Address of the upstream
        upstream: SocketAddr,
    },
    /// Answer WebSockets with their own messages
    Echo {
        /// Address to listen at
        listen: SocketAddr,
    },
    /// Answer gRPC calls over HTTP/2 in clear text with their own message
    Grpc {
        /// Address to listen at
        listen: SocketAddr,
    },
    /// Read uploads to their end
    Sink {
        /// Address to listen at
        listen: SocketAddr,
    },
    /// Write a key and its certificate for 127.0.0.1 as `key.pem` and `certificate.pem`
    Certificate {
        /// Folder for the two files
        folder: PathBuf,
    },
    /// Measure round trips through WebSockets that echo
    Websockets(websockets::Websockets),
    /// Measure connections, each with a TLS handshake and one request
    Handshakes(handshakes::Handshakes),
    /// Measure requests with a token each that no request before had
    FirstSeen(first_seen::FirstSeen),
}

fn main() -> anyhow::Result<()> {
    let command = Arguments::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        match command {
            Command::Bare { listen, upstream } => bare::serve(listen, upstream).await,
            Command::Echo { listen } => echo::serve(listen).await,
            Command::Grpc { listen } => grpc::serve(listen).await,
            Command::Sink { listen } => sink::serve(listen).await,
            Command::Certificate { folder } => certificate::write(&folder),
            Command::Websockets(websockets) => websockets.measure().await?.print(),
            Command::Handshakes(handshakes) => handshakes.measure().await?.print(),
            Command::FirstSeen(first_seen) => first_seen.measure().await?.print(),
        }
    })
}
