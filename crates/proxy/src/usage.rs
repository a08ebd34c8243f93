//! Usage that a model API states in its answers, in the form of the OpenAI API: the member `usage` of JSON documents and of
//! server-sent events.
//!
//! An answer is read in passing, piece by piece as it arrives: it is never held back, changed or kept. A request for a stream
//! is read as a whole where its usage must be known, because only the request can ask for it.

mod asked;
mod events;
mod labels;
mod members;
mod reader;

pub use asked::{NotRead, Question, question};
pub(crate) use labels::{known_client, known_model};
pub use reader::{Usage, UsageReader};

#[cfg(test)]
mod tests;
