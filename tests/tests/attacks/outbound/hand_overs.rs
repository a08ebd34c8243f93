//! A new process takes over the listener of programs: no request is lost, on TCP or on a socket.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use e2e::{
    gateway::{Plan, Predecessor},
    upstream::Echo,
    websocket::connect,
    world::free_port,
};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{CHURN, Local, PATIENCE, services::over_socket, setup};
use crate::{load::Load, stage::Stage};

const GOING_AWAY: Option<u16> = Some(1001);
const REQUEST: &str = "GET /churn/load HTTP/1.1\r\nHost: localhost";

fn with_hand_over(plan: Plan) -> Plan {
    let path = plan.folder().join("hand-over.sock");
    let path = path.display();
    plan.with(&format!("hand_over: {path}\nshutdown: {{ lame_duck: 2s, grace: 10s, streams: 5s }}"))
}

/// Has a new process take over; returns the one before.
async fn replace(stage: &mut Stage) -> Result<Predecessor> {
    let predecessor = stage.gateway.take_over()?;
    stage.gateway.wait_until_ready().await?;
    predecessor
        .logged("another process has taken over; requests and streams in progress may finish")
        .await?;
    Ok(predecessor)
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_lose_no_request_to_a_new_process() -> Result<()> {
    let (service, port) = (Echo::start().await?, free_port()?);
    let setup = setup("outbound-hand-over", &format!("127.0.0.1:{port}"), CHURN, &service.url())?;
    let stage = setup.with_plan(with_hand_over).start().await?;
    let mut local = Local { stage, service, port };
    let token = "GET /token?audience=churn HTTP/1.1\r\nHost: localhost\r\nX-Doorward-Local: 1";
    let requests = [REQUEST, token].map(|head| format!("{head}\r\n\r\n").into_bytes());
    let load = Load::start(port, &requests);
    let mut old = Vec::new();
    for _ in 0..2 {
        let mut open = connect(port, "/churn/ws", &[]).await?.open()?;
        let predecessor = replace(&mut local.stage).await?;
        assert_eq!(open.ask("still").await?, "still", "the old process keeps its WebSockets");
        old.push((predecessor, open));
        sleep(Duration::from_secs(1)).await;
    }
    let answered = load.stop().await?;
    ensure!(answered > 100, "only {answered} requests were made");
    for (mut predecessor, mut open) in old {
        assert_eq!(open.closing_code().await, GOING_AWAY);
        drop(open);
        predecessor.ended_within(PATIENCE).await?;
    }
    assert_eq!(local.ask(REQUEST).await?.status, 200);
    local.stage.finish(&[])
}

/// Programs that send requests over a socket, each on a connection of its own, until they are stopped.
fn load(socket: &Path, stop: &watch::Sender<bool>) -> JoinSet<Result<usize>> {
    let mut programs = JoinSet::new();
    for _ in 0..4 {
        let (path, stop) = (socket.to_owned(), stop.subscribe());
        programs.spawn(async move {
            let mut count = 0;
            while !*stop.borrow() {
                let answer = over_socket(&path, REQUEST).await?;
                ensure!(answer.starts_with("HTTP/1.1 200"), "request {count}: {answer}");
                count += 1;
                sleep(Duration::from_millis(10)).await;
            }
            Ok(count)
        });
    }
    programs
}

fn mode(socket: &Path) -> Result<u32> {
    Ok(fs::metadata(socket)?.permissions().mode() & 0o777)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_over_the_socket_of_programs() -> Result<()> {
    let folder: PathBuf =
        std::env::temp_dir().join(format!("doorward-outbound-over-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let (socket, service) = (folder.join("out.sock"), Echo::start().await?);
    let listen = format!("unix:{}\n  mode: \"0660\"", socket.display());
    let setup = setup("outbound-hand-over-socket", &listen, CHURN, &service.url())?;
    let mut stage = setup.with_plan(with_hand_over).start().await?;
    assert_eq!(mode(&socket)?, 0o660);
    let stop = watch::Sender::new(false);
    let programs = load(&socket, &stop);
    let mut old = vec![replace(&mut stage).await?];
    assert_eq!(mode(&socket)?, 0o660);
    // Only a new process applies a stricter mode: the socket is the same one.
    let text = fs::read_to_string(stage.gateway.config())?;
    ensure!(text.contains("  mode: \"0660\"\n"), "{text}");
    fs::write(stage.gateway.config(), text.replace("  mode: \"0660\"\n", ""))?;
    old.push(replace(&mut stage).await?);
    assert_eq!(mode(&socket)?, 0o600, "the permissions are those of the new configuration");
    sleep(Duration::from_secs(1)).await;
    stop.send_replace(true);
    let answered: usize = programs.join_all().await.into_iter().sum::<Result<usize>>()?;
    ensure!(answered > 50, "only {answered} requests were made");
    for mut predecessor in old {
        predecessor.ended_within(PATIENCE).await?;
    }
    // The end of the old processes leaves the file to the new one.
    let answer = over_socket(&socket, REQUEST).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stage.finish(&[])?;
    ensure!(!socket.exists(), "the socket is gone with the last process");
    fs::remove_dir_all(folder)?;
    Ok(())
}
