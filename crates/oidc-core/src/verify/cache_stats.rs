//! Statistics of the token memories.

/// Statistics of remembered tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests answered from memory.
    pub hits: u64,
    /// Requests that had to be verified.
    pub misses: u64,
    /// Tokens remembered.
    pub entries: u64,
    /// Estimated memory of these tokens, in bytes.
    pub bytes: u64,
}
