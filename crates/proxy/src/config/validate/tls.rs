//! Checks of `tls`: one certificate for each host.

use std::collections::BTreeSet;

use super::{Findings, at};
use crate::config::Config;

pub(super) fn check(config: &Config, found: &mut Findings) {
    let here = at(&["tls"]);
    let mut taken = BTreeSet::new();
    let mut for_others = false;
    for (index, pair) in config.tls.iter().enumerate() {
        // With one certificate the file may have no list.
        let here = if config.tls.len() > 1 { here.item(index) } else { here.clone() };
        if pair.names.is_empty() && std::mem::replace(&mut for_others, true) {
            let message = "missing `names`: another certificate without them is for every host already; write such as `names: [a.example]`";
            found.problem(here.clone(), message);
        }
        for (number, name) in pair.names.iter().enumerate() {
            if !taken.insert(name.to_string()) {
                let message = format!(
                    "invalid host `{name}`: another certificate is for it already; remove one of them"
                );
                found.problem(here.key("names").item(number), message);
            }
        }
    }
}
