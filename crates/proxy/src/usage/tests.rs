use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::*;

const CHAT: &str = r#"{"id":"x\"usage\":1","object":"chat.completion","model":"llama-3:8b","choices":[{"message":
    {"content":"say \"usage\": {\"total_tokens\": 9}","usage":{"total_tokens":1}}}],
    "usage":{"prompt_tokens":12,"completion_tokens":30,"total_tokens":42,"details":{"a":[1,{"b":"}"}]}}}"#;

const STREAM: &str = "\u{feff}: hello\r\n\r\nevent: chunk\r\ndata: {\"model\":\"m\",\"choices\":[],\"usage\":null}\r\n\r\n\
    data:{\"choices\":[],\r\ndata: \"us\\u0061ge\":{\"prompt_tokens\":7,\ndata:\"completion_tokens\":5}}\r\r\
    data: [DONE]\n\n";

/// The usage and the model of text that arrives in these pieces.
fn read<'p>(
    mut reader: UsageReader,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Option<Usage>, String) {
    pieces.into_iter().for_each(|piece| reader.read(piece));
    reader.end();
    (reader.usage(), reader.model().unwrap_or("-").to_owned())
}

fn usage(input: u64, output: u64, total: u64) -> Option<Usage> {
    Some(Usage { total, input, output })
}

#[test]
fn usage_is_found_wherever_the_pieces_end() {
    let answers = [
        (CHAT, UsageReader::of_document as fn() -> UsageReader, usage(12, 30, 42), "llama-3:8b"),
        (STREAM, UsageReader::of_events, usage(7, 5, 12), "m"),
    ];
    for (text, reader, expected, model) in answers {
        let bytes = text.as_bytes();
        let expected = (expected, model.to_owned());
        for end in 0..=bytes.len() {
            let (first, second) = bytes.split_at(end);
            assert_eq!(read(reader(), [first, second]), expected, "{end}");
        }
        assert_eq!(read(reader(), bytes.chunks(1)), expected);
    }
}

#[test]
fn usage_of_a_response_is_one_level_deeper() {
    let text = br#"{"type":"response.completed","response":{"id":"r","model":"m","output":[{"usage":{"total_tokens":9}}],
        "usage":{"input_tokens":3,"output_tokens":4,"total_tokens":9}},"sequence_number":4}"#;
    let expected = (usage(3, 4, 9), "m".to_owned());
    assert_eq!(read(UsageReader::of_document(), [text.as_slice()]), expected);
    let deeper =
        br#"{"a":{"usage":{"total_tokens":9}},"response":["usage",{"usage":{"total_tokens":9}}]}"#;
    assert_eq!(read(UsageReader::of_document(), [deeper.as_slice()]), (None, "-".to_owned()));
}

#[test]
fn the_largest_usage_counts() {
    let text = "data: {\"usage\":{\"total_tokens\":5}}\n\ndata: {\"usage\":{\"total_tokens\":9}}\n\n\
        data: {\"usage\":{\"total_tokens\":7},\"usage\":{\"total_tokens\":2}}\n\n";
    assert_eq!(read(UsageReader::of_events(), [text.as_bytes()]).0, usage(0, 0, 9));
    let unended = "data: {\"usage\":{\"total_tokens\":5}}";
    assert_eq!(read(UsageReader::of_events(), [unended.as_bytes()]).0, usage(0, 0, 5));
}

#[test]
fn what_is_no_usage_counts_as_unknown() {
    let long = format!("{{\"usage\":{{\"total_tokens\":5,\"x\":\"{}\"}}}}", "y".repeat(20_000));
    for odd in [
        "",
        "null",
        "[{\"usage\":{\"total_tokens\":5}}]",
        "{\"usage\":{}}",
        "{\"usage\":5}",
        "{\"usage\":{\"total_tokens\":-5}}",
        "{\"usage\":{\"total_tokens\":\"5\"}}",
        "{\"usage\":{\"total_tokens\":1,\"total_tokens\":2}}",
        "}}]]{{\"usage\":{\"total_tokens\":5}",
        "{\"Usage\":{\"total_tokens\":5}}",
        &long,
    ] {
        assert_eq!(read(UsageReader::of_document(), [odd.as_bytes()]).0, None, "{odd:.80}");
    }
    let huge =
        format!("{{\"usage\":{{\"prompt_tokens\":{0},\"completion_tokens\":{0}}}}}", u64::MAX);
    let all = read(UsageReader::of_document(), [huge.as_bytes()]).0;
    assert_eq!(all, usage(u64::MAX, u64::MAX, u64::MAX));
}

#[test]
fn only_a_plain_answer_that_succeeded_is_read() {
    let of = |status: u16, fields: &[(header::HeaderName, &'static str)]| {
        let fields =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        UsageReader::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::from_iter(fields))
    };
    let json = || (header::CONTENT_TYPE, "Application/JSON; charset=utf-8");
    assert!(of(200, &[json()]).is_some_and(|reader| !reader.is_stream()));
    let events = || (header::CONTENT_TYPE, "text/event-stream");
    assert!(of(200, &[events()]).is_some_and(|reader| reader.is_stream()));
    assert!(of(400, &[json()]).is_none());
    assert!(of(200, &[(header::CONTENT_TYPE, "text/html")]).is_none());
    assert!(of(200, &[json(), (header::CONTENT_ENCODING, "gzip")]).is_none());
    assert!(of(200, &[json(), (header::CONTENT_ENCODING, "identity")]).is_some());
}

#[test]
fn a_request_says_whether_its_stream_states_usage() {
    for (body, expected) in [
        (r#"{"messages":[]}"#, Question::Document),
        (r#"{"stream":false,"stream_options":{}}"#, Question::Document),
        (r#"{"stream":null}"#, Question::Document),
        (r#"{"stream":true}"#, Question::StreamWithoutUsage),
        (r#"{"stream":true,"stream_options":null}"#, Question::StreamWithoutUsage),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            Question::StreamWithoutUsage,
        ),
        (r#"{"str\u0065am":true,"stream_options":{"include_usage":true}}"#, Question::Stream),
    ] {
        assert_eq!(question(body.as_bytes()), Ok(expected), "{body}");
    }
}

#[test]
fn a_request_with_two_readings_is_refused() {
    for body in [
        "",
        "[]",
        r#"{"stream":false}{"stream":true}"#,
        r#"{"stream":false,"stream":true}"#,
        r#"{"stream":false,"str\u0065am":true}"#,
        r#"{"Stream":true}"#,
        r#"{"stream":1}"#,
        r#"{"stream":"true"}"#,
        r#"{"stream":true,"stream_options":{"include_usage":1}}"#,
        r#"{"stream":true,"stream_options":[]}"#,
        r#"{"stream":true,"stream_options":{"include_usage":true},"STREAM_OPTIONS":{}}"#,
        "\u{feff}{}",
    ] {
        assert!(question(body.as_bytes()).is_err(), "{body}");
    }
}
