//! `doorward demo`: an identity provider, two services and the gateway before them, in one process on loopback.
//!
//! The provider mints tokens and shows its users' passwords, so the demo is behind the feature `demo`: on by default, off in the
//! released binary. A binary without it accepts the command and explains how to get the demo.

#[cfg(feature = "demo")]
mod process;
#[cfg(feature = "demo")]
mod services;

use clap::Args;

use super::Outcome;

/// Arguments of `doorward demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The port of the gateway; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Open the browser
    #[arg(long)]
    open: bool,
}

/// Reason a binary without the demo refuses the command.
#[cfg(any(test, not(feature = "demo")))]
#[derive(Debug, thiserror::Error)]
#[error(
    "unsupported command demo: this binary was built without the demo, as released binaries are; \
     run `cargo run --release -- demo` in Doorward's source tree"
)]
struct BuiltWithoutDemo;

impl Demo {
    /// Runs until Ctrl-C.
    ///
    /// # Errors
    ///
    /// No port is free, or this binary was built without the demo.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        #[cfg(feature = "demo")]
        return process::run(self).await;
        #[cfg(not(feature = "demo"))]
        return Err(BuiltWithoutDemo.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_without_the_demo_says_how_to_get_it() {
        let text = BuiltWithoutDemo.to_string();
        assert!(text.contains("built without the demo"), "{text}");
        assert!(text.contains("`cargo run --release -- demo`"), "{text}");
    }
}
