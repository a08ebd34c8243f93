//! Sockets that another process bound: systemd, or the gateway that is replaced.

use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Mint;
use e2e::{gateway::Plan, tools, wait, world::free_port};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::{
    load::Load,
    open_streams::socket,
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
const TAKEN: &str = "another process has taken over; requests and streams in progress may finish";
const HAND_OVER: &str = "hand-over.sock";

fn with_hand_over(plan: Plan) -> Plan {
    let path = plan.folder().join(HAND_OVER);
    let path = path.display();
    plan.with(&format!("hand_over: {path}\nshutdown: {{ lame_duck: 2s, grace: 10s, streams: 5s }}"))
}

fn load(stage: &Stage, cookie: &str, token: &str) -> Load {
    let request = |field: String| {
        format!("GET /echo/load HTTP/1.1\r\nHost: {}\r\n{field}\r\n\r\n", stage.host()).into_bytes()
    };
    let requests =
        [request(format!("Cookie: {cookie}")), request(format!("Authorization: Bearer {token}"))];
    Load::start(stage.gateway.port(), &requests)
}

/// Replaces the gateway three times under load; returns the number of answers.
async fn replaced_under_load(name: &str, cookie_sessions: bool) -> Result<()> {
    let mut setup = Setup::new(name).with_plan(with_hand_over);
    if cookie_sessions {
        setup = setup.with_plan(Plan::with_cookie_sessions);
    }
    let mut stage = setup.start().await?;
    let cookie = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    let load = load(&stage, &cookie, &token);
    let mut old = Vec::new();
    for _ in 0..3 {
        let mut open = socket(&stage, "/ws", &[("cookie", &cookie)]).await?;
        sleep(Duration::from_secs(1)).await;
        let predecessor = stage.gateway.take_over()?;
        stage.gateway.wait_until_ready().await?;
        predecessor.logged(TAKEN).await?;
        assert_eq!(open.ask("still").await?, "still", "the old process keeps its streams");
        old.push((predecessor, open));
    }
    sleep(Duration::from_secs(1)).await;
    let answered = load.stop().await?;
    ensure!(answered > 200, "only {answered} requests were made");
    let answer = stage.get("/echo/x").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 200, "the session is in the new process");
    for (mut predecessor, mut open) in old {
        assert_eq!(open.closing_code().await, Some(1001));
        drop(open);
        predecessor.ended_within(PATIENCE).await?;
    }
    ensure!(stage.world.folder().join(HAND_OVER).exists(), "the next process finds no socket");
    let again = stage.sign_in("bob").await?;
    stage.finish(&[&cookie, &again])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_over_without_a_refused_connection() -> Result<()> {
    replaced_under_load("hand-over", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_over_with_cookie_sessions() -> Result<()> {
    replaced_under_load("hand-over-cookie", true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_fails_leaves_the_running_one_alone() -> Result<()> {
    let mut stage = Setup::new("hand-over-fails").with_plan(with_hand_over).start().await?;
    let cookie = stage.sign_in("alice").await?;
    let first = std::fs::read_to_string(stage.gateway.config())?;
    // Its issuer does not answer: it must not take over without keys.
    let dead = format!("http://127.0.0.1:{}", free_port()?);
    let other = stage.world.folder().join("other.yaml");
    std::fs::write(&other, first.replace(stage.issuer.url(), &dead))?;
    let mut failed = stage.gateway.beside(&other, &["--take-over"])?;
    let status = wait::until("it to give up", PATIENCE, async || Ok(failed.ended())).await?;
    ensure!(!status.success(), "{status}");
    let words = failed.output();
    ensure!(words.contains("the running process goes on"), "{words}");
    let answer = stage.get("/echo/x").header("Cookie", &cookie).send().await?;
    assert_eq!((answer.status, answer.header("connection")), (200, ""));
    stage.gateway.logged("nothing was handed over").await?;
    // And the next one can.
    let mut predecessor = stage.gateway.take_over()?;
    stage.gateway.wait_until_ready().await?;
    predecessor.ended_within(PATIENCE).await?;
    let answer = stage.get("/echo/x").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 200);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_process_take_over_starts_as_usual() -> Result<()> {
    let mut stage = Setup::new("hand-over-none").with_plan(with_hand_over).start().await?;
    stage.gateway.signal(Signal::INT);
    stage.gateway.ended_within(PATIENCE).await?;
    let _ended = stage.gateway.take_over()?;
    stage.gateway.wait_until_ready().await?;
    stage.gateway.logged("no running process to take over from; starting as usual").await?;
    assert_eq!(stage.get("/public/x").send().await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_never_binds_beside_the_first() -> Result<()> {
    let stage = Setup::new("hand-over-second").with_plan(with_hand_over).start().await?;
    let mut second = stage.gateway.beside(stage.gateway.config(), &[])?;
    let status = wait::until("it to give up", PATIENCE, async || Ok(second.ended())).await?;
    ensure!(!status.success() && second.output().contains("cannot listen on"), "{status}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_learns_about_readiness_reloads_and_stops() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("doorward-notify-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path: PathBuf = folder.join("notify");
    let _ = std::fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(Duration::from_secs(10)))?;
    let hear = || -> Result<String> {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).context("no message")?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    // Between the messages comes that of the watchdog, each half second.
    let next = || loop {
        match hear()? {
            alive if alive == "WATCHDOG=1" => {}
            other => break anyhow::Ok(other),
        }
    };
    let socket = path.display().to_string();
    let mut stage = Setup::new("systemd-notify")
        .with_plan(move |plan| {
            plan.with_variable("NOTIFY_SOCKET", &socket).with_variable("WATCHDOG_USEC", "1000000")
        })
        .start()
        .await?;
    assert_eq!(next()?, "READY=1");
    let begun = Instant::now();
    assert_eq!([hear()?, hear()?], ["WATCHDOG=1", "WATCHDOG=1"]);
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    std::fs::write(stage.gateway.config(), "routes: [")?;
    stage.gateway.hang_up();
    let reloading = next()?;
    let (state, time) = reloading.split_once("\nMONOTONIC_USEC=").context("no time")?;
    assert_eq!(state, "RELOADING=1");
    ensure!(time.parse::<u64>()? > 0);
    assert_eq!(next()?, "READY=1", "also after a refused file");
    stage.gateway.signal(Signal::TERM);
    let stopping = next()?;
    ensure!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC="), "{stopping}");
    stage.gateway.ended_within(PATIENCE).await?;
    stage.finish(&[])
}

/// Listening sockets as descriptors 3 and following, as systemd passes them: Python may pass descriptors by number.
const ACTIVATE: &str = "
import os, socket, sys
addresses, command = sys.argv[1].split(','), sys.argv[2:]
held = []
for address in addresses:
    if address.startswith('unix:'):
        made = socket.socket(socket.AF_UNIX); made.bind(address[5:])
    else:
        host, port = address.rsplit(':', 1)
        made = socket.socket(); made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); made.bind((host, int(port)))
    made.listen(64); held.append(made)
spare = [os.dup(made.fileno()) for made in held]
spare = [os.dup2(one, 100 + at, inheritable=False) for at, one in enumerate(spare)]
for at, one in enumerate(spare): os.dup2(one, 3 + at, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(spare)), LISTEN_PID=str(os.getpid()))
os.execv(command[0], command)
";

/// Starts the gateway on sockets that another program bound; waits for its end if it must not start.
fn activated(stage: &Stage, addresses: &str) -> Result<Command> {
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE, addresses]).arg(tools::doorward()?);
    command.args(["serve", "--config"]).arg(stage.gateway.config());
    command.current_dir(stage.world.folder()).stdin(Stdio::null());
    Ok(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_systemd_are_used_for_their_addresses() -> Result<()> {
    let mut stage = Stage::new("systemd-sockets").await?;
    let (port, admin) = (stage.gateway.port(), stage.gateway.admin_port());
    stage.gateway.signal(Signal::TERM);
    stage.gateway.ended_within(PATIENCE).await?;
    let unix = stage.world.folder().join("public.sock");
    let listen = format!("listen: 127.0.0.1:{port}");
    let first = std::fs::read_to_string(stage.gateway.config())?;
    let both = format!("listen: [127.0.0.1:{port}, \"unix:{}\"]", unix.display());
    std::fs::write(stage.gateway.config(), first.replace(&listen, &both))?;

    let addresses = format!("127.0.0.1:{port},127.0.0.1:{admin},unix:{}", unix.display());
    stage.gateway.restart_as(&mut activated(&stage, &addresses)?)?;
    // Requests wait in the queue of the socket until the gateway accepts them.
    stage.gateway.wait_until_ready().await?;
    assert_eq!(stage.get("/public/x").send().await?.status, 200);
    tokio::net::UnixStream::connect(&unix).await.context("the unix socket")?;
    stage.gateway.signal(Signal::TERM);
    stage.gateway.ended_within(PATIENCE).await?;
    ensure!(unix.exists(), "the file of a socket that systemd made is not the gateway's to remove");
    std::fs::remove_file(&unix)?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nothing_listens_on_is_an_error() -> Result<()> {
    let mut stage = Stage::new("systemd-unused").await?;
    stage.gateway.signal(Signal::TERM);
    stage.gateway.ended_within(PATIENCE).await?;
    let other = free_port()?;
    let mut command = activated(&stage, &format!("127.0.0.1:{other}"))?;
    let output = command.output()?;
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(!output.status.success(), "{words}");
    ensure!(
        words.contains(&format!(
            "unused sockets were passed to this process, bound to `127.0.0.1:{other}`"
        )),
        "{words}"
    );
    stage.finish(&[])
}
