//! Hand-over of the listening sockets to a new process, so that a new binary refuses no connection.
//!
//! The running process waits on the unix socket `hand_over`. `doorward serve --take-over` connects there, gets the listening
//! sockets (`SCM_RIGHTS`, [unix(7)]) and prepares everything that may fail. It then says `release`, if it needs the session file,
//! which one process can open: the running process accepts nothing more, closes the file and answers `released`; meanwhile new
//! connections wait in the kernel's queue. With `ready` the new process has taken over, and the running one drains. If the new
//! process ends before it says either, nothing has changed.
//!
//! [unix(7)]: https://man7.org/linux/man-pages/man7/unix.7.html

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
    process::geteuid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Interest},
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    assemble::Lasting,
    config::{Config, SessionStoreConfig},
    identify::issuers::Issuers,
    listen::{Drain, Inherited, PrivateSocket},
};

use super::housekeeping::Housekeeping;

/// First bytes of the running process, with the version of this protocol.
const GREETING: &[u8] = b"doorward hand-over 1\n";
/// Most sockets that are handed over.
const SOCKETS: usize = 64;
/// Time for each step of the other process.
const STEP: Duration = Duration::from_secs(30);
/// Time in which requests that have just arrived read their sessions before the session file is closed.
const SETTLE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(1);
/// Time for the issuers to answer the new process.
const ISSUERS: Duration = Duration::from_secs(10);
const ISSUER_PAUSE: Duration = Duration::from_millis(50);

/// The running process: offers its listening sockets.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) socket: PrivateSocket,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) lasting: Lasting,
    pub(super) housekeeping: Housekeeping,
}

impl Offer {
    /// Hands over, once, unless the process stops before.
    pub(super) async fn serve(self) {
        let drain = self.lasting.drain.clone();
        loop {
            let accepted = tokio::select! {
                () = drain.accepting_over() => return,
                accepted = self.socket.accept() => accepted,
            };
            let outcome = match accepted {
                Ok(stream) => self.hand_over(stream, &drain).await,
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(()) => {
                    tracing::info!(
                        "another process has taken over; requests and streams in progress may finish"
                    );
                    return self.socket.leave();
                }
                Err(error) if drain.is_announced() => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the process that takes over failed"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "nothing was handed over");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn hand_over(&self, stream: UnixStream, drain: &Drain) -> anyhow::Result<()> {
        check_user(&stream)?;
        send(&stream, &self.descriptors).await.context("the sockets cannot be sent")?;
        let mut talk = Talk::new(stream);
        loop {
            match talk.hear().await?.as_str() {
                "release" if !drain.is_announced() => {
                    self.release(drain).await?;
                    talk.say("released").await?;
                }
                "ready" => {
                    drain.begin_replaced();
                    return talk.say("done").await;
                }
                other => bail!("unexpected message {other:?}"),
            }
        }
    }

    /// Accepts nothing more, and closes the session file.
    async fn release(&self, drain: &Drain) -> anyhow::Result<()> {
        drain.begin_replaced();
        self.lasting.stop_refreshing();
        sleep(SETTLE).await;
        self.housekeeping.finish().await;
        self.lasting.store.release().await.context("the session file cannot be closed")
    }
}

/// Sockets that the process does not bind itself, and the process that it replaces. Empty by default.
#[derive(Debug, Default)]
pub struct Start {
    pub(super) inherited: Inherited,
    pub(super) predecessor: Option<Predecessor>,
}

impl Start {
    /// Takes the sockets of the running process, if that is asked for.
    pub(super) async fn find(
        path: Option<&Path>,
        mut inherited: Inherited,
        take_over: bool,
    ) -> anyhow::Result<Self> {
        let predecessor = match (take_over, path) {
            (false, _) => None,
            (true, None) => bail!(
                "missing `hand_over` in the configuration: `--take-over` needs it; write `hand_over: /run/doorward/hand-over.sock`"
            ),
            (true, Some(path)) => match Predecessor::find(path).await? {
                Some((predecessor, sockets)) => {
                    inherited.extend(sockets);
                    Some(predecessor)
                }
                None => {
                    tracing::info!("no running process to take over from; starting as usual");
                    None
                }
            },
        };
        Ok(Self { inherited, predecessor })
    }
}

/// The new process: takes the sockets of the running one.
#[derive(Debug)]
pub(super) struct Predecessor {
    talk: Talk,
}

impl Predecessor {
    /// Takes the sockets of the process that runs; `None` if none does.
    pub(super) async fn find(path: &Path) -> anyhow::Result<Option<(Self, Inherited)>> {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => return Ok(None),
            Err(error) => return Err(error).context(format!("hand_over: {}", path.display())),
        };
        check_user(&stream)?;
        let received = timeout(STEP, receive(&stream))
            .await
            .context("the running process hands over nothing")?;
        let inherited = Inherited::received(received?)?;
        Ok(Some((Self { talk: Talk::new(stream) }, inherited)))
    }

    /// Waits for the keys of the issuers, which the running process has, and has the session file closed if this one needs it.
    pub(super) async fn prepare(
        &mut self,
        config: &Config,
        issuers: &Issuers,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + ISSUERS;
        for issuer in issuers.iter() {
            while let Err(reason) = issuer.ready() {
                ensure!(
                    Instant::now() < deadline,
                    "issuer {} is not available: {reason}; the running process goes on",
                    issuer.name()
                );
                sleep(ISSUER_PAUSE).await;
            }
        }
        let embedded = matches!(config.session.store, SessionStoreConfig::Embedded(_));
        if embedded && !config.session.key.is_empty() {
            tracing::info!("waiting for the session file of the running process");
            self.release().await?;
        }
        Ok(())
    }

    async fn release(&mut self) -> anyhow::Result<()> {
        self.talk.say("release").await?;
        let answer = self.talk.hear().await?;
        ensure!(answer == "released", "the running process keeps its session file: {answer:?}");
        Ok(())
    }

    /// Has the running process drain: this one accepts the connections. Returns whether it left the socket of the hand-over.
    pub(super) async fn end(self) -> bool {
        match self.ready().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the process before this one was not told to end"
                );
                false
            }
        }
    }

    async fn ready(mut self) -> anyhow::Result<()> {
        self.talk.say("ready").await?;
        let answer = self.talk.hear().await?;
        ensure!(answer == "done", "the running process goes on: {answer:?}");
        Ok(())
    }
}

/// Short lines, one at a time.
#[derive(Debug)]
struct Talk(BufReader<UnixStream>);

impl Talk {
    fn new(stream: UnixStream) -> Self {
        Self(BufReader::with_capacity(256, stream))
    }

    async fn say(&mut self, word: &str) -> anyhow::Result<()> {
        let line = format!("{word}\n");
        timeout(STEP, self.0.get_mut().write_all(line.as_bytes())).await??;
        Ok(())
    }

    async fn hear(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let length = timeout(STEP, self.0.read_line(&mut line))
            .await
            .context("the other process says nothing")??;
        ensure!(length > 0, "the other process has ended");
        Ok(line.trim_end().to_owned())
    }
}

/// Whether the other process belongs to the same user, or to root. The sockets are worth as much as the process itself.
fn check_user(stream: &UnixStream) -> anyhow::Result<()> {
    let (other, own) = (stream.peer_cred()?.uid(), geteuid().as_raw());
    ensure!(other == own || other == 0, "the other process belongs to user {other}, not to {own}");
    Ok(())
}

async fn send(stream: &UnixStream, descriptors: &[OwnedFd]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(SOCKETS))];
    loop {
        stream.writable().await?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::Error::other("too many sockets"));
            }
            Ok(sendmsg(stream, &[IoSlice::new(GREETING)], &mut control, SendFlags::empty())?)
        });
        match sent {
            // The greeting fits any buffer.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn receive(stream: &UnixStream) -> anyhow::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(SOCKETS))];
    let mut greeting = [0; GREETING.len()];
    loop {
        stream.readable().await?;
        let received = stream.try_io(Interest::READABLE, || {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [IoSliceMut::new(&mut greeting)];
            recvmsg(stream, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let messages = control.drain();
            let descriptors = messages.filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            });
            Ok(descriptors.flatten().collect::<Vec<_>>())
        });
        match received {
            Ok(descriptors) => {
                ensure!(
                    greeting == GREETING,
                    "the running process speaks another hand-over protocol; restart it instead"
                );
                return Ok(descriptors);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
