//! What is written in a file and could not be read, so that nobody judges by its absence.

use std::collections::BTreeSet;

use super::problem::{KeyPath, Step};

/// What of the tree is not in the value that was read from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    /// Left out: the value is as if they had not been written.
    pub(super) left_out: BTreeSet<KeyPath>,
    /// Missing, and stood in for.
    pub(super) stood_in: BTreeSet<KeyPath>,
    /// Keys that an unknown key was probably meant to be.
    pub(super) meant: BTreeSet<KeyPath>,
}

impl Gaps {
    /// Gaps where the tree itself could not take something over.
    pub(super) fn of(dropped: Vec<KeyPath>) -> Self {
        Self { meant: dropped.into_iter().collect(), ..Self::default() }
    }

    /// Whether a judgement about `at` would be one about a gap.
    pub(super) fn touch(&self, at: &KeyPath) -> bool {
        [&self.left_out, &self.stood_in, &self.meant]
            .into_iter()
            .flatten()
            .any(|gap| gap.is_within(at) || at.is_within(gap))
    }

    /// Whether something within `at` was left out, so that what is said of `at` may only follow from it.
    pub(super) fn within(&self, at: &KeyPath) -> bool {
        self.left_out.iter().any(|gap| gap.is_within(at))
    }

    /// Leaves out `at`, or what it is in if it is out already; `false` when there is no more to go.
    pub(super) fn leave_out(&mut self, mut at: Option<KeyPath>) -> bool {
        while let Some(path) = at {
            at = path.parent();
            if at.is_some() && self.left_out.insert(path) {
                return true;
            }
        }
        false
    }

    /// Where in the tree the value that is now at `at` was written: lists have lost what was left out.
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
