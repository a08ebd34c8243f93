//! The result does not depend on how the bytes arrive.

use proptest::prelude::*;

use super::{
    super::cases::{CHUNKS, CONTENT_LENGTHS, TRANSFER_ENCODINGS},
    *,
};

/// Inputs of every kind: the tables above, and pipelines of valid and invalid requests.
fn inputs() -> Vec<String> {
    let good = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let trailing = with("Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\nT: x\r\nU: y\r\n\r\n";
    let mut all: Vec<String> =
        TRANSFER_ENCODINGS.iter().map(|field| good.to_owned() + &with(field)).collect();
    all.extend(
        CONTENT_LENGTHS
            .iter()
            .map(|value| good.to_owned() + &with(&format!("Content-Length: {value}"))),
    );
    all.extend(CHUNKS.iter().map(|body| with("Transfer-Encoding: chunked") + body + good));
    all.push(trailing.clone() + good + &trailing + &with("Content-Length: 3") + "abc" + good);
    all.push(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a\r".repeat(5000)));
    all.push(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000)));
    all.push(with(&format!("X: {}\rb", "a".repeat(32 * 1024 - 50))));
    all.push(with(&"X: a\r\n".repeat(6000)));
    all
}

#[test]
fn single_bytes_give_the_same_result() {
    for input in inputs() {
        let bytes = input.as_bytes();
        assert_eq!(feed(bytes.chunks(1)), whole(bytes), "{:?}", input.get(..200).unwrap_or(&input));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_result(which in 0..inputs().len(), cuts in prop::collection::vec(1..40_usize, 1..60)) {
        let input = inputs().swap_remove(which);
        let mut rest = input.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        pieces.push(rest);
        prop_assert_eq!(feed(pieces), whole(input.as_bytes()));
    }

    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = whole(&input);
    }

    #[test]
    fn fragments_of_http_never_disagree_with_their_splits(
        words in prop::collection::vec(prop::sample::select(vec![
            "GET ", "/ ", "HTTP/1.1", "\r\n", "Host: a\r\n", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n", "0", "1", "\r", "\n", "xy", ":", " ",
        ]), 0..16),
    ) {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", words.concat());
        prop_assert_eq!(feed(input.as_bytes().chunks(1)), whole(input.as_bytes()));
    }
}
