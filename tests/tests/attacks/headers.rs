//! Header fields about identity and origin: only the gateway sets them, in every spelling, on every route.

use anyhow::Result;
use dev_issuer::{Mint, User};
use e2e::upstream::Recorded;

use crate::stage::Stage;

/// Names of fields by which upstreams identify the caller.
const IDENTITY: [&str; 12] = [
    "X-Forwarded-User",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Roles",
    "X-Doorward-Assertion",
    "X-Auth-Request-User",
    "X-Auth-Request-Groups",
    "X-Remote-User",
    "Remote-User",
    "X-WebAuth-User",
    "X-Goog-Authenticated-User-Email",
];

/// The spellings of a name, and of a line with it, that some server takes for the name.
fn spellings(name: &str) -> Vec<Vec<u8>> {
    let (first, rest) = name.split_once('-').unwrap_or((name, ""));
    let mut lines: Vec<Vec<u8>> = [
        name.to_owned(),
        name.to_lowercase(),
        name.to_uppercase(),
        name.replace('-', "_"),
        name.replace('-', "_").to_lowercase(),
        format!("{first}_{rest}"),
        format!(
            "{}_{}",
            name.rsplit_once('-').unwrap_or_default().0,
            name.rsplit('-').next().unwrap_or_default()
        ),
        name.replace('-', "."),
        name.replace('-', " "),
        name.replace('-', "~"),
        name.replace('-', "%2D"),
        name.replace('-', "\u{2010}"),
        format!("{name} "),
        format!("{name}\t"),
        format!("{name}\r"),
        format!("{name}\u{b}"),
        format!("{name}\u{a0}"),
        format!("\"{name}\""),
        format!("${name}"),
        format!(" {name}"),
        format!("\t{name}"),
        format!("X-Ok: a\r\n {name}"),
        format!("X-Ok: a\r\n\t{name}"),
        format!("X-Ok: a\n{name}"),
        format!("X-Ok: a\r{name}"),
        format!("X-Ok: a\u{0}\r\n{name}"),
        format!(":{name}"),
        format!("{name}:"),
    ]
    .map(|spelled| format!("{spelled}: mallory").into_bytes())
    .to_vec();
    for byte in [0, 0x7f, 0x80, 0xff] {
        for at in [0, 1, name.len()] {
            let mut line = name.as_bytes().to_vec();
            line.insert(at, byte);
            lines.push([line.as_slice(), b": mallory"].concat());
        }
    }
    lines.push(format!("{name}:\r\n mallory").into_bytes());
    lines.push(format!("{name} mallory").into_bytes());
    lines.push(format!("{name}:mal\u{0}lory").into_bytes());
    lines
}

/// The CGI variable of a name ([RFC 3875 §4.1.18](https://www.rfc-editor.org/rfc/rfc3875#section-4.1.18)).
fn cgi(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    name.to_uppercase().chars().map(plain).collect()
}

/// The head has nothing of the attacker; each name of [`IDENTITY`] at most once, by its CGI name.
fn is_unspoilt(seen: &Recorded, line: &[u8]) {
    let (head, line) = (String::from_utf8_lossy(&seen.head), String::from_utf8_lossy(line));
    assert!(!head.contains("mallory"), "{line:?} reached the upstream:\n{head}");
    for name in IDENTITY {
        let count = seen.fields().iter().filter(|(field, _)| cgi(field) == cgi(name)).count();
        assert!(count <= 1, "{line:?}: {name} is there {count} times:\n{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_set_its_identity_in_any_spelling() -> Result<()> {
    let stage = Stage::new("attack-headers-names").await?;
    let alice = stage.sign_in("alice").await?;
    let subject = stage.get("/echo").header("Cookie", &alice).send().await?.json()?;
    assert_eq!(subject["method"], "GET");
    let subject = stage.upstream.last("/echo")?.value("x-forwarded-user");
    assert!(subject.is_some());
    for (target, cookie) in [("/public/a", ""), ("/public/a", &*alice), ("/echo", &*alice)] {
        let mut passed = 0;
        for line in IDENTITY.iter().flat_map(|name| spellings(name)) {
            let before = stage.upstream.requests().len();
            let mut head = format!("GET {target} HTTP/1.1\r\nHost: HOST\r\n").into_bytes();
            if !cookie.is_empty() {
                head.extend_from_slice(format!("Cookie: {cookie}\r\n").as_bytes());
            }
            head.extend_from_slice(&line);
            head.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
            let answer = stage.raw(head).await?;
            let reached = stage.upstream.requests().split_off(before);
            if answer.status() == 400 {
                assert!(reached.is_empty(), "{:?}", String::from_utf8_lossy(&line));
                assert!(answer.closed);
                continue;
            }
            passed += 1;
            assert_eq!((answer.status(), reached.len()), (200, 1), "{line:?}");
            is_unspoilt(&reached[0], &line);
            let user = reached[0].value("x-forwarded-user");
            assert_eq!(user, if cookie.is_empty() { None } else { subject.clone() });
        }
        // The name itself in three cases, and once more with a value that begins with `:`.
        assert_eq!(passed, 4 * IDENTITY.len(), "the plain spellings are no errors, only dropped");
    }
    // Similar names belong to the application and pass.
    let answer =
        stage.get("/public/a").header("X-Real-Name", "1").header("X-User", "2").send().await?;
    assert_eq!(answer.status, 200);
    let seen = stage.upstream.last("/public/a")?;
    assert_eq!(
        (seen.value("x-real-name"), seen.value("x-user")),
        (Some("1".into()), Some("2".into()))
    );
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_property_is_absent_whatever_a_client_sends() -> Result<()> {
    let stage = Stage::new("attack-headers-absent").await?;
    stage.issuer.set_user(User::new("carol", "carol").email(""));
    for (who, absent) in [("bob", &["groups"][..]), ("carol", &["groups", "email"])] {
        let cookie = stage.sign_in(who).await?;
        let mut ask = stage.get("/echo").header("Cookie", &cookie);
        for name in IDENTITY {
            ask = ask.header(name, "mallory-admins").header(&name.to_lowercase(), "mallory");
        }
        assert_eq!(ask.send().await?.status, 200);
        let seen = stage.upstream.last("/echo")?;
        is_unspoilt(&seen, b"everything");
        for name in absent {
            assert_eq!(seen.values(&format!("x-forwarded-{name}")), Vec::<String>::new(), "{who}");
        }
        assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some(who));
    }
    let cookie = stage.sign_in("alice").await?;
    stage.get("/echo").header("Cookie", &cookie).send().await?;
    assert_eq!(stage.upstream.last("/echo")?.value("x-forwarded-groups").as_deref(), Some("/lab"));
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_list_removes_no_field_of_the_gateway() -> Result<()> {
    let stage = Stage::new("attack-headers-connection").await?;
    let cookie = stage.sign_in("alice").await?;
    stage.get("/echo").header("Cookie", &cookie).send().await?;
    let usual = stage.upstream.last("/echo")?;
    let names: Vec<String> = usual.fields().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 10, "{names:?}");
    let mut lists: Vec<String> = names.clone();
    lists.extend(names.iter().map(|name| format!("close, {}", name.to_uppercase())));
    lists.extend(names.iter().map(|name| format!(" ,,{name} ,\t{name}, keep-alive,")));
    lists.push(names.join(", "));
    lists.push(format!("{}\r\nConnection: close", names.join("\r\nConnection: ")));
    for list in lists {
        let head = format!(
            "GET /echo HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\nConnection: {list}\r\n\r\n"
        );
        let before = stage.upstream.requests().len();
        assert_eq!(stage.raw(head).await?.status(), 200, "{list:?}");
        let seen = stage.upstream.requests().split_off(before);
        let now: Vec<String> = seen[0].fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(now, names, "Connection: {list}");
        for name in
            ["x-forwarded-user", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "host"]
        {
            assert_eq!(seen[0].value(name), usual.value(name), "Connection: {list}");
        }
    }
    // A body keeps its framing, and the client's own listed fields are removed.
    let answer = stage
        .post("/echo")
        .header("Cookie", &cookie)
        .header("Connection", "Content-Length, Transfer-Encoding, X-Hop")
        .header("X-Hop", "mallory")
        .header("X-End", "kept")
        .body("hello")
        .send()
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = stage.upstream.last("/echo")?;
    assert_eq!((seen.body.as_slice(), seen.value("x-hop")), (&b"hello"[..], None));
    assert_eq!(seen.value("x-end").as_deref(), Some("kept"));
    // A client that lists its own cookie is signed out.
    let signed_out =
        stage.get("/echo").header("Cookie", &cookie).header("Connection", "Cookie").send().await?;
    assert_eq!(signed_out.status, 401);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_fields_that_may_come_once_none_is_chosen() -> Result<()> {
    let stage = Stage::new("attack-headers-twice").await?;
    let alice = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let bearer = format!("Bearer {token}");
    let good = stage.get("/admin").bearer(&token).send().await?;
    assert_eq!(good.status, 200, "the neighbour: {good:?}");
    let before = stage.upstream.requests().len();
    for (name, one, other) in [
        ("Authorization", &*bearer, &*bearer),
        ("Authorization", &bearer, "Basic bWFsbG9yeTp4"),
        ("authorization", "Basic bWFsbG9yeTp4", &bearer),
        ("Host", "HOST", "HOST"),
        ("Origin", "http://HOST", "http://evil.test"),
        ("Content-Type", "text/plain", "application/json"),
        ("Sec-Fetch-Mode", "navigate", "cors"),
        ("Sec-Fetch-Site", "same-origin", "cross-site"),
        ("Cookie", &alice, "a=b"),
        ("Cookie", &alice, &alice),
        ("Upgrade", "websocket", "h2c"),
    ] {
        for target in ["/public/a", "/admin", "/oauth2/userinfo"] {
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: HOST\r\n{name}: {one}\r\nX-Between: 1\r\n{name}: {other}\r\n\r\n"
            );
            let answer = stage.raw(head).await?;
            assert_eq!((answer.status(), answer.closed), (400, true), "{name} on {target}");
        }
    }
    assert_eq!(stage.upstream.requests().len(), before);
    // One good and one bad session cookie in one field: neither counts. Lists that may be lists stay lists.
    for cookies in [format!("{alice}; {alice}"), format!("doorward=x; {alice}")] {
        assert_eq!(stage.get("/echo").header("Cookie", cookies).send().await?.status, 401);
    }
    let lists = stage
        .get("/public/list")
        .header("Accept", "a/b")
        .header("Accept", "c/d")
        .header("X-A", "1")
        .header("X-A", "2");
    assert_eq!(lists.send().await?.status, 200);
    let seen = stage.upstream.last("/public/list")?;
    assert_eq!(
        (seen.values("accept").join(","), seen.values("x-a").join(",")),
        ("a/b,c/d".into(), "1,2".into())
    );
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_never_become_header_fields() -> Result<()> {
    let stage = Stage::new("attack-headers-trailers").await?;
    let alice = stage.sign_in("alice").await?;
    for trailer in [
        "X-Forwarded-User: mallory",
        "Authorization: Bearer mallory",
        "Cookie: mallory=1",
        "Content-Length: 5\r\nX-Mallory: mallory",
        "Transfer-Encoding: mallory",
        "Host: mallory.test",
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Groups: mallory",
        "X-Checksum: mallory",
    ] {
        for announced in ["", "Trailer: X-Forwarded-User, Cookie, X-Checksum\r\nTE: trailers\r\n"] {
            let head = format!(
                "POST /echo HTTP/1.1\r\nHost: HOST\r\nCookie: {alice}\r\n{announced}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"
            );
            assert_eq!(stage.raw(head).await?.status(), 200, "{trailer}");
            let seen = stage.upstream.last("/echo")?;
            // A harmless trailer arrives as a trailer when it was announced.
            let harmless = !announced.is_empty() && trailer.starts_with("X-Checksum");
            let arrived =
                if harmless { vec!["x-checksum: mallory".to_owned()] } else { Vec::new() };
            assert_eq!(
                (seen.body.as_slice(), &seen.trailers),
                (&b"hello"[..], &arrived),
                "{trailer}"
            );
            is_unspoilt(&seen, trailer.as_bytes());
            let names = if announced.is_empty() { vec![] } else { vec!["x-checksum".to_owned()] };
            assert_eq!(seen.values("trailer"), names);
        }
    }
    for bad in
        ["X_Forwarded_User: mallory", "X : y", " folded: x", "no colon", "X: a\nY: b", "X: \u{0}"]
    {
        let before = stage.upstream.requests().len();
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: HOST\r\nCookie: {alice}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{bad}\r\n\r\n"
        );
        let answer = stage.raw(head).await?;
        assert!(answer.closed && answer.status() != 200, "{bad:?}: {answer:?}");
        assert_eq!(stage.upstream.requests().len(), before, "{bad:?} completed upstream");
    }
    stage.finish(&[&alice])
}
