//! Values that a file writes once and repeats by name: anchors (`&name`), aliases (`*name`) and merge keys (`<<: *name`).
//!
//! An alias is a copy, so a few lines of nested ones can stand for billions of values. The number of copied values and the depth
//! they reach are bounded.

use std::collections::{BTreeSet, HashMap};

use super::{DEPTH, Node, Position, Value};

/// Most values that all aliases of a file may copy, or its defaults and named rules; many times what a real file has.
pub(in crate::config) const COPIED: usize = 50_000;

/// The anchored values of a file, read so far.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    known: HashMap<usize, Anchored>,
    copied: usize,
}

#[derive(Debug)]
struct Anchored {
    node: Node,
    size: usize,
    height: usize,
}

impl Anchors {
    /// Keeps a value under the parser's number of its anchor; 0 is none.
    pub(super) fn keep(&mut self, number: usize, node: &Node) {
        if number > 0 {
            let (size, height) = node.extent();
            self.known.insert(number, Anchored { node: node.clone(), size, height });
        }
    }

    /// A copy for an alias at a position and depth.
    ///
    /// # Errors
    ///
    /// The reason there is none.
    pub(super) fn copy(
        &mut self,
        number: usize,
        position: Position,
        depth: usize,
    ) -> Result<Node, &'static str> {
        // The parser refuses an unknown name, and gives the anchor a number before its value is complete.
        let anchored = self.known.get(&number).ok_or(
            "invalid alias (`*name`): it is within the value that it repeats; write the value itself",
        )?;
        if depth + anchored.height > DEPTH {
            return Err(
                "invalid alias (`*name`): the file becomes too deep with it; write less of it",
            );
        }
        self.copied += anchored.size;
        if self.copied > COPIED {
            return Err(
                "invalid alias (`*name`): the file becomes too large with it; write less of it",
            );
        }
        Ok(anchored.node.clone().moved_to(position))
    }
}

/// Adds the keys of a merge key's value that the map has not. Of a list, the first map that has a key gives its value.
///
/// # Errors
///
/// The value is neither a map nor a list of maps.
pub(super) fn merge(
    entries: &mut Vec<(String, Node)>,
    seen: &mut BTreeSet<String>,
    merged: Node,
) -> Result<(), &'static str> {
    const WRONG: &str =
        "invalid merge key (`<<`): write a map, an alias of one (`<<: *name`), or a list of these";
    match merged.value {
        Value::Map(others) => {
            for (name, node) in others {
                if seen.insert(name.clone()) {
                    entries.push((name, node));
                }
            }
            Ok(())
        }
        Value::List(maps) if maps.iter().all(|map| matches!(map.value, Value::Map(_))) => {
            maps.into_iter().try_for_each(|map| merge(entries, seen, map))
        }
        _ => Err(WRONG),
    }
}
