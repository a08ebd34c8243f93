//! Fields about the caller that the upstream gets, and credentials of the caller that never reach it.

use anyhow::Result;
use dev_issuer::{Mint, User};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_claim_never_becomes_header_syntax() -> Result<()> {
    const NAMES: [&str; 9] = [
        "alice\r\nX-Forwarded-Groups: admin",
        "alice\nX-Forwarded-Groups: admin",
        "alice\rX-Forwarded-Groups: admin",
        "alice\u{0}admin",
        "alice\u{10d}\u{10a}X-Forwarded-Groups: admin",
        "alice, admin",
        "al%0D%0Aice",
        "\u{2028}alice\u{85}\u{7f}\u{1b}[0m",
        "\u{1f98a} Ünïcode \"quoted\"; q=1",
    ];
    const GROUPS: [&str; 9] = [
        "/lab",
        "dev,admin",
        "dev, admin",
        "a\r\nX-Forwarded-Roles: admin",
        "a\u{10d}\u{10a}b",
        "nul\u{0}",
        "%2Cadmin",
        " blank ",
        "\"quoted,admin\"",
    ];
    let stage = Stage::new("attack-headers-claims").await?;
    for name in NAMES {
        let user = User::new(name, "x").groups(GROUPS).roles(["r,admin", "other:admin"]).name(name);
        stage.issuer.set_user(user);
        let cookie = stage.sign_in(name).await?;
        let token = stage.issuer.mint(Mint::access(name).client("gateway"))?;
        for round in 0..3 {
            let ask = stage.get("/echo");
            let ask = if round == 2 { ask.bearer(&token) } else { ask.header("Cookie", &cookie) };
            let answer = ask.send().await?;
            assert_eq!(answer.status, 200, "{name:?}: {answer:?}");
            let seen = stage.upstream.last("/echo")?;
            assert!(
                seen.head.iter().all(|byte| *byte < 0x7f),
                "{:?}",
                String::from_utf8_lossy(&seen.head)
            );
            let one = |field: &str| decoded(&seen.value(field).unwrap_or_default());
            assert_eq!(one("x-forwarded-preferred-username"), name);
            assert_eq!(seen.values("x-forwarded-user").len(), 1);
            let groups = seen.value("x-forwarded-groups").unwrap_or_default();
            let groups: Vec<String> = groups.split(',').map(decoded).collect();
            assert_eq!(groups, GROUPS, "the members and their number are the token's");
            let roles = seen.value("x-forwarded-roles").unwrap_or_default();
            let roles: Vec<&str> = roles.split(',').collect();
            assert!(!roles.contains(&"admin") && !roles.contains(&"other:admin"), "{roles:?}");
        }
        // A role is the whole text in the token, not a part of it.
        assert_eq!(stage.get("/admin").header("Cookie", &cookie).send().await?.status, 403);
        let page = stage.get("/admin").navigating().header("Cookie", &cookie).send().await?;
        assert_eq!(page.status, 403, "{page:?}");
    }
    stage.finish(&[])
}

fn decoded(text: &str) -> String {
    // `+` is literal in a header.
    let query = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_never_sees_the_gateways_credentials() -> Result<()> {
    let stage = Stage::new("attack-headers-credentials").await?;
    let (_, login) = stage.begin_login("/echo").await?;
    let alice = stage.sign_in("alice").await?;
    assert!(
        login.starts_with("doorward-login-") && alice.starts_with("doorward="),
        "{login} {alice}"
    );
    let secrets: Vec<String> = [&login, &alice]
        .iter()
        .filter_map(|cookie| cookie.split_once('=').map(|(_, value)| value.to_owned()))
        .collect();
    for (sent, kept) in [
        (format!("theme=dark; {alice}; last=1"), "theme=dark; last=1"),
        (format!("{alice}; theme=dark"), "theme=dark"),
        (format!("{login}; {alice}"), ""),
        (format!("a=\"b c\";b=x%20y;{alice};c==;d"), "a=\"b c\";b=x%20y;c==;d"),
        (
            format!("doorward2=1; mydoorward=2; doorward-theme=3; {alice}"),
            "doorward2=1; mydoorward=2; doorward-theme=3",
        ),
        (format!("_xsrf=2|a|b|3; {login}; sid=\u{e9}"), "_xsrf=2|a|b|3; sid=\u{e9}"),
        (alice.replace("doorward=", "DOORWARD="), ""),
        (alice.replace("doorward=", "__Host-doorward="), ""),
        (alice.replace("doorward=", "doorward.0="), ""),
        (alice.replace("doorward=", "door%77ard="), ""),
        (alice.replace("doorward=", "=doorward="), ""),
        (alice.replace("doorward=", "\u{2000}doorward="), ""),
        (alice.replace("doorward=", "$doorward="), ""),
        ("a=1; b=2".to_owned(), "a=1; b=2"),
    ] {
        for target in ["/public/a", "/echo"] {
            let before = stage.upstream.requests().len();
            let status = stage.get(target).header("Cookie", &sent).send().await?.status;
            let seen = stage.upstream.requests().split_off(before);
            let known = sent.split(';').any(|cookie| cookie.trim_matches(' ') == alice);
            let passes = target == "/public/a" || known;
            assert_eq!(status, if passes { 200 } else { 401 }, "{sent}");
            assert_eq!(seen.len(), usize::from(passes), "{sent}");
            for seen in &seen {
                assert_eq!(seen.values("cookie").join("|"), kept, "{sent}");
                let head = String::from_utf8_lossy(&seen.head);
                assert!(!secrets.iter().any(|secret| head.contains(secret)), "{sent}:\n{head}");
            }
        }
    }
    // A token that the gateway verified ends here; the application's own credentials are forwarded.
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200);
    assert_eq!(stage.upstream.last("/echo")?.values("authorization"), Vec::<String>::new());
    let own = stage.get("/public/a").header("Authorization", "Basic YTpi").send().await?;
    assert_eq!(own.status, 200);
    let seen = stage.upstream.last("/public/a")?.value("authorization");
    assert_eq!(seen.as_deref(), Some("Basic YTpi"));
    let everything: Vec<u8> = stage
        .upstream
        .requests()
        .iter()
        .flat_map(|request| [&request.head[..], &request.body].concat())
        .collect();
    assert!(!String::from_utf8_lossy(&everything).contains(&token));
    stage.finish(&[&alice, &login])
}
