//! The first two characters of a list of names. Most names of a request are in no list, and two characters show it.

/// Pairs of characters with which names begin.
pub(super) struct Beginnings([u32; 26]);

impl Beginnings {
    /// The beginnings of these names, each a letter and a letter or `-`.
    pub(super) const fn of(names: &[&str]) -> Self {
        Self([0; 26]).and(names)
    }

    /// Those of more names.
    #[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
    pub(super) const fn and(mut self, names: &[&str]) -> Self {
        let mut place = 0;
        while place < names.len() {
            let name = names[place].as_bytes();
            self.0[(name[0] - b'a') as usize] |= bit(name[1]);
            place += 1;
        }
        self
    }

    /// Whether a name begins as one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        let [first, second, ..] = name.as_bytes() else { return false };
        let seconds = self.0.get(usize::from(first.wrapping_sub(b'a')));
        seconds.is_some_and(|seconds| seconds & bit(*second) != 0)
    }
}

/// One bit for each letter, and one for everything else.
const fn bit(character: u8) -> u32 {
    match character {
        letter @ b'a'..=b'z' => 1 << (letter - b'a'),
        _ => 1 << 26,
    }
}
