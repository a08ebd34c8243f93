//! Each recipe of the guides about forward-auth and Envoy, as it is printed: users land at the address they asked for, programs get 401.

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, User};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    recipes::Recipe,
    upstream::Echo,
    visitor::{Answer, Manner, Visitor},
    wire::Wire,
};
use reqwest::Method;

const SECRET: &str = "the gateway's secret in recipes";

const ROUTES: &str = "app:
  match: { path: / }
  access: [{ allow: signed_in }]
kept:
  match: { path: /kept }
  paths: { encoded_slash: keep, double_slash: keep }
  access: [{ allow: signed_in }]";

/// Addresses as a browser sends them, and as the application gets them: equal but for characters that no URL may hold.
const ADDRESSES: &[(&str, &str)] = &[
    ("/", "/"),
    ("/a%20b", "/a%20b"),
    ("/%C3%A9/", "/%C3%A9/"),
    ("/a+b", "/a+b"),
    ("/a%2Bb", "/a%2Bb"),
    ("/a%26b", "/a%26b"),
    ("/100%25", "/100%25"),
    ("/a%23b", "/a%23b"),
    ("/a%3Fb", "/a%3Fb"),
    ("/a%22b", "/a%22b"),
    ("/a%7Cb", "/a%7Cb"),
    ("/a|b", "/a%7Cb"),
    ("/%7Ba%7D", "/%7Ba%7D"),
    ("/a;v=1", "/a;v=1"),
    ("/@a:b,c=d", "/@a:b,c=d"),
    ("/a'b(c)*!$", "/a'b(c)*!$"),
    ("/oauth2x/start?rd=/b", "/oauth2x/start?rd=/b"),
    ("/?a=1&b=2&c=3", "/?a=1&b=2&c=3"),
    ("/?q=a+b", "/?q=a+b"),
    ("/?q=a%20b", "/?q=a%20b"),
    ("/?q=%C3%A9", "/?q=%C3%A9"),
    ("/?q=%26%23%25%2B%3D", "/?q=%26%23%25%2B%3D"),
    ("/?q=%22%7B%7C%7D", "/?q=%22%7B%7C%7D"),
    ("/?q={a|b}", "/?q=%7Ba%7Cb%7D"),
    ("/?c=C:\\dir", "/?c=C:%5Cdir"),
    ("/?rd=//evil.test&issuer=none&sign_in=x", "/?rd=//evil.test&issuer=none&sign_in=x"),
    ("/?a?b=/c/../d", "/?a?b=/c/../d"),
    ("/?u=https://evil.test/%2F", "/?u=https://evil.test/%2F"),
    ("/kept/a%2Fb", "/kept/a%2Fb"),
    ("/kept/a//b", "/kept/a//b"),
    ("/kept/a%5Cb", "/kept/a%5Cb"),
];

struct Lab {
    world: World,
    issuer: DevIssuer,
    gateway: Gateway,
    echo: Echo,
    _recipe: Recipe,
}

impl Lab {
    async fn start(recipe: &str, purpose: &str) -> Result<Self> {
        let world = World::new(&format!("recipe-{recipe}-{purpose}"))?;
        let client = DevClient::confidential("gateway", SECRET)
            .audience("gateway")
            .redirect_uri(world.url("/oauth2/callback"));
        let issuer = DevIssuer::builder().user(User::new("alice", "alice")).client(client);
        let issuer = issuer.start("127.0.0.1:0").await?;
        let echo = world.echo().await?;
        let plan = Plan::with_client(&world, issuer.url(), SECRET, ROUTES)?;
        let plan = plan.behind_a_front()?;
        let plan = if recipe == "Envoy" { plan.asked_by_envoy()? } else { plan };
        let gateway = plan.start().await?;
        let recipe = Recipe::run(recipe, &world, &gateway, &echo).await?;
        Ok(Self { world, issuer, gateway, echo, _recipe: recipe })
    }

    /// Opens an address in a new browser, signs in, and returns the last answer before the application's.
    async fn signed_in_to(&self, address: &str) -> Result<(Visitor, Answer)> {
        let visitor = Visitor::new()?;
        let mut answer = visitor.open(&self.world.url(address)).await?;
        for _ in 0..3 {
            ensure!(answer.status == 302, "{address}: {} {}", answer.status, answer.body);
            let next = answer.location()?;
            if next.as_str().starts_with(self.issuer.url()) {
                let callback = self.issuer.sign_in(next.as_str(), "alice")?;
                let answer = visitor.open(&callback).await?;
                return Ok((visitor, answer));
            }
            ensure!(next.origin().ascii_serialization() == self.world.public_url(), "{next}");
            answer = visitor.open(next.as_str()).await?;
        }
        anyhow::bail!("{address}: the issuer is not reached: {}", answer.url)
    }
}

async fn leads_to_the_address_asked_for(recipe: &str) -> Result<()> {
    let lab = Lab::start(recipe, "addresses").await?;
    // The link that ingress-nginx makes has to fit a request line of 8 kB.
    let character = if recipe == "ingress-nginx" { "xxxxxx" } else { "%C3%A9" };
    let long = format!("/long?{}", character.repeat(1000));
    let long = [(long.as_str(), long.as_str())];
    let mut wrong = Vec::new();
    for (asked, lands) in ADDRESSES.iter().chain(&long) {
        let (visitor, answer) =
            lab.signed_in_to(asked).await.with_context(|| format!("{recipe}: {asked}"))?;
        let location = answer.header("location");
        // ingress-nginx writes the address on the link as it came, and so it stays.
        if answer.status != 302 || (location != *lands && location != *asked) {
            wrong.push(format!("{asked}: {} {location}", answer.status));
            continue;
        }
        let arrived = visitor.open(&lab.world.url(location)).await?;
        let seen = lab.echo.requests().pop().context("nothing arrived")?;
        if arrived.status != 200 || seen.target() != location {
            wrong.push(format!(
                "{asked}: {} and the application got {}",
                arrived.status,
                seen.target()
            ));
        }
    }
    ensure!(wrong.is_empty(), "{recipe}: {}", wrong.join("\n"));

    // No address makes another answer than these, and none leads elsewhere.
    for target in ["//evil.test/x", "/a//b", "/a/%2e%2e/b", "/a%2Fb", "/a%5Cb", "/%252Fb", "/a%"] {
        let mut wire = Wire::connect(lab.world.public_port()).await?;
        let host = lab.world.public_url().replace("http://", "");
        let fields = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await;
        let answer = wire.answer().await?;
        ensure!(matches!(answer.status, 400 | 403), "{recipe}: {target}: {answer:?}");
    }
    lab.gateway.finish(&[])
}

async fn challenges_programs(recipe: &str) -> Result<()> {
    let lab = Lab::start(recipe, "programs").await?;
    for (method, manner) in [
        (Method::GET, Manner::Program),
        (Method::GET, Manner::Fetch),
        (Method::POST, Manner::Program),
        (Method::DELETE, Manner::Fetch),
        // A form is not replayed by a redirect.
        (Method::POST, Manner::Navigation),
    ] {
        for address in ["/a%20b?rd=/x", "/kept/a//b"] {
            let body = (method == Method::POST).then(|| "a=b".to_owned());
            let url = lab.world.url(address);
            let answer = Visitor::new()?.send(method.clone(), &url, manner, &[], body).await?;
            ensure!(answer.status == 401, "{recipe}: {method} {manner:?}: {answer:?}");
            ensure!(answer.headers.get("location").is_none(), "{recipe}: {answer:?}");
            ensure!(answer.headers.contains_key("www-authenticate"), "{recipe}: {answer:?}");
        }
    }
    ensure!(lab.echo.requests().is_empty());
    // The page for a form says what happened, and leads to the address that was asked for.
    let url = lab.world.url("/form?a=b");
    let form = Some("a=b".to_owned());
    let page = Visitor::new()?.send(Method::POST, &url, Manner::Navigation, &[], form).await?;
    ensure!(page.body.contains("was not delivered"), "{page:?}");
    // Browsers do not reach the URL that answers questions.
    let visitor = Visitor::new()?;
    let hidden = visitor.open(&lab.world.url("/oauth2/auth")).await?;
    ensure!(matches!(hidden.status.as_u16(), 403 | 404), "{hidden:?}");
    lab.gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_leads_to_the_address_asked_for() -> Result<()> {
    leads_to_the_address_asked_for("nginx").await
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_leads_to_the_address_asked_for() -> Result<()> {
    leads_to_the_address_asked_for("Caddy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik_leads_to_the_address_asked_for() -> Result<()> {
    leads_to_the_address_asked_for("Traefik").await
}

#[tokio::test(flavor = "multi_thread")]
async fn ingress_nginx_leads_to_the_address_asked_for() -> Result<()> {
    leads_to_the_address_asked_for("ingress-nginx").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_a_challenge_on_to_programs() -> Result<()> {
    challenges_programs("nginx").await
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_passes_a_challenge_on_to_programs() -> Result<()> {
    challenges_programs("Caddy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik_passes_a_challenge_on_to_programs() -> Result<()> {
    challenges_programs("Traefik").await
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_leads_to_the_address_asked_for() -> Result<()> {
    leads_to_the_address_asked_for("Envoy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_passes_a_challenge_on_to_programs() -> Result<()> {
    challenges_programs("Envoy").await
}

/// Lines of a client that would lead a browser elsewhere, if an answer repeated them.
const MISLEADING: &[&str] = &[
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Host: localhost@evil.test",
    "X-Forwarded-Host: evil.test\\localhost",
    "X-Forwarded-Host: localhost, evil.test",
    "X-Forwarded-Proto: javascript",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: //evil.test",
    "X-Forwarded-Uri: //evil.test/x",
    "X-Forwarded-Uri: https://evil.test/x",
    "X-Forwarded-Uri: /\\evil.test",
    "X-Forwarded-Uri: /%0d%0aLocation:%20https://evil.test",
    "X-Original-URL: https://evil.test/x",
    "X-Original-URI: //evil.test/x",
    "X-Rewrite-URL: //evil.test/x",
    "X-Auth-Request-Redirect: https://evil.test/x",
    "Forwarded: host=evil.test;proto=javascript",
];

/// Targets that would do the same.
const MISLEADING_TARGETS: &[&str] = &[
    "//evil.test/x",
    "///evil.test/x",
    "/\\evil.test",
    "/%5Cevil.test",
    "/%09/evil.test",
    "/%0d%0aLocation:%20https://evil.test",
    "/@evil.test",
    "/https://evil.test",
    "/a?rd=https://evil.test",
    "/a?rd=//evil.test&rd=/b",
    "/a?sign_in=x&issuer=none&rd=%0d%0aSet-Cookie:%20a=b",
    "https://evil.test/a",
    "https://localhost@evil.test/a",
];

/// No line and no target of a client has a browser go elsewhere: not at once, and not after the sign-in.
async fn leads_nowhere_else(recipe: &str) -> Result<()> {
    let lab = Lab::start(recipe, "hostile").await?;
    let host = lab.world.public_url().replace("http://", "");
    let lines = MISLEADING.iter().map(|line| ("/a", format!("{line}\r\n")));
    let targets = MISLEADING_TARGETS.iter().map(|target| (*target, String::new()));
    let mut led = 0;
    for (target, line) in lines.chain(targets) {
        let mut wire = Wire::connect(lab.world.public_port()).await?;
        let navigation = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{navigation}{line}\r\n")).await;
        let answer = wire.answer().await?;
        let case = format!("{recipe}: {target} {line}: {answer:?}");
        ensure!(!answer.body.contains("//evil.test/x\""), "{case}");
        let location = answer.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        let Some((_, location)) = location else {
            // Caddy answers so for a host that it does not serve.
            let nothing = answer.status == 200 && answer.body.is_empty();
            ensure!(nothing || matches!(answer.status, 400 | 403 | 404 | 421), "{case}");
            continue;
        };
        ensure!(answer.status == 302, "{case}");
        let own = url::Url::parse(&lab.world.url("/"))?;
        let mut next = own.join(location)?;
        let visitor = Visitor::new()?;
        // nginx passes the answer of `start` on, whose cookie is that of the sign-in.
        if next.as_str().starts_with(lab.issuer.url()) {
            led += 1;
            let redirect = next.query_pairs().find(|(name, _)| name == "redirect_uri");
            if let Some((_, redirect)) = redirect {
                ensure!(redirect.starts_with(&lab.world.public_url()), "{case}");
            }
            continue;
        }
        for _ in 0..2 {
            ensure!(next.origin() == own.origin(), "{case}: {next}");
            next = visitor.open(next.as_str()).await?.location()?;
            if next.as_str().starts_with(lab.issuer.url()) {
                break;
            }
        }
        ensure!(next.as_str().starts_with(lab.issuer.url()), "{case}: {next}");
        let callback = lab.issuer.sign_in(next.as_str(), "alice")?;
        ensure!(callback.starts_with(&lab.world.public_url()), "{case}: {callback}");
        let landed = visitor.open(&callback).await?;
        ensure!(landed.status == 302 && landed.location()?.origin() == own.origin(), "{landed:?}");
        led += 1;
    }
    ensure!(led >= 5, "{recipe}: only {led} of them lead to a sign-in at all");
    ensure!(lab.echo.requests().is_empty());
    lab.gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_leads_a_browser_nowhere_else() -> Result<()> {
    leads_nowhere_else("nginx").await
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_leads_a_browser_nowhere_else() -> Result<()> {
    leads_nowhere_else("Caddy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik_leads_a_browser_nowhere_else() -> Result<()> {
    leads_nowhere_else("Traefik").await
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_leads_a_browser_nowhere_else() -> Result<()> {
    leads_nowhere_else("Envoy").await
}
