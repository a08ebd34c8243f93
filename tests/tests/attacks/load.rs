//! Steady requests beside a change, each of which must be answered with 200.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::wire::Wire;
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// Pause of each client between two requests.
const PAUSE: Duration = Duration::from_millis(20);

/// Clients that send requests until they are stopped. None of them retries.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<Result<usize>>,
}

/// Use of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// Kept until an answer asks to close.
    Kept,
    /// A new one for each request.
    Fresh,
}

impl Load {
    /// Clients that send these requests, each by kept connections and by fresh ones.
    pub(crate) fn start(port: u16, requests: &[Vec<u8>]) -> Self {
        let stop = watch::Sender::new(false);
        let mut clients = JoinSet::new();
        for request in requests {
            for connections in [Connections::Kept, Connections::Kept, Connections::Fresh] {
                clients.spawn(ask(port, request.clone(), connections, stop.subscribe()));
            }
        }
        Self { stop, clients }
    }

    /// Stops, and returns the number of answers; an error when a request was not answered with 200.
    pub(crate) async fn stop(self) -> Result<usize> {
        self.stop.send_replace(true);
        self.clients.join_all().await.into_iter().sum()
    }
}

async fn ask(
    port: u16,
    request: Vec<u8>,
    connections: Connections,
    stop: watch::Receiver<bool>,
) -> Result<usize> {
    let (mut wire, mut count) = (None, 0);
    while !*stop.borrow() {
        let mut open = match wire.take() {
            Some(open) => open,
            None => Wire::connect(port).await?,
        };
        open.send(&request).await;
        let answer = open.answer().await?;
        ensure!(answer.status == 200, "request {count}: {answer:?}");
        count += 1;
        let closes = answer.headers("connection").contains(&"close");
        wire = (connections == Connections::Kept && !closes).then_some(open);
        sleep(PAUSE).await;
    }
    Ok(count)
}
