//! A small provider on this machine, with the clients of the examples. For trials only.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use doorward_examples::Lab;

/// Serves the realm `lab` on loopback until it is interrupted.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on.
    #[arg(long, default_value_t = 8180)]
    port: u16,
    /// Folder for the files that the examples read: client secrets and a service account token.
    #[arg(long, default_value = "lab")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let lab = Lab::start(&format!("127.0.0.1:{}", arguments.port)).await?;

    let folder = &arguments.folder;
    let cannot_write = || format!("{} cannot be written", folder.display());
    tokio::fs::create_dir_all(folder).await.with_context(cannot_write)?;
    for (name, text) in [
        ("airflow-run.secret", "airflow-secret".to_owned()),
        ("portal.secret", "portal-secret".to_owned()),
        ("service-account.token", lab.service_account_token()?),
        ("alice.token", lab.alices_token()?),
    ] {
        tokio::fs::write(folder.join(name), text).await.with_context(cannot_write)?;
    }
    println!("issuer {}", lab.url());
    println!("secrets and tokens for the examples are in {}", folder.display());

    tokio::signal::ctrl_c().await?;
    Ok(())
}
