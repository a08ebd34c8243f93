//! Translated configurations decide as the real oauth2-proxy does.
//!
//! Both programs run from one text of the corpus of `doorward migrate`, before the same provider and the same upstream. They get
//! the same requests; the outcomes and the fields that the upstream receives must be equal, but for the differences in
//! `cases::MEANT`, each of which docs/guides/from-oauth2-proxy.md explains.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Mint, User};
use e2e::{
    World,
    oauth2_proxy::OAuth2Proxy,
    program::Program,
    tools, visitor, wait,
    wire::{Answer, Wire},
    world::free_port,
};
use serde_json::Value;
use url::Url;

use self::cases::{CASES, Case, MEANT};

#[path = "migrated/cases.rs"]
mod cases;

const PATIENCE: Duration = Duration::from_secs(30);

/// Fields by which an upstream knows a user.
const FIELDS: [&str; 4] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-groups",
];

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The upstream got it.
    Allowed,
    /// The browser is sent to sign in, or shown a page with the button.
    SignIn,
    Unauthorized,
    Refused,
    Other(u16),
    /// A field as the upstream got it, or another text.
    Text(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Other(status) => write!(f, "{status}"),
            word => write!(f, "{word:?}"),
        }
    }
}

impl Outcome {
    fn of(answer: &Answer) -> Self {
        match answer.status {
            200..300 => Self::Allowed,
            302 | 303 => Self::SignIn,
            // The sign-in page of oauth2-proxy; its page of errors has another button.
            403 if answer.body.contains("/start\"") => Self::SignIn,
            401 => Self::Unauthorized,
            403 => Self::Refused,
            other => Self::Other(other),
        }
    }
}

/// One of the two programs.
struct Seat {
    port: u16,
    endpoints: &'static str,
    gateway: bool,
}

type Cookies = BTreeMap<String, String>;

impl Seat {
    async fn ask(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        jar: &mut Cookies,
    ) -> Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost:{}\r\n", self.port);
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !jar.is_empty() {
            let pairs: Vec<String> =
                jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        let mut wire = Wire::connect(self.port).await?;
        wire.send(format!("{head}\r\n")).await;
        let answer =
            wire.answer().await.with_context(|| format!("{method} {target} at {}", self.port))?;
        for (_, line) in
            answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        {
            let (name, value) =
                line.split(';').next().unwrap_or_default().split_once('=').context("a cookie")?;
            if value.is_empty() {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    /// Signs in by the endpoints of the program; the last answer.
    async fn sign_in(&self, issuer: &DevIssuer, user: &str, jar: &mut Cookies) -> Result<Answer> {
        let start = format!("{}/start?rd=/", self.endpoints);
        let answer = self.ask("GET", &start, &NAVIGATION, jar).await?;
        let callback: Url = issuer.sign_in(answer.location()?.as_str(), user)?.parse()?;
        let target = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
        self.ask("GET", &target, &NAVIGATION, jar).await
    }

    async fn sign_out(&self, jar: &mut Cookies) -> Result<()> {
        let target = format!("{}/sign_out", self.endpoints);
        let answer = self.ask("GET", &target, &NAVIGATION, jar).await?;
        if self.gateway {
            // A link of another site cannot end a session: its page has a form.
            let form = format!("csrf={}", visitor::form_token(&answer.body)?);
            let origin = format!("http://localhost:{}", self.port);
            let length = form.len().to_string();
            let fields = [
                ("Origin", origin.as_str()),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Content-Length", &length),
            ];
            // The body follows the head in one write.
            let mut head = format!("POST {target} HTTP/1.1\r\nHost: localhost:{}\r\n", self.port);
            fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            let pairs: Vec<String> =
                jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mut wire = Wire::connect(self.port).await?;
            wire.send(format!("{head}Cookie: {}\r\n\r\n{form}", pairs.join("; "))).await;
            let answer = wire.answer().await?;
            ensure!(answer.status == 303, "not signed out: {answer:?}");
            jar.clear();
        }
        Ok(())
    }
}

const NAVIGATION: [(&str, &str); 4] = [
    ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Site", "none"),
];

const PROGRAM: [(&str, &str); 1] = [("Accept", "application/json")];

/// Asks for the page at `/`, or as nginx does about a page that it serves.
async fn open_page(
    seat: &Seat,
    case: &Case,
    fields: &[(&str, &str)],
    jar: &mut Cookies,
) -> Result<Answer> {
    if !case.asked {
        return seat.ask("GET", "/", fields, jar).await;
    }
    let asked = [("X-Forwarded-Uri", "/reports"), ("X-Forwarded-Method", "GET")];
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain(asked).collect();
    seat.ask("GET", &format!("{}/auth", seat.endpoints), &fields, jar).await
}

/// Everything that is asked of one program, by name.
async fn observe(
    seat: &Seat,
    case: &Case,
    issuer: &DevIssuer,
) -> Result<BTreeMap<String, Outcome>> {
    let mut seen = BTreeMap::new();
    let none = &mut Cookies::new();
    let page = open_page(seat, case, &NAVIGATION, none).await?;
    seen.insert("anonymous page".to_owned(), Outcome::of(&page));
    let page = open_page(seat, case, &PROGRAM, none).await?;
    seen.insert("anonymous program".to_owned(), Outcome::of(&page));
    for (method, target) in case.requests {
        let answer = seat.ask(method, target, &PROGRAM, none).await?;
        seen.insert(format!("anonymous {method} {target}"), Outcome::of(&answer));
    }
    let ping = seat.ask("GET", "/ping", &PROGRAM, none).await?;
    seen.insert("ping".to_owned(), Outcome::of(&ping));
    let userinfo = format!("{}/userinfo", seat.endpoints);
    let answer = seat.ask("GET", &userinfo, &PROGRAM, none).await?;
    seen.insert("anonymous userinfo".to_owned(), Outcome::of(&answer));

    for user in ["alice", "bob"] {
        let jar = &mut Cookies::new();
        let answer = seat.sign_in(issuer, user, jar).await?;
        // oauth2-proxy refuses a user at the end of the sign-in, the gateway at the page.
        let signed_in = answer.status == 302;
        let page = if signed_in { open_page(seat, case, &NAVIGATION, jar).await? } else { answer };
        let outcome = Outcome::of(&page);
        ensure!(user != "alice" || outcome == Outcome::Allowed, "alice is not let in: {page:?}");
        if outcome == Outcome::Allowed {
            let received = if case.asked { answered(&page) } else { received(&page)? };
            seen.extend(
                received.into_iter().map(|(name, value)| (format!("{user} {name}"), value)),
            );
        }
        seen.insert(format!("{user} page"), outcome);
        // There is no session of a refused user at oauth2-proxy.
        if user == "bob" {
            continue;
        }
        for (method, target) in case.requests {
            let answer = seat.ask(method, target, &PROGRAM, jar).await?;
            seen.insert(format!("{user} {method} {target}"), Outcome::of(&answer));
        }
        let who = seat.ask("GET", &userinfo, &PROGRAM, jar).await?.json()?;
        seen.insert("alice userinfo".to_owned(), Outcome::Text(who["email"].to_string()));
        seat.sign_out(jar).await?;
        let answer = open_page(seat, case, &NAVIGATION, jar).await?;
        seen.insert("alice page after sign-out".to_owned(), Outcome::of(&answer));
    }
    let access = |user: &str| Mint::access(user).client(case.client);
    for (name, order) in [
        ("alice's token", access("alice")),
        ("bob's token", access("bob")),
        ("alice's ID token", Mint::id("alice").client(case.client)),
        ("an expired token", access("alice").expired()),
        ("a forged token", access("alice").wrong_key()),
        ("a token for another client", Mint::access("alice").client("other").audience(["other"])),
    ] {
        let bearer = format!("Bearer {}", issuer.mint(order)?);
        let answer = open_page(seat, case, &[PROGRAM[0], ("Authorization", &bearer)], none).await?;
        seen.insert(name.to_owned(), Outcome::of(&answer));
    }
    Ok(seen)
}

/// The fields that nginx hands on.
fn answered(answer: &Answer) -> BTreeMap<String, Outcome> {
    let names =
        ["X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username"];
    let of = |name: &str| {
        let found = answer.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        (name.to_owned(), Outcome::Text(found.map(|(_, value)| value.clone()).unwrap_or_default()))
    };
    names.into_iter().map(of).collect()
}

/// The fields that the upstream got.
fn received(page: &Answer) -> Result<BTreeMap<String, Outcome>> {
    let received: Value = serde_json::from_str(&page.body)?;
    let received = received["headers"].as_array().context("no fields")?;
    let of = |name: &str| {
        let value = received.iter().find_map(|pair| {
            let is = pair[0].as_str().is_some_and(|field| field.eq_ignore_ascii_case(name));
            is.then(|| pair[1].as_str().unwrap_or_default())
        });
        // oauth2-proxy adds roles to groups, the gateway sends them apart.
        let groups =
            value.unwrap_or_default().split(',').filter(|group| !group.starts_with("role:"));
        (name.to_owned(), Outcome::Text(groups.collect::<Vec<_>>().join(",")))
    };
    Ok(FIELDS.into_iter().map(of).collect())
}

/// Runs `doorward migrate`, does what its remarks say, and starts the gateway.
async fn translated(world: &World, case: &Case, text: &str) -> Result<Program> {
    let at = |name: &str| world.folder().join(name);
    fs::write(at("source"), text)?;
    let mut migrate = Command::new(tools::doorward()?);
    let output = migrate.args(["migrate", "oauth2-proxy"]).arg(at("source")).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", case.source);
    let admin = format!("127.0.0.1:{}", free_port()?);
    let mut config = String::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let line = match line.split(':').next() {
            Some("listen") => format!("listen: 127.0.0.1:{}\nadmin: {admin}", world.public_port()),
            Some("public_url") => format!("public_url: {}", world.public_url()),
            _ => line.replace("/run/secrets", &world.folder().display().to_string()),
        };
        config.push_str(&line);
        config.push('\n');
    }
    config.push_str("shutdown: { lame_duck: 0s, streams: 0s }\n");
    fs::write(at("doorward.yaml"), config)?;
    fs::write(at("doorward-client-secret"), case.secret)?;
    fs::write(at("doorward-session-key"), "0123456789abcdef0123456789abcdef")?;
    let mut serve = Command::new(tools::doorward()?);
    serve.args(["serve", "--config"]).arg(at("doorward.yaml"));
    let mut program = Program::start("doorward", world.folder(), &mut serve)?;
    let client = visitor::plain_client()?;
    wait::until("the gateway", PATIENCE, async || {
        program.check_running()?;
        let answer = client.get(format!("http://{admin}/readyz")).send().await;
        Ok(answer.is_ok_and(|answer| answer.status().is_success()).then_some(()))
    })
    .await?;
    Ok(program)
}

/// The outcomes that differ: request, oauth2-proxy's, the gateway's.
async fn differences(case: &Case) -> Result<Vec<(String, String, String)>> {
    let name = case.source.replace('.', "-");
    let world = World::new(&format!("migrated-{name}"))?;
    let upstream = world.echo().await?;
    let client = DevClient::confidential(case.client, case.secret)
        .redirect_uri("http://localhost:*/oauth2/callback")
        .redirect_uri("http://localhost:*/auth/callback")
        .post_logout_redirect_uri(world.url("/oauth2/signed_out"))
        .audience(case.client);
    let alice = User::new("alice", "alice").email("alice@corp.example");
    let issuer = DevIssuer::builder()
        .user(alice.roles(["grafana-user"]).groups(["/data", "/platform"]))
        .user(User::new("bob", "bob").email("bob@other.example"))
        .client(client)
        .client(DevClient::confidential("other", "other"))
        .start("127.0.0.1:0")
        .await?;
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/proxy/tests/migrate/corpus/oauth2-proxy");
    let mut text = fs::read_to_string(corpus.join(case.source))?;
    for (from, to) in case.replaced {
        ensure!(text.contains(from), "{}: no {from}", case.source);
        let to = to.replace("$ISSUER", issuer.url()).replace("$UPSTREAM", &upstream.url());
        text = text.replace(from, &to);
    }
    let callback = format!("{}/callback", case.endpoints);
    let proxy = OAuth2Proxy::start(world.folder(), case.form, &text, &callback).await?;
    let gateway = translated(&world, case, &text).await?;
    let old = Seat { port: proxy.port(), endpoints: case.endpoints, gateway: false };
    let new = Seat { port: world.public_port(), endpoints: case.endpoints, gateway: true };
    let (old, new) = (observe(&old, case, &issuer).await?, observe(&new, case, &issuer).await?);
    drop(gateway);
    let missing = "not asked".to_owned();
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let all = names.map(|name| {
        let shown = |all: &BTreeMap<String, Outcome>| {
            all.get(name).map_or(missing.clone(), ToString::to_string)
        };
        (name.clone(), shown(&old), shown(&new))
    });
    Ok(all.filter(|(_, old, new)| old != new).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn translated_configurations_decide_as_oauth2_proxy() -> Result<()> {
    let mut wrong = Vec::new();
    let mut used = vec![false; MEANT.len()];
    for case in CASES {
        let differences = match differences(case).await {
            Ok(differences) => differences,
            Err(error) => {
                wrong.push(format!("{}: {error:#}", case.source));
                continue;
            }
        };
        for (request, old, new) in differences {
            let meant = MEANT.iter().position(|meant| meant.is(case, &request, &old, &new));
            match meant {
                Some(index) => used[index] = true,
                None => wrong.push(format!("{}: {request}: {old} became {new}", case.source)),
            }
        }
    }
    for (meant, used) in MEANT.iter().zip(used) {
        if !used {
            wrong.push(format!("a difference does not occur: {} {}", meant.request, meant.reason));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_guide_explains_each_difference() -> Result<()> {
    let guide =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/from-oauth2-proxy.md");
    let guide = fs::read_to_string(guide)?;
    for meant in MEANT {
        ensure!(guide.contains(meant.reason), "the guide does not say: {}", meant.reason);
    }
    Ok(())
}
