//! Forms in a path that another server might read differently.

/// Forms that another server might read differently, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Oddities(u8);

impl Oddities {
    /// `%2F`
    pub(super) const SLASH: Self = Self(1);
    /// `%5C`
    pub(super) const BACKSLASH: Self = Self(2);
    /// `;` or `%3B`
    pub(super) const PARAMETERS: Self = Self(4);
    /// `%25` and two more hexadecimal digits
    pub(super) const TWICE: Self = Self(8);
    /// `//`
    pub(super) const EMPTY: Self = Self(16);
    /// `%3F` or `%23`
    pub(super) const END: Self = Self(32);
    /// `%25` and two more hexadecimal digits that decode to a separator, a dot or the path's end
    pub(super) const DOUBLE: Self = Self(64);
    /// All of these bits; a path has it if it has any of them.
    pub(super) const ANY: Self = Self(127);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
