//! Forward-auth with `?sign_in=redirect`: whatever address a question is about, a browser is sent to the gateway's own pages only,
//! and back to the host that it asked.

use anyhow::{Context as _, Result};
use url::Url;

use crate::stage::{Setup, Stage};

const ROUTES: &str = "\
asked:
  match: { host: app.localhost, path: / }
  access: [{ allow: signed_in }]
";

/// The answer to a browser's question by the fields that Traefik sends, with these in place of its own.
async fn asked(stage: &Stage, uri: &str, host: &str, more: &str) -> Result<(u16, String)> {
    let head = format!(
        "GET /oauth2/auth?sign_in=redirect HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n\
         Sec-Fetch-Mode: navigate\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: {host}\r\nX-Forwarded-Uri: {uri}\r\nX-Forwarded-For: 192.0.2.7\r\n{more}\r\n"
    );
    let answer = stage.raw(head).await?;
    let first = answer.first()?;
    Ok((first.status, first.header("location").to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_s_redirect_stays_on_its_host() -> Result<()> {
    let setup = Setup::new("attack-question-addresses").with_routes(ROUTES).trusting_proxies();
    let stage = setup.start().await?;
    let port = stage.world.public_port();
    let own = format!("http://app.localhost:{port}");
    for (uri, back) in [
        ("/a", "/a"),
        ("/a?b=c&d", "/a?b=c&d"),
        ("/@evil.test", "/@evil.test"),
        ("/https://evil.test", ""),
        ("/a?rd=https://evil.test", "/a?rd=https://evil.test"),
        ("/a?rd=//evil.test&rd=/b&issuer=none", "/a?rd=//evil.test&rd=/b&issuer=none"),
        ("/a?sign_in=none", "/a?sign_in=none"),
        ("https://app.localhost/a", "/a"),
        ("", ""),
        ("evil.test", ""),
        ("//evil.test/x", ""),
        ("///evil.test/x", ""),
        ("/\\evil.test", ""),
        ("/%5Cevil.test", ""),
        ("/%09/evil.test", ""),
        ("/.//evil.test", ""),
        ("/%2F/evil.test", ""),
        ("/a#//evil.test", ""),
        ("/%0d%0aLocation:%20https://evil.test", ""),
        ("https://evil.test/x", ""),
        ("https://app.localhost@evil.test/x", ""),
        ("https://evil.test\\@app.localhost/x", ""),
        ("javascript:alert(1)", ""),
        ("javascript://app.localhost/%0aalert(1)", ""),
        ("data:text/html,x", ""),
    ] {
        let (status, location) = asked(&stage, uri, "app.localhost", "").await?;
        if status != 302 {
            assert_eq!((status, location.as_str()), (403, ""), "{uri}");
            assert!(back.is_empty(), "{uri}: refused");
            continue;
        }
        let url: Url = location.parse().context(uri)?;
        assert_eq!(url.origin().ascii_serialization(), own, "{uri}: {location}");
        assert_eq!(url.path(), "/oauth2/start", "{uri}: {location}");
        let returns: Vec<String> = url
            .query_pairs()
            .filter(|(name, _)| name == "rd")
            .map(|(_, value)| value.into_owned())
            .collect();
        let [rd] = returns.as_slice() else { anyhow::bail!("{uri}: {location}") };
        assert!(rd.starts_with('/') && !rd.starts_with("//") && !rd.contains('\\'), "{location}");
        if !back.is_empty() {
            assert_eq!(rd, back, "{uri}");
        }
    }
    for host in [
        "evil.test",
        "app.localhost@evil.test",
        "evil.test\\app.localhost",
        "app.localhost, evil.test",
        "app.localhost.evil.test",
        "app.localhost/evil",
        "app.localhost:80:80",
        "app.localhost:x",
        "",
    ] {
        let (status, location) = asked(&stage, "/a", host, "").await?;
        assert_ne!(status, 202, "{host}");
        assert_eq!(location, "", "{host}: no redirect for a host that is not configured");
    }
    for more in [
        "X-Original-URL: https://evil.test/a\r\n",
        "X-Original-URI: //evil.test\r\n",
        "X-Rewrite-URL: //evil.test\r\n",
        "X-Forwarded-Host: evil.test\r\n",
        "X-Forwarded-Uri: //evil.test\r\n",
        "Forwarded: for=1.1.1.1;host=evil.test;proto=javascript\r\n",
    ] {
        let (status, location) = asked(&stage, "/a", "app.localhost", more).await?;
        assert_eq!((status, location.as_str()), (403, ""), "{more}");
    }
    // What the fields say of scheme, port and prefix is not repeated.
    for more in [
        "X-Forwarded-Port: 1\r\n",
        "X-Forwarded-Prefix: //evil.test\r\n",
        "X-Forwarded-Scheme: javascript\r\n",
        "X-Auth-Request-Redirect: https://evil.test\r\n",
    ] {
        let (status, location) = asked(&stage, "/a", "app.localhost", more).await?;
        assert_eq!((status, location), (302, format!("{own}/oauth2/start?rd=/a")), "{more}");
    }
    stage.finish(&[])
}
