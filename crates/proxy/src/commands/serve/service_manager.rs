//! Messages to the service manager, by the protocol of [sd_notify(3)]: systemd with `Type=notify` or `Type=notify-reload`.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent. A message that cannot be sent changes nothing for clients.
//!
//! [sd_notify(3)]: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

use std::{
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The service manager, if one started this process.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(super) fn of_this_process() -> Self {
        let Some(name) = environment("NOTIFY_SOCKET") else { return Self::default() };
        let socket = match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, socket = %name.display(), "the service manager cannot be notified");
                None
            }
        };
        Self { socket, watchdog: watchdog() }
    }

    /// The process accepts connections.
    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// The process reads its configuration again; [`ServiceManager::ready`] follows, also after a refused one.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = i128::from(now.tv_sec) * 1_000_000;
        let microseconds = seconds + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The process is ending, in this time at the latest.
    pub(super) fn stopping(&self, within: Duration) {
        let microseconds = within.as_micros();
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}"));
    }

    /// Reports at the interval that the manager asks for that the runtime still works. Never returns.
    pub(super) async fn keep_alive(&self) {
        let Some(limit) = self.watchdog else { return std::future::pending().await };
        let mut every = tokio::time::interval(limit / 2);
        loop {
            every.tick().await;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, state, "the service manager was not notified");
        }
    }
}

/// A socket of the file system, or with `@` an abstract one.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not stop the gateway.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The interval of the watchdog, if it watches this process.
fn watchdog() -> Option<Duration> {
    let number = |name| environment(name)?.to_str()?.parse::<u64>().ok();
    let others = number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id()));
    let limit = Duration::from_micros(number("WATCHDOG_USEC").filter(|_| !others)?);
    // Half of it must be an interval.
    (limit >= Duration::from_millis(2)).then_some(limit)
}

#[expect(clippy::disallowed_methods, reason = "the protocol of the service manager, no setting")]
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
