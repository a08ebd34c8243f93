//! Listening sockets that another process bound: systemd ([sd_listen_fds(3)]), or the gateway that this one replaces.
//!
//! An address of the configuration takes the socket that is bound to it, so that the configuration is the same with and without
//! them. A socket whose address nothing listens on is refused: its connections would wait for ever.
//!
//! [sd_listen_fds(3)]: https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
};

use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::ListenAddr;

/// Listening sockets that another process bound. Those that nothing takes are closed when this is dropped.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(ListenAddr, Socket)>,
    owns_files: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// Not a listening stream socket.
    #[error(
        "invalid socket {position} of those passed to this process: {reason}; pass listening stream sockets, such as `ListenStream=` with `Accept=no`"
    )]
    Unusable {
        /// number of the socket, from 1
        position: usize,
        /// the cause
        reason: String,
    },
    /// Nothing listens on the addresses of these sockets.
    #[error(
        "unused sockets were passed to this process, bound to {addresses}; name the same addresses in `listen` or `admin`"
    )]
    Unused {
        /// the addresses
        addresses: String,
    },
}

impl Inherited {
    /// Takes the sockets that the environment announces (`LISTEN_FDS`), and removes them from it. For the start of the program,
    /// before it has threads.
    ///
    /// # Errors
    ///
    /// [`InheritError::Unusable`].
    pub fn from_environment() -> Result<Self, InheritError> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let unusable = unusable(index);
            let descriptor = match passed.take_tcp_listener(index) {
                Ok(Some(tcp)) => OwnedFd::from(tcp),
                Ok(None) => continue,
                Err(_) => match passed.take_unix_listener(index) {
                    Ok(Some(unix)) => OwnedFd::from(unix),
                    Ok(None) => continue,
                    Err(error) => return Err(unusable(error)),
                },
            };
            sockets.push(listening(descriptor).map_err(unusable)?);
        }
        Ok(Self { sockets, owns_files: false })
    }

    /// Sockets of a gateway that ends: their files are removed when this process ends.
    ///
    /// # Errors
    ///
    /// [`InheritError::Unusable`].
    pub fn received(descriptors: impl IntoIterator<Item = OwnedFd>) -> Result<Self, InheritError> {
        let checked = descriptors
            .into_iter()
            .enumerate()
            .map(|(index, descriptor)| listening(descriptor).map_err(unusable(index)));
        Ok(Self { sockets: checked.collect::<Result<_, _>>()?, owns_files: true })
    }

    /// The socket that is bound to this address.
    pub(crate) fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        match self.take(&ListenAddr::Tcp(address))? {
            Socket::Tcp(listener) => Some(listener),
            Socket::Unix(_) => None,
        }
    }

    /// The socket that is bound to this path, and whether its file is to be removed at the end.
    pub(super) fn take_unix(&mut self, path: &Path) -> Option<(UnixListener, bool)> {
        match self.take(&ListenAddr::Unix(path.to_owned()))? {
            Socket::Unix(listener) => Some((listener, self.owns_files)),
            Socket::Tcp(_) => None,
        }
    }

    fn take(&mut self, address: &ListenAddr) -> Option<Socket> {
        let place = self.sockets.iter().position(|(bound, _)| bound == address)?;
        Some(self.sockets.swap_remove(place).1)
    }

    /// Ends the taking: every socket must have been taken, unless the gateway that had it listened on more addresses.
    ///
    /// # Errors
    ///
    /// [`InheritError::Unused`].
    pub fn finish(self) -> Result<(), InheritError> {
        if self.sockets.is_empty() || self.owns_files {
            return Ok(());
        }
        let addresses: Vec<_> =
            self.sockets.iter().map(|(bound, _)| format!("`{bound}`")).collect();
        Err(InheritError::Unused { addresses: addresses.join(", ") })
    }
}

fn unusable<E: std::fmt::Display>(index: usize) -> impl Fn(E) -> InheritError + Copy {
    move |error| InheritError::Unusable { position: index + 1, reason: error.to_string() }
}

/// Checks that a descriptor is a listening stream socket, and finds its address.
fn listening(descriptor: OwnedFd) -> io::Result<(ListenAddr, Socket)> {
    let socket = descriptor.as_fd();
    if sockopt::socket_type(socket)? != SocketType::STREAM || !sockopt::socket_acceptconn(socket)? {
        return Err(io::Error::other("it does not listen for connections"));
    }
    match sockopt::socket_domain(socket)? {
        AddressFamily::INET | AddressFamily::INET6 => {
            let listener = TcpListener::from(descriptor);
            listener.set_nonblocking(true)?;
            Ok((ListenAddr::Tcp(listener.local_addr()?), Socket::Tcp(listener)))
        }
        AddressFamily::UNIX => {
            let listener = UnixListener::from(descriptor);
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no path"))?;
            Ok((ListenAddr::Unix(path.to_owned()), Socket::Unix(listener)))
        }
        _ => Err(io::Error::other("neither TCP nor a unix socket")),
    }
}
