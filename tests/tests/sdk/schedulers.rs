//! Schedulers with the Python package: many short processes of one machine, one token request for all of them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use e2e::{tools, upstream::Echo};
use tokio::process::Command;

use crate::lab::Lab;

const TOKEN: &str = "/protocol/openid-connect/token";

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_forty_luigi_tasks_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let (api, folder) = (Echo::start().await?, lab.folder()?);
    let issuer = lab.issuer();
    let secret = secret(&folder)?;
    let settings = format!(
        "[doorward]\nissuer = {issuer}\nclient_id = job\nsecret_file = {}\ncache_dir = {}\n\
         [worker]\nwait_interval = 0.1\n",
        secret.display(),
        folder.join("tokens").display(),
    );
    std::fs::write(folder.join("luigi.cfg"), settings)?;
    for run in ["first", "second"] {
        let ran = Command::new(tools::installed("venv-python/bin/python")?)
            .arg(repository().join("examples/luigi/scores.py"))
            .args(["Scores", "--local-scheduler", "--workers=8"])
            .args(["--api", &api.url(), "--folder", run])
            .current_dir(&folder)
            .env("LUIGI_CONFIG_PATH", folder.join("luigi.cfg"))
            .kill_on_drop(true)
            .output()
            .await?;
        let log = String::from_utf8_lossy(&ran.stderr);
        ensure!(log.contains("This progress looks :)"), "{log}");
    }
    let calls = api.requests();
    assert_eq!(calls.len(), 80);
    let tokens: BTreeSet<_> = calls.iter().map(|call| call.value("authorization")).collect();
    assert!(tokens.len() == 1 && !tokens.contains(&None), "{} different", tokens.len());
    assert_eq!(wire.count(TOKEN), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_airflow_tasks_make_one_token_request() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let folder = lab.folder()?;
    let ran = Command::new(tools::installed("venv-airflow/bin/python")?)
        .args(["-m", "pytest", "--quiet", "tests/airflow/test_elsewhere.py"])
        .current_dir(repository().join("crates/py-bindings"))
        .env("DOORWARD_TEST_ISSUER", lab.issuer().as_str())
        .env("DOORWARD_TEST_SECRET_FILE", secret(&folder)?)
        .kill_on_drop(true)
        .output()
        .await?;
    let log = String::from_utf8_lossy(&ran.stdout);
    ensure!(ran.status.success() && log.contains("1 passed"), "{log}");
    assert_eq!(wire.count(TOKEN), 1);
    Ok(())
}

fn secret(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("secret");
    std::fs::write(&path, "job-secret-for-tests\n")?;
    Ok(path)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
