//! Figures of the memories for tokens.

/// Figures about remembered tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests answered from memory.
    pub hits: u64,
    /// Requests that had to be verified.
    pub misses: u64,
    /// Tokens remembered.
    pub entries: u64,
    /// Memory they are counted with, in bytes.
    pub bytes: u64,
}
