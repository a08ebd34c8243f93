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

fn logged(log: impl FnOnce()) -> Vec<Value> {
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .fmt_fields(JsonLines)
        .event_format(JsonLines)
        .finish();
    tracing::subscriber::with_default(subscriber, log);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
