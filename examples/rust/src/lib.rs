//! The programs are in `src/bin`. Here is only what makes the guide's lines compile.

/// The guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust.md")]
struct Guide;
