//! Finds the rules that may apply to a path, so that a request costs much the same with two rules and with two hundred.

use std::collections::HashMap;

use super::Rule;

/// Policies up to this number of rules are read in order, which is faster.
const FEW: usize = 8;

/// Places of rules, by the text with which the paths begin that they apply to.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// In rising order for each beginning.
    places: HashMap<String, Vec<usize>>,
    /// Slashes in the longest beginning.
    depth: usize,
}

impl Index {
    /// An index of these rules; `None` where there are too few.
    pub(super) fn of(rules: &[Rule]) -> Option<Self> {
        if rules.len() <= FEW {
            return None;
        }
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        let mut depth = 0;
        for (place, rule) in rules.iter().enumerate() {
            let start = rule.path.as_ref().map_or_else(String::new, |path| path.literal_start());
            depth = depth.max(start.matches('/').count());
            places.entry(start).or_default().push(place);
        }
        Some(Self { places, depth })
    }

    /// The first place at which `applies`, among the rules that may apply to a path with one reading.
    pub(super) fn first(&self, path: &str, applies: impl Fn(usize) -> bool) -> Option<usize> {
        let mut first: Option<usize> = None;
        let ends = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]);
        for end in ends.take(self.depth + 1) {
            let places = path.get(..end).and_then(|start| self.places.get(start));
            let earlier = |place: &usize| first.is_none_or(|first| *place < first);
            let found = places.and_then(|places| {
                places.iter().copied().take_while(earlier).find(|place| applies(*place))
            });
            first = found.or(first);
        }
        first
    }
}
