//! One program of the world: started in its own process group, its output in a log file, gone when dropped.
//!
//! Some parts start children in separate groups (JupyterHub's servers and their kernels). They get the chance to
//! tidy up on SIGTERM; the reaper (`spawn_reaper`) ends what outlives the test process, by a mark in its environment.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;

use crate::tools;

const MARK: &str = "DOORWARD_E2E_RUN";
const TIDY_UP: Duration = Duration::from_secs(8);

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command` with its standard output and error appended to `<folder>/<name>.log`.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let child = prepare(command)?
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that has its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// An error with the end of the log, if the program has ended.
    pub fn check_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let output = self.output();
            let tail = output.len().saturating_sub(3000);
            let tail = output.get(tail..).unwrap_or(&output);
            anyhow::bail!("{} ended ({status}); its log ends:\n{tail}", self.name);
        }
        Ok(())
    }

    /// Its status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// kill -9, the whole group, at once.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::KILL);
        self.child.wait().ok()
    }

    /// SIGTERM, time to tidy up, then SIGKILL to what remains of the group.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + TIDY_UP;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            #[expect(clippy::disallowed_methods, reason = "a drop cannot await")]
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill()
    }

    /// Sends `signal` to the process group.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The group may have ended already, which is the goal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Settings of every program of the world: its own group, the mark, the parts' search path, no proxy of the machine.
pub fn prepare(command: &mut Command) -> Result<&mut Command> {
    use std::os::unix::process::CommandExt as _;
    for proxy in
        ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        command.env_remove(proxy);
    }
    Ok(command.process_group(0).env(MARK, mark()?).env("PATH", tools::search_path()?))
}

/// The mark of this test process, with its reaper started.
fn mark() -> Result<&'static str> {
    static REAPER: OnceLock<(String, Option<Child>)> = OnceLock::new();
    let (mark, reaper) = REAPER.get_or_init(|| {
        let mark = format!("{}-{:?}", std::process::id(), Instant::now());
        let mark: String = mark.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let reaper = spawn_reaper(&mark).ok();
        (mark, reaper)
    });
    anyhow::ensure!(reaper.is_some(), "cannot start the reaper (sh)");
    Ok(mark)
}

/// A shell that reads until this process is gone, however it went, then ends every process that carries the mark.
fn spawn_reaper(mark: &str) -> Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let script = format!(
        "cat >/dev/null
        for environ in /proc/[0-9]*/environ; do
            if tr '\\0' '\\n' <\"$environ\" 2>/dev/null | grep -qx '{MARK}={mark}'; then
                pid=${{environ#/proc/}}
                kill -KILL \"${{pid%/environ}}\" 2>/dev/null
            fi
        done"
    );
    Ok(Command::new("sh")
        .args(["-c", &script])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}
