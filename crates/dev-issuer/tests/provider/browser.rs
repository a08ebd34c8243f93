//! A browser with the parts that logins need: cookies and forms, no automatic redirects.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once};

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

/// An HTTP client for programs: follows no redirects, keeps no cookies.
pub(crate) fn http() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

pub(crate) struct Browser {
    http: Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self { http: http(), cookies: Mutex::default() }
    }

    pub(crate) async fn open(&self, url: &str) -> Page {
        self.send(self.http.get(url)).await
    }

    /// Sends the page's form with its hidden `csrf` and these fields.
    pub(crate) async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let csrf = page.csrf();
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend(fields);
        self.send(self.http.post(page.action()).form(&form)).await
    }

    /// Opens the URL and signs in on the login page. Returns the URL of the redirect.
    pub(crate) async fn sign_in(&self, url: &str, name: &str, password: &str) -> String {
        let page = self.open(url).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let answer = self.submit(&page, &[("username", name), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.location.unwrap()
    }

    async fn send(&self, request: RequestBuilder) -> Page {
        let cookies: Vec<String> = self
            .cookies
            .lock()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        self.keep_cookies(&response);
        Page {
            status: response.status(),
            location: response.headers().get(LOCATION).map(|l| l.to_str().unwrap().to_owned()),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    fn keep_cookies(&self, response: &Response) {
        let mut cookies = self.cookies.lock().unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax"), "{line}");
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match line.contains("Max-Age=0") {
                true => drop(cookies.remove(name)),
                false => drop(cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
    }
}

impl Page {
    pub(crate) fn csrf(&self) -> String {
        self.between("name=\"csrf\" value=\"", "\"")
    }

    fn action(&self) -> String {
        self.between("action=\"", "\"").replace("&#38;", "&")
    }

    fn between(&self, before: &str, after: &str) -> String {
        let (_, rest) = self.text.split_once(before).unwrap();
        rest.split_once(after).unwrap().0.to_owned()
    }
}
