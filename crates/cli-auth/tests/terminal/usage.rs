//! Help, errors in the arguments, and output that cannot be written.

use std::fs::OpenOptions;
use std::process::Stdio;

use dev_issuer::Mint;

use crate::desk::{Desk, Ran};

#[tokio::test]
async fn each_command_has_help() {
    let desk = Desk::new().await;
    let ran = desk.run(&["--help"]).await.ended(0);
    for command in ["login", "token", "logout", "verify"] {
        assert!(ran.out.contains(command), "{}", ran.out);
        let ran = desk.run(&[command, "--help"]).await.ended(0);
        assert!(ran.out.contains(&format!("Usage: doorward {command} ")), "{}", ran.out);
        assert!(ran.out.contains("--issuer <URL>") && ran.err.is_empty(), "{ran:?}");
    }
    let ran = desk.run(&["--version"]).await.ended(0);
    assert_eq!(ran.text(), format!("doorward {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn invalid_arguments_end_with_2() {
    let desk = Desk::new().await;
    for arguments in [
        &[][..],
        &["nonsense"],
        &["verify", "x"],
        &["verify", "--issuer", "not a URL", "--audience", "churn", "x"],
        &["token", "--exec"],
        &["token", "--watch"],
        &["login", "--device", "--port", "1"],
    ] {
        let ran = desk.run(arguments).await.ended(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran:?}");
    }
}

#[tokio::test]
async fn a_closed_output_is_not_reported_and_a_full_one_is() {
    let desk = Desk::new().await;
    let token = desk.issuer.mint(Mint::access("alice").client("cli").audience(["churn"])).unwrap();
    let arguments = ["verify", "--issuer", desk.issuer.url(), "--audience", "churn", &token];
    let ran = async |stdout: Stdio| {
        let mut command = desk.command(&arguments);
        let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        Ran::from(child.wait_with_output().await.unwrap()).ended(1)
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(ran(writer.into()).await.err, "");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = ran(full.into()).await;
    assert!(ran.err.starts_with("doorward: standard output cannot be written: "), "{}", ran.err);
}
