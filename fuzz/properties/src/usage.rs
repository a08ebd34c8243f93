//! Usage of a model API: found wherever the pieces of an answer end, and asked for in one way only.

use doorward::usage::{Question, Usage, UsageReader, question};
use serde_json::Value;

/// The first byte is the size of the pieces; the rest is an answer in both forms, and a request.
pub fn usage(data: &[u8]) {
    let Some((&size, text)) = data.split_first() else { return };
    for reader in [UsageReader::of_document as fn() -> UsageReader, UsageReader::of_events] {
        let whole = read(reader(), [text]);
        assert_eq!(read(reader(), text.chunks(usize::from(size).max(1))), whole);
        assert_eq!(read(reader(), text.chunks(1)), whole);
        assert!(whole.1.is_none_or(|model| model.len() <= 256));
    }
    // A reader that takes the last of two members finds no stream where the gateway finds none.
    if let (Ok(Question::Document), Ok(request)) =
        (question(text), serde_json::from_slice::<Value>(text))
    {
        assert!(request["stream"].as_bool() != Some(true));
    }
}

fn read<'p>(
    mut reader: UsageReader,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Option<Usage>, Option<String>) {
    pieces.into_iter().for_each(|piece| reader.read(piece));
    reader.end();
    if let Some(usage) = reader.usage() {
        assert!(usage.total >= usage.input.max(usage.output));
    }
    (reader.usage(), reader.model().map(str::to_owned))
}
