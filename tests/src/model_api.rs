//! The answers of a model API, in the form of OpenAI's: a document or a stream of events, with its usage.
//!
//! The query chooses how the answer comes: `piece=1` writes each byte in its own chunk, `crlf=1` ends lines as Windows does,
//! `stall=1` breaks off before the usage, `quiet=1` states none.

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::upstream::{Recorded, number};

/// Tokens that every answer states: of the request, of the answer.
pub const TOKENS: (u64, u64) = (12, 30);

/// Words of an answer, each an event of a stream.
const WORDS: [&str; 4] = ["Tokens", " \"usage\": {\"total_tokens\": 9}", " \\ é", " end"];

/// Answers one request.
pub(crate) async fn answer(stream: &mut TcpStream, request: &Recorded, query: &str) -> Result<()> {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = asked.get("model").and_then(Value::as_str).unwrap_or("llama-3:8b");
    let (prompt, completion) = TOKENS;
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "completion_tokens_details": { "reasoning_tokens": 3 },
    });
    let states = number(query, "quiet", 0) == 0;
    let streams = asked.get("stream") == Some(&json!(true));
    let (media_type, text) = if streams {
        let wants_usage = asked.pointer("/stream_options/include_usage") == Some(&json!(true));
        ("text/event-stream", events(model, (states && wants_usage).then_some(usage)))
    } else {
        let content = WORDS.concat();
        let mut document = json!({
            "id": "chat-1", "object": "chat.completion", "model": model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": content } }],
        });
        if let (true, Some(members)) = (states, document.as_object_mut()) {
            members.insert("usage".to_owned(), usage);
        }
        ("application/json", document.to_string())
    };
    let text = match number(query, "crlf", 0) {
        0 => text,
        _ => text.replace('\n', "\r\n"),
    };
    let stalls = number(query, "stall", 0) == 1;
    let end =
        if stalls { text.find("usage\":{\"comp").unwrap_or(text.len() / 2) } else { text.len() };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let size = usize::try_from(number(query, "piece", 4096))?;
    for piece in text.as_bytes().get(..end).unwrap_or_default().chunks(size.max(1)) {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk).await?;
        stream.flush().await?;
    }
    if stalls {
        // Until the client leaves.
        std::future::pending::<()>().await;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(())
}

fn events(model: &str, usage: Option<Value>) -> String {
    let chunk = |choices: Value, usage: &Value| {
        let chunk = json!({
            "id": "chat-1", "object": "chat.completion.chunk", "model": model, "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let mut text = String::from(": the stream begins\n\n");
    for word in WORDS {
        let choices = json!([{ "index": 0, "delta": { "content": word } }]);
        text.push_str(&chunk(choices, &Value::Null));
    }
    if let Some(usage) = usage {
        text.push_str(&chunk(json!([]), &usage));
    }
    text.push_str("data: [DONE]\n\n");
    text
}
