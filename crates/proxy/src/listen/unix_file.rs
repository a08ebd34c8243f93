//! Files of unix sockets: made by one process, removed at its end, or left to the next one.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The file of a unix socket, removed when listening ends.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Leaves the file where it is.
    pub(super) fn leave(mut self) {
        self.0.clear();
    }
}

/// A unix socket for processes of the same user.
#[derive(Debug)]
pub struct PrivateSocket {
    listener: UnixListener,
    file: SocketFile,
}

impl PrivateSocket {
    /// Listens at a path, whose file may be the one of a process that is gone or, with `replaces`, of one that leaves it.
    ///
    /// # Errors
    ///
    /// The path cannot be bound.
    pub async fn bind(path: &Path, replaces: bool) -> io::Result<Self> {
        if replaces && is_socket(path) {
            std::fs::remove_file(path)?;
        } else {
            remove_dead_socket(path).await;
        }
        let listener = bind_unix(path, Some(0o600))?;
        let file = SocketFile::new(path);
        Ok(Self { listener, file })
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// None can be accepted.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Ends listening; the file is the next process's.
    pub fn leave(self) {
        self.file.leave();
    }
}

/// Listens at a path. With a mode, the file has these permissions before a process can connect.
pub(super) fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    let Some(mode) = mode else { return UnixListener::bind(path) };
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    set_mode(path, mode)?;
    socket.listen(BACKLOG)
}

/// Gives the file of a socket these permissions.
///
/// # Errors
///
/// The file is not a socket, or another user's.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    if !is_socket(path) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no socket has this path"));
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Removes the socket file that a killed process left. A file whose socket is still in use stays, and binding reports the
/// error.
pub(super) async fn remove_dead_socket(path: &Path) {
    if !is_socket(path) {
        return;
    }
    if let Err(error) = UnixStream::connect(path).await
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        let _ = std::fs::remove_file(path);
    }
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
