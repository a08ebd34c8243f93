//! Parts of a file that failed to parse; later checks skip them.

use std::collections::BTreeSet;

use super::problem::{KeyPath, Step};

/// Parts of the tree that are not in the value read from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Skipped {
    /// Parts left out, as if they were absent.
    pub(super) left_out: BTreeSet<KeyPath>,
    /// Missing parts that were replaced.
    pub(super) replaced: BTreeSet<KeyPath>,
    /// Keys that an unknown key probably stands for.
    pub(super) meant: BTreeSet<KeyPath>,
}

impl Skipped {
    /// The keys that the tree dropped.
    pub(super) fn of(dropped: Vec<KeyPath>) -> Self {
        Self { meant: dropped.into_iter().collect(), ..Self::default() }
    }

    /// Whether a finding about `at` would be about a skipped part.
    pub(super) fn touch(&self, at: &KeyPath) -> bool {
        [&self.left_out, &self.replaced, &self.meant]
            .into_iter()
            .flatten()
            .any(|part| part.is_within(at) || at.is_within(part))
    }

    /// Whether something within `at` was left out; a problem of `at` may only follow from that.
    pub(super) fn within(&self, at: &KeyPath) -> bool {
        self.left_out.iter().any(|gap| gap.is_within(at))
    }

    /// Leaves out `at`, or its parent if `at` is left out already; `false` when only the root is left.
    pub(super) fn leave_out(&mut self, mut at: Option<KeyPath>) -> bool {
        while let Some(path) = at {
            at = path.parent();
            if at.is_some() && self.left_out.insert(path) {
                return true;
            }
        }
        false
    }

    /// Path in the file of the value that is now at `at`; left-out items shift the numbers in lists.
    pub(super) fn written_at(&self, at: &KeyPath) -> KeyPath {
        let mut written = KeyPath::root();
        for step in at.steps() {
            written = match step {
                Step::Key(name) => written.key(name),
                Step::Item(index) => {
                    let mut kept = (0..).filter(|n| !self.left_out.contains(&written.item(*n)));
                    let original = kept.nth(*index).unwrap_or(*index);
                    written.item(original)
                }
            };
        }
        written
    }
}
