//! Finds the members `usage` and `model` of a JSON document that arrives in pieces.
//!
//! They are members of the document itself, or of its member `response` (the events of the Responses API). Everything else is
//! skipped, so that memory does not grow with the document.

use serde::Deserialize;

use super::Usage;

/// The longest name that is compared, with its escapes.
const LONGEST_NAME: usize = 64;
/// The longest name of a model.
const LONGEST_MODEL: usize = 256;
/// The longest `usage`: details of tokens are in it.
const LONGEST_USAGE: usize = 16 * 1024;

/// Members found in one document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
}

/// Reads one document.
#[derive(Debug, Default)]
pub(super) struct Members {
    depth: usize,
    /// The document is an object.
    is_object: bool,
    /// Within the object `response` of the document.
    in_response: bool,
    text: Text,
    /// The next text is the name of a watched member.
    expects_name: bool,
    /// The text that is being read is such a name.
    is_name: bool,
    name: Vec<u8>,
    kept: Option<Kept>,
    found: Found,
}

/// Place within a text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

/// The value of a watched member, as far as it has arrived.
#[derive(Debug)]
struct Kept {
    member: Member,
    depth: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Usage,
    Model,
    /// Only whether it is an object matters.
    Response,
}

impl Members {
    /// Reads the next piece of the document.
    pub(super) fn read(&mut self, mut piece: &[u8]) {
        while let Some((&byte, rest)) = piece.split_first() {
            if self.text == Text::Inside && !self.is_name && self.kept.is_none() {
                // The long texts of an answer: only their end matters.
                let end = piece.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                let Some((_, rest)) = end.and_then(|end| piece.split_at_checked(end)) else {
                    return;
                };
                if let Some((&end, rest)) = rest.split_first() {
                    self.byte(end);
                    piece = rest;
                    continue;
                }
            }
            self.byte(byte);
            piece = rest;
        }
    }

    /// Members of the document, which ends here; the next piece begins another one.
    pub(super) fn end(&mut self) -> Found {
        std::mem::take(self).found
    }

    fn byte(&mut self, byte: u8) {
        match self.text {
            Text::Outside => return self.outside(byte),
            Text::Escaped => self.text = Text::Inside,
            Text::Inside if byte == b'\\' => self.text = Text::Escaped,
            Text::Inside if byte == b'"' => {
                self.text = Text::Outside;
                if std::mem::take(&mut self.is_name) {
                    return;
                }
            }
            Text::Inside => {}
        }
        if self.is_name && self.name.len() <= LONGEST_NAME {
            self.name.push(byte);
        }
        self.keep(byte);
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.text = Text::Inside;
                self.is_name = std::mem::take(&mut self.expects_name);
                if self.is_name {
                    self.name.clear();
                    return;
                }
                self.keep(byte);
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                let is_response = self.kept.as_ref().is_some_and(|kept| {
                    kept.member == Member::Response && kept.depth + 1 == self.depth
                });
                if self.depth == 1 {
                    self.is_object = byte == b'{';
                } else if is_response {
                    self.kept = None;
                    self.in_response = byte == b'{';
                }
                self.expects_name = self.is_watched();
                self.keep(byte);
            }
            b'}' | b']' => {
                self.close(self.depth);
                self.depth = self.depth.saturating_sub(1);
                if self.depth < 2 {
                    self.in_response = false;
                }
                self.expects_name = false;
                self.keep(byte);
            }
            b',' => {
                self.close(self.depth);
                self.expects_name = self.is_watched();
                self.keep(byte);
            }
            b':' if self.is_watched() && self.kept.is_none() => self.open(),
            other => self.keep(other),
        }
    }

    fn is_watched(&self) -> bool {
        self.is_object && (self.depth == 1 || (self.depth == 2 && self.in_response))
    }

    /// A value of the member with the last name follows.
    fn open(&mut self) {
        let name = std::mem::take(&mut self.name);
        let quoted = [b"\"".as_slice(), &name, b"\""].concat();
        // A name may be written with escapes.
        let name: String = serde_json::from_slice(&quoted).unwrap_or_default();
        let member = match name.as_str() {
            "usage" => Member::Usage,
            "model" => Member::Model,
            "response" if self.depth == 1 => Member::Response,
            _ => return,
        };
        self.kept = Some(Kept { member, depth: self.depth, bytes: Vec::new() });
    }

    fn keep(&mut self, byte: u8) {
        let Some(kept) = &mut self.kept else { return };
        let longest = match kept.member {
            Member::Usage => LONGEST_USAGE,
            Member::Model => LONGEST_MODEL,
            Member::Response => return,
        };
        if kept.bytes.len() < longest {
            kept.bytes.push(byte);
        } else {
            self.kept = None;
        }
    }

    /// The value that is kept at this depth ends.
    fn close(&mut self, depth: usize) {
        let Some(kept) = self.kept.take_if(|kept| kept.depth >= depth) else { return };
        match kept.member {
            Member::Usage => {
                let stated = serde_json::from_slice::<Stated>(&kept.bytes).ok();
                let stated = stated.and_then(Stated::usage);
                // Stated twice: the larger one counts.
                self.found.usage = self.found.usage.max(stated);
            }
            Member::Model => {
                let model = serde_json::from_slice(&kept.bytes).ok();
                self.found.model = self.found.model.take().or(model);
            }
            Member::Response => {}
        }
    }
}

/// `usage` of chat and text completions, embeddings (`prompt_tokens`, `completion_tokens`) and of responses (`input_tokens`,
/// `output_tokens`).
#[derive(Deserialize)]
struct Stated {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

impl Stated {
    fn usage(self) -> Option<Usage> {
        let input = self.prompt_tokens.max(self.input_tokens);
        let output = self.completion_tokens.max(self.output_tokens);
        let total = self.total_tokens.or(input).or(output)?;
        let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
        // Some providers count tokens in the total only.
        Some(Usage { total: total.max(input.saturating_add(output)), input, output })
    }
}
