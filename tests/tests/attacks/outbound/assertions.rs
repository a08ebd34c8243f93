//! Targets whose tokens the issuer gives for an assertion (RFC 7523): about a user as the grant, and about the client as its
//! authentication.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Grant, Mint};
use e2e::{token_text::claims, upstream::Echo, visitor::plain_client, wait, world::free_port};
use serde_json::Value;

use super::{Local, PATIENCE, problem, setup};

const CALL: &str = "GET /reports/x HTTP/1.1\r\nHost: HOST";

/// A listener, and another issuer that its issuer trusts.
struct Trusting {
    local: Local,
    partner: DevIssuer,
    folder: PathBuf,
}

impl Trusting {
    /// `targets`: YAML with `SERVICE` for the service's URL and `FOLDER` for the folder of the assertions, which exist as `files`.
    async fn start(name: &str, targets: &str, files: &[&str], life: Duration) -> Result<Self> {
        let workload = DevClient::confidential("workload", "never used here");
        let partner = DevIssuer::builder().client(workload).start("127.0.0.1:0").await?;
        let client = plain_client()?;
        let metadata: Value = client.get(partner.discovery_url()).send().await?.json().await?;
        let jwks = metadata["jwks_uri"].as_str().context("no jwks_uri")?;
        let (url, keys) = (partner.url().to_owned(), client.get(jwks).send().await?.text().await?);

        let folder = std::env::temp_dir().join(format!("doorward-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        for file in files {
            fs::write(folder.join(file), "not written yet")?;
        }
        let targets = targets.replace("FOLDER", &folder.display().to_string());
        let (service, port) = (Echo::start().await?, free_port()?);
        let stage = setup(name, &format!("127.0.0.1:{port}"), &targets, &service.url())?
            .with_client(|client| client.access_token_lifetime(life))
            .with_issuer(|issuer| {
                let job = DevClient::federated("job", &url, "system:serviceaccount:lab:job");
                issuer.trust(&url, keys).client(job.scope("score"))
            });
        let local = Local { stage: stage.start().await?, service, port };
        Ok(Self { local, partner, folder })
    }

    /// An assertion of the partner's, for the gateway's issuer.
    fn assertion(&self) -> Mint {
        let order = Mint::service("workload").claim("sub", "alice");
        order.audience([self.local.stage.issuer.url()]).expires_in(Duration::from_secs(200))
    }

    fn write(&self, file: &str, order: Mint) -> Result<String> {
        let assertion = self.partner.mint(order)?;
        // As a kubelet does: with a newline, and in one step.
        let new = self.folder.join(".new");
        fs::write(&new, format!("{assertion}\n"))?;
        fs::rename(new, self.folder.join(file))?;
        Ok(assertion)
    }

    fn finish(self, secrets: &[String]) -> Result<()> {
        fs::remove_dir_all(&self.folder)?;
        let secrets: Vec<_> = secrets.iter().map(|secret| format!("t={secret}")).collect();
        self.local.stage.finish(&secrets.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_about_a_user_becomes_a_token() -> Result<()> {
    let targets = "reports: { url: SERVICE, issuer: main, audience: reports, scopes: [score], \
                   grant: { jwt_bearer: FOLDER/assertion } }\n";
    let life = Duration::from_secs(300);
    let trusting = Trusting::start("outbound-assertion", targets, &["assertion"], life).await?;
    let (local, written) = (&trusting.local, trusting.write("assertion", trusting.assertion())?);
    for _ in 0..5 {
        // A program's own credential is not the assertion, and is not sent.
        let own = format!("{CALL}\r\nAuthorization: Bearer of-the-program");
        assert_eq!(local.ask(&own).await?.status, 200);
    }
    let sent = local.service.last("/x")?.value("authorization").context("no token")?;
    let token = sent.strip_prefix("Bearer ").context("another scheme")?.to_owned();
    let said = claims(&token)?;
    assert_eq!((&said["preferred_username"], &said["azp"]), (&"alice".into(), &"gateway".into()));
    ensure!(said["scope"].as_str().is_some_and(|scope| scope.contains("score")), "{said}");
    // The audience of the target finds it, and is no parameter of this grant.
    assert_eq!(local.token("audience=reports").await?.json()?["access_token"], token);
    ensure!(!said["aud"].to_string().contains("reports"), "{said}");
    assert_eq!(local.granted(Grant::JwtBearer), 1);
    assert_eq!(local.granted(Grant::ClientCredentials), 0);
    trusting.finish(&[written, token])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_the_issuer_refuses_gives_no_token() -> Result<()> {
    const WRONG: [&str; 9] =
        ["expired", "audience", "key", "user", "issuer", "unsigned", "garbage", "empty", "missing"];
    let targets: String = WRONG
        .iter()
        .map(|name| {
            format!(
                "{name}: {{ url: SERVICE, issuer: main, grant: {{ jwt_bearer: FOLDER/{name} }} }}\n"
            )
        })
        .collect();
    let life = Duration::from_secs(300);
    let trusting = Trusting::start("outbound-refused", &targets, &WRONG, life).await?;
    let good = || trusting.assertion();
    for (file, order) in [
        ("expired", good().expired()),
        ("audience", good().audience(["https://elsewhere"])),
        ("key", good().wrong_key()),
        ("user", good().claim("sub", "mallory")),
        ("issuer", good().issuer("https://elsewhere")),
        ("unsigned", good().unsigned()),
    ] {
        trusting.write(file, order)?;
    }
    fs::write(trusting.folder.join("empty"), "")?;
    fs::remove_file(trusting.folder.join("missing"))?;
    for name in WRONG {
        let (status, code) = match name {
            "empty" | "missing" => (500, "issuer_misconfigured"),
            _ => (403, "token_refused"),
        };
        for ask in [format!("/{name}/x"), format!("/token?target={name}")] {
            let head = format!("GET {ask} HTTP/1.1\r\nHost: HOST\r\nX-Doorward-Local: 1");
            let answer = trusting.local.ask(&head).await?;
            problem(&answer, status, code).with_context(|| ask.clone())?;
            let names_file = answer.body.contains(&format!("/{name}"));
            assert_eq!(names_file, status == 500, "{ask}: {answer:?}");
        }
    }
    assert_eq!(trusting.local.service.requests().len(), 0, "nothing goes without a token");
    trusting.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_assertion_is_read_again_for_the_next_token() -> Result<()> {
    let targets =
        "reports: { url: SERVICE, issuer: main, grant: { jwt_bearer: FOLDER/assertion } }\n";
    let life = Duration::from_secs(4);
    let trusting = Trusting::start("outbound-renewed", targets, &["assertion"], life).await?;
    let local = &trusting.local;
    let first = trusting.write("assertion", trusting.assertion())?;
    assert_eq!(local.ask(CALL).await?.status, 200);
    // The next grant fails; the token in memory serves until it expires.
    let expired = trusting.write("assertion", trusting.assertion().expired())?;
    wait::until("the end of the first token", PATIENCE, async || {
        let answer = local.ask(CALL).await?;
        if answer.status == 200 {
            return Ok(None);
        }
        problem(&answer, 403, "token_refused").map(Some)
    })
    .await?;
    // No restart and no reload: the file is all that changes.
    let second = trusting.write("assertion", trusting.assertion())?;
    wait::until("the second token", Duration::from_secs(60), async || {
        Ok((local.ask(CALL).await?.status == 200).then_some(()))
    })
    .await?;
    trusting.finish(&[first, expired, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_an_assertion_names_needs_no_secret() -> Result<()> {
    let targets = "\
reports: { url: SERVICE, issuer: main, scopes: [score], client: { id: job, auth: { assertion_file: FOLDER/job } } }
other: { url: SERVICE, issuer: main, client: { id: job, auth: { assertion_file: FOLDER/other } } }
";
    let files = ["job", "other"];
    let life = Duration::from_secs(300);
    let trusting = Trusting::start("outbound-job", targets, &files, life).await?;
    let local = &trusting.local;
    let job =
        |name: &str| trusting.assertion().claim("sub", format!("system:serviceaccount:lab:{name}"));
    let good = trusting.write("job", job("job"))?;
    let bad = trusting.write("other", job("other"))?;
    for _ in 0..3 {
        assert_eq!(local.ask(CALL).await?.status, 200);
    }
    let sent = local.service.last("/x")?.value("authorization").context("no token")?;
    let said = claims(sent.strip_prefix("Bearer ").context("another scheme")?)?;
    assert_eq!(said["azp"], "job");
    assert_eq!(local.granted(Grant::ClientCredentials), 1);
    let answer = local.ask("GET /other/x HTTP/1.1\r\nHost: HOST").await?;
    problem(&answer, 500, "issuer_misconfigured")?;
    trusting.finish(&[good, bad])
}
