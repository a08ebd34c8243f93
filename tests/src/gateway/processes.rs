//! The processes of a gateway: their signals, their ends, and the ones that replace them.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{Gateway, PATIENCE};
use crate::{program::Program, wait};

/// A gateway that another process has replaced.
#[derive(Debug)]
pub struct Predecessor(Program);

impl Gateway {
    /// Another process of the gateway, with its own log file.
    pub fn beside(&self, config: &Path, arguments: &[&str]) -> Result<Program> {
        self.plan.run_as("gateway-beside", config, arguments)
    }

    /// Starts a new process that takes over; returns the one that ran before.
    pub fn take_over(&mut self) -> Result<Predecessor> {
        self.replaced += 1;
        let name = format!("gateway-{}", self.replaced);
        let next = self.plan.run_as(&name, &self.config, &["--take-over"])?;
        Ok(Predecessor(std::mem::replace(&mut self.program, next)))
    }

    /// Runs another command in place of the gateway that has ended.
    pub fn restart_as(&mut self, command: &mut Command) -> Result<()> {
        self.program = Program::start("gateway", &self.plan.folder, command)?;
        Ok(())
    }

    /// kill -9, then the same program on the same ports and data.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.program.kill();
        self.program = self.plan.run(&self.config, &[])?;
        self.wait_until_ready().await
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.program.id()
    }

    /// SIGHUP: it reads its file again, now.
    pub fn hang_up(&self) {
        self.program.signal(Signal::HUP);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for its end after a signal; it must have ended with status 0.
    pub async fn ended_within(&mut self, limit: Duration) -> Result<()> {
        ended_within(&mut self.program, limit).await
    }

    /// Waits for a log line with this message; returns the newest.
    pub async fn logged(&self, message: &str) -> Result<Value> {
        logged(&self.program, message).await
    }
}

impl Predecessor {
    /// Waits for a log line with this message; returns the newest.
    pub async fn logged(&self, message: &str) -> Result<Value> {
        logged(&self.0, message).await
    }

    /// Waits for its end; it must have ended with status 0.
    pub async fn ended_within(&mut self, limit: Duration) -> Result<()> {
        ended_within(&mut self.0, limit).await
    }
}

/// Every line of a log, which must all be JSON objects.
pub(super) fn log_lines(program: &Program) -> Result<Vec<Value>> {
    program
        .output()
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line)
                .with_context(|| format!("a log line is not JSON: {line}"))?;
            ensure!(value.is_object(), "a log line is not an object: {line}");
            Ok(value)
        })
        .collect()
}

async fn logged(program: &Program, message: &str) -> Result<Value> {
    wait::until(&format!("the log line {message:?}"), PATIENCE, async || {
        let mut lines = log_lines(program)?;
        lines.retain(|line| line["msg"].as_str() == Some(message));
        Ok(lines.pop())
    })
    .await
}

async fn ended_within(program: &mut Program, limit: Duration) -> Result<()> {
    let status = wait::until("the gateway to end", limit, async || Ok(program.ended())).await?;
    ensure!(status.success(), "the gateway ended with {status}");
    Ok(())
}
