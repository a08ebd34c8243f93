//! Paths that the upstream names in its responses, below a removed prefix.

use super::{super::*, fixtures::*};
use crate::upstream::Rewrite;

/// The route `/app`, whose upstream does not see the prefix.
fn below_app(raw: &Raw) -> Arc<Route> {
    let mut route = route(&[raw.url()]);
    let rewrite = Rewrite {
        strip_prefix: Some("/app".parse().unwrap()),
        own_urls: Some("/oauth2".parse().unwrap()),
        ..Rewrite::default()
    };
    route.upstream = route.upstream.map(|upstream| upstream.with_rewrite(rewrite));
    Arc::new(route)
}

async fn answered(stage: &Stage, raw: &Raw, route: &Arc<Route>, fields: &str) -> HeaderMap {
    let answer = format!("HTTP/1.1 302 Found\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
    let (response, _) = tokio::join!(stage.ask(route, get("/app/x")), raw.serve_one(&answer));
    response.unwrap().headers().clone()
}

#[tokio::test]
async fn redirects_and_cookies_return_under_the_prefix() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = below_app(&raw);
    let own = format!("Location: {}/a?b#c", raw.url());
    for (fields, name, public) in [
        ("Location: /status", "location", "/app/status"),
        ("Location: /", "location", "/app/"),
        ("Location: https://platform.example/x", "location", "/app/x"),
        ("Location: http://platform.example/x", "location", "/app/x"),
        (own.as_str(), "location", "/app/a?b#c"),
        ("Location: /app/known", "location", "/app/known"),
        ("Location: relative/x", "location", "relative/x"),
        ("Location: /oauth2/sign_out", "location", "/oauth2/sign_out"),
        ("Location: https://elsewhere.example/x", "location", "https://elsewhere.example/x"),
        ("Content-Location: /doc.json", "content-location", "/app/doc.json"),
        ("Refresh: 5; url=/next", "refresh", "5; url=/app/next"),
        ("Refresh: 0;URL='/next'", "refresh", "0; url='/app/next'"),
        ("Refresh: 0, \"/next\"", "refresh", "0, \"/app/next\""),
        ("Refresh: 30", "refresh", "30"),
        ("Set-Cookie: a=/; Path=/; HttpOnly", "set-cookie", "a=/; Path=/app; HttpOnly"),
        ("Set-Cookie: a=1;path= /hub/ ;Secure", "set-cookie", "a=1; Path=/app/hub/;Secure"),
        ("Set-Cookie: a=1; Path=/app/", "set-cookie", "a=1; Path=/app/"),
        ("Set-Cookie: a=1; Secure", "set-cookie", "a=1; Secure"),
        ("Set-Cookie: __Host-a=1; Path=/; Secure", "set-cookie", "__Host-a=1; Path=/; Secure"),
    ] {
        let headers = answered(&stage, &raw, &route, fields).await;
        assert_eq!(headers[name], public, "{fields}");
    }
}

#[tokio::test]
async fn a_mapped_redirect_never_names_another_host() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let own = raw.url();
    let plain = raw.route();
    for (location, public) in [
        (format!("{own}//evil.test/x"), format!("{own}//evil.test/x")),
        (format!("{own}/\\evil.test/x"), format!("{own}/\\evil.test/x")),
        (format!("{own}/x"), "/x".to_owned()),
        ("//evil.test/x".to_owned(), "//evil.test/x".to_owned()),
    ] {
        let headers = answered(&stage, &raw, &plain, &format!("Location: {location}")).await;
        assert_eq!(headers["location"], public);
    }
    let below = below_app(&raw);
    let two = "Location: /a\r\nLocation: /b";
    let headers = answered(&stage, &raw, &below, two).await;
    assert_eq!(headers.get_all("location").iter().collect::<Vec<_>>(), ["/a", "/b"]);
}

#[tokio::test]
async fn the_bare_prefix_is_redirected_to_the_slash() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = below_app(&raw);
    for (asked, location) in [("/app", "/app/"), ("/app?a=b/c", "/app/?a=b/c")] {
        for method in ["GET", "HEAD"] {
            let request = http::Request::builder().method(method).uri(asked);
            let response = stage.ask(&route, request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["location"]),
                (308, &location.parse::<HeaderValue>().unwrap())
            );
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
    }
    assert!(raw.is_untouched().await);
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (response, head) = tokio::join!(stage.ask(&route, post("/app", "x")), raw.serve_one(ok));
    assert_eq!(response.unwrap().status(), 200);
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
}
