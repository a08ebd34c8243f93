//! The part of a request that decides whether its answer states its usage.

use oidc_core::{NotStrictJson, strict_json};
use serde_json::{Map, Value};

use crate::json::{OtherSpelling, member};

/// Levels of a request: schemas of tools are deep.
const DEEPEST: usize = 100;

/// Whether a request asks for its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The answer is a document, which states its usage.
    Document,
    /// The answer is a stream that states its usage at its end.
    Stream,
    /// The answer is a stream without usage.
    StreamWithoutUsage,
}

/// Reason a request is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It is no JSON object, or two readers could take different values.
    #[error("the body is not a request of the OpenAI API: {0}")]
    NotStrict(#[from] NotStrictJson),
    /// A name is written in another way than the API's.
    #[error(transparent)]
    OtherSpelling(#[from] OtherSpelling),
    /// A member has another type.
    #[error("`{name}` is not {wanted}")]
    WrongType {
        /// its name
        name: &'static str,
        /// its type
        wanted: &'static str,
    },
}

/// Reads the body of a request.
///
/// Servers differ in what they take for `true`: a value of another type than the API's is refused.
///
/// # Errors
///
/// [`NotRead`]
pub fn question(body: &[u8]) -> Result<Question, NotRead> {
    let request = strict_json(body, DEEPEST)?;
    if !flag(&request, "stream")? {
        return Ok(Question::Document);
    }
    let options = match member(&request, "stream_options")? {
        None | Some(Value::Null) => return Ok(Question::StreamWithoutUsage),
        Some(Value::Object(options)) => options,
        Some(_) => {
            return Err(NotRead::WrongType { name: "stream_options", wanted: "an object" });
        }
    };
    let asks = flag(options, "include_usage")?;
    Ok(if asks { Question::Stream } else { Question::StreamWithoutUsage })
}

fn flag(members: &Map<String, Value>, name: &'static str) -> Result<bool, NotRead> {
    match member(members, name)? {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(NotRead::WrongType { name, wanted: "`true` or `false`" }),
    }
}
