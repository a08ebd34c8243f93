//! Reads arguments of Python as Rust values, and writes Rust errors as one line, for both native modules of the Python packages.
//!
//! This crate holds no state: each module links a copy of its own.

mod arguments;
mod causes;

pub use arguments::{Span, Texts, refuse_pickling};
pub use causes::with_causes;
