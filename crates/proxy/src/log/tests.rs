use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of events, as a log of JSON has them.
pub(crate) fn of_events(log: impl FnOnce()) -> String {
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .fmt_fields(JsonLines)
        .event_format(JsonLines)
        .finish();
    tracing::subscriber::with_default(subscriber, log);
    String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
}

/// A line that is written without an event.
pub(crate) fn of_fields(
    level: Level,
    message: &str,
    has_id: bool,
    fields: impl FnOnce(&mut Line<'_>),
) -> String {
    let mut buffer = Vec::new();
    line::compose(&mut buffer, (level, message), has_id, fields);
    String::from_utf8(buffer).unwrap()
}

fn logged(log: impl FnOnce()) -> Vec<Value> {
    of_events(log).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_is_an_object_with_time_level_message_and_fields() {
    let lines = logged(|| tracing::info!(status = 200_u16, ok = true, user = "alice", "request"));
    let [line] = lines.as_slice() else { panic!("not one line") };
    assert_eq!(line["level"], "info");
    assert_eq!(line["msg"], "request");
    assert_eq!(line["status"], 200);
    assert_eq!(line["ok"], true);
    assert_eq!(line["user"], "alice");
    assert!(line["ts"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_clients_text_cannot_forge_a_line_or_a_field() {
    let nasty = "x\"}\n{\"level\":\"error\",\"msg\":\"forged\\ \u{7f} \u{85} é 😀";
    let lines = logged(|| tracing::info!(path = nasty, reason = %nasty, "request"));
    let [line] = lines.as_slice() else { panic!("not one line") };
    assert_eq!(line["path"], json!(nasty));
    assert_eq!(line["reason"], json!(nasty));
    assert_eq!(line["msg"], "request");
}

#[test]
fn each_line_of_a_request_has_its_id() {
    let lines = logged(|| {
        let span = tracing::error_span!("request", request_id = %"r-1\"");
        span.in_scope(|| {
            tracing::warn!(route = "app", "upstream unavailable");
            tracing::info!(request_id = "r-2", "its own");
        });
        tracing::info!("outside");
    });
    assert_eq!(lines[0]["request_id"], "r-1\"");
    assert_eq!(lines[0]["route"], "app");
    assert_eq!(lines[1]["request_id"], "r-2");
    assert!(lines[2].get("request_id").is_none());
}

#[tokio::test]
async fn lines_of_a_request_without_a_span_have_its_id() {
    let headers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("x-request-id"),
        http::HeaderValue::from_static("request-1"),
    )]);
    let id = http_canonical::RequestId::given(&headers).unwrap();
    let lines = of_request::within(&id, async {
        let mut lines = logged(|| {
            tracing::warn!(route = "app", "upstream unavailable");
            tracing::info!(request_id = "r-2", "its own");
        });
        let direct = of_fields(Level::INFO, "request", false, |_| {});
        lines.push(serde_json::from_str(&direct).unwrap());
        lines
    });
    let lines = lines.await;
    assert_eq!(lines[0]["request_id"], "request-1");
    assert_eq!(lines[1]["request_id"], "r-2");
    assert_eq!(lines[2]["request_id"], "request-1");
    assert!(logged(|| tracing::info!("outside"))[0].get("request_id").is_none());
}

#[test]
fn a_line_without_an_event_escapes_as_events_do() {
    for text in ["plain", "x\"}\n{\"level\":\"error\\ \u{7f} \u{85}\u{9f}\u{a0} é 😀", "\0\t\u{1f}"]
    {
        let event = of_events(|| tracing::info!(path = text, reason = %text, count = 0, "request"));
        let line = of_fields(Level::INFO, "request", false, |line| {
            line.text("path", text);
            line.display("reason", text);
            line.number("count", 0);
        });
        assert_eq!(after_time(&line), after_time(&event));
    }
    let numbers = of_fields(Level::WARN, "m", false, |line| {
        line.number("a", 10);
        line.number("b", u64::MAX);
    });
    assert!(
        numbers
            .ends_with(",\"level\":\"warn\",\"msg\":\"m\",\"a\":10,\"b\":18446744073709551615}\n")
    );
}

/// A line without its first field, the time.
pub(crate) fn after_time(line: &str) -> &str {
    line.split_once(',').unwrap().1
}
