//! `login`: by the browser, on another device, and a second time.

use crate::desk::{Desk, Running, browser, files_in, mode};

#[tokio::test]
async fn a_browser_login_prints_the_user_and_its_end() {
    let desk = Desk::new().await;
    let ran = desk.sign_in("alice", "cli", &[]).await.ended(0);
    assert!(ran.out.contains("Open this page in a browser"), "{}", ran.out);
    assert!(ran.out.contains("Signed in as alice at "), "{}", ran.out);
    assert!(ran.out.contains("the login ends ") && ran.out.contains("(in 29m "), "{}", ran.out);
    let (file, login) = desk.kept();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    for secret in ["access_token", "refresh_token", "id_token"] {
        let secret = login["tokens"][secret].as_str().unwrap();
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret));
    }
}

#[tokio::test]
async fn a_device_login_prints_a_code() {
    let desk = Desk::new().await;
    let arguments = [desk.as_client("login", "cli"), vec!["--device"]].concat();
    let mut login = Running::start(&mut desk.command(&arguments));
    let link = login.line_with("?user_code=").await;
    allow(link.trim()).await;
    let ran = login.end().await.ended(0);
    assert!(ran.out.contains("and type the code"), "{}", ran.out);
    assert!(ran.out.contains("Signed in as alice"), "{}", ran.out);
    desk.run(&["token"]).await.ended(0);
}

/// As a person with another device: opens the link, signs in, allows.
async fn allow(link: &str) {
    let page = browser().get(link).send().await.unwrap();
    let cookies: Vec<String> = page
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
        .collect();
    let text = page.text().await.unwrap();
    let csrf = text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let code = link.split("user_code=").nth(1).unwrap();
    let form = [
        ("csrf", csrf),
        ("user_code", code),
        ("username", "alice"),
        ("password", "alice"),
        ("answer", "allow"),
    ];
    let to = link.split('?').next().unwrap();
    let request = browser().post(to).header("cookie", cookies.join("; ")).form(&form);
    let answer = request.send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("connected"));
}

#[tokio::test]
async fn a_second_login_needs_no_arguments() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let mut again = Running::start(&mut desk.command(&["login", "--no-browser"]));
    let page = again.line_with("/protocol/openid-connect/auth?").await;
    browser().get(desk.issuer.sign_in(page.trim(), "bob").unwrap()).send().await.unwrap();
    let ran = again.end().await.ended(0);
    assert!(ran.out.contains("Signed in as bob"), "{}", ran.out);
    assert_eq!(desk.kept().1["name"], "bob");
}

#[tokio::test]
async fn an_unfinished_or_refused_login_keeps_nothing() {
    let desk = Desk::new().await;
    let arguments =
        [desk.as_client("login", "cli"), vec!["--no-browser", "--wait", "50ms"]].concat();
    let ran = desk.run(&arguments).await.ended(1);
    assert!(ran.err.contains("no sign-in within"), "{}", ran.err);
    let ran =
        desk.run(&[desk.as_client("login", "stranger"), vec!["--device"]].concat()).await.ended(1);
    assert!(ran.err.contains("client"), "{}", ran.err);
    assert!(files_in(&desk.path("home/.local/state/doorward/logins")).is_empty());
}

#[tokio::test]
async fn ctrl_c_ends_a_login_that_waits() {
    let desk = Desk::new().await;
    let arguments = [desk.as_client("login", "cli"), vec!["--no-browser"]].concat();
    let mut login = Running::start(&mut desk.command(&arguments));
    login.line_with("login --device").await;
    let ran = login.signalled("-INT").await;
    assert_eq!((ran.signal, ran.err.as_str()), (Some(2), ""), "{ran:?}");
    assert!(files_in(&desk.path("home/.local/state/doorward/logins")).is_empty());
}

#[tokio::test]
async fn issuer_and_client_are_required_without_a_login() {
    let desk = Desk::new().await;
    let ran = desk.run(&["login"]).await.ended(2);
    assert!(ran.err.contains("--issuer URL --client-id ID"), "{}", ran.err);
}

#[tokio::test]
async fn the_browser_is_opened_where_there_is_one() {
    let desk = Desk::new().await;
    let opened = desk.path("opened");
    std::fs::create_dir(desk.path("bin")).unwrap();
    let script = desk.write(
        "bin/xdg-open",
        &format!("#!/bin/sh\necho noise\nprintf %s \"$1\" > {}\n", opened.display()),
    );
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = desk.command(&desk.as_client("login", "cli"));
    let path = format!("{}:/usr/bin:/bin", desk.path("bin").display());
    let mut login = Running::start(command.env("PATH", path).env("DISPLAY", ":0"));
    let page = login.line_with("/protocol/openid-connect/auth?").await;
    let asked = crate::desk::until("the browser", || {
        std::fs::read_to_string(&opened).ok().filter(|url| !url.is_empty())
    })
    .await;
    assert_eq!(asked, page.trim());
    browser().get(desk.issuer.sign_in(&asked, "alice").unwrap()).send().await.unwrap();
    let ran = login.end().await.ended(0);
    assert!(ran.out.contains("Your browser opens this page"), "{}", ran.out);
    assert!(!ran.out.contains("noise"));
}
