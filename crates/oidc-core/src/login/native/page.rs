//! The page for the browser: self-contained, not cached, without scripts.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;min-height:100vh;display:grid;place-items:center;\
font:100%/1.6 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif;background:Canvas;color:CanvasText}\
main{max-width:32rem;padding:2rem}\
h1{font-size:1.5rem;line-height:1.3;margin:0 0 .5rem}\
p{margin:0;overflow-wrap:anywhere}";

/// A page and its status.
pub(super) struct Page {
    status: StatusCode,
    title: &'static str,
    text: String,
}

impl Page {
    pub(super) fn signed_in() -> Self {
        let text = "You may close this window and go back to the program.".to_owned();
        Self { status: StatusCode::OK, title: "You are signed in", text }
    }

    pub(super) fn refused(why: &dyn fmt::Display) -> Self {
        let text = sentence(why);
        Self { status: StatusCode::OK, title: "You are not signed in", text }
    }

    pub(super) fn not_this_login(why: &dyn fmt::Display) -> Self {
        let text = sentence(why);
        Self {
            status: StatusCode::BAD_REQUEST,
            title: "This is not the sign-in that is waited for",
            text,
        }
    }

    pub(super) fn nothing_here(status: StatusCode) -> Self {
        let text = "This address waits for the end of a sign-in.".to_owned();
        Self { status, title: "There is nothing here", text }
    }

    /// The whole answer, head included.
    pub(super) fn to_response(&self) -> String {
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n</main>\n</body>\n</html>\n",
            title = self.title,
            text = escaped(&self.text),
        );
        let allow = match self.status {
            StatusCode::METHOD_NOT_ALLOWED => "Allow: GET\r\n",
            _ => "",
        };
        let style = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
        format!(
            "HTTP/1.1 {status} {reason}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {length}\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'sha256-{style}'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
             Referrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\n\
             {allow}Connection: close\r\n\r\n{body}",
            status = self.status.as_u16(),
            reason = self.status.canonical_reason().unwrap_or_default(),
            length = body.len(),
        )
    }
}

/// A message as a complete sentence.
fn sentence(message: &dyn fmt::Display) -> String {
    let text = message.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).chain(['.']).collect(),
        None => text,
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
