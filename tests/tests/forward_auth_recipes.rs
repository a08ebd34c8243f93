//! Each recipe of the guide about forward-auth, as it is printed: users land at the address they asked for, programs get 401.

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
        let gateway = plan.behind_a_front()?.start().await?;
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
